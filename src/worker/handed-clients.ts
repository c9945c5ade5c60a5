/**
 * The worker's end of src/manager/handed-ports.ts: clients that the manager has accepted, over the channel that Node keeps to a parent
 * process. The channel is also how a worker learns that its manager has ended: then it ends too (main.ts).
 */

import type { Socket } from 'node:net';
import type { HandedAnswer, HandedClient } from '../manager/handed-ports.js';
import type { ClientSource } from '../reactor/reactor.js';

/**
 * A source for each port.
 *
 * @param channel this process, in tests something else
 */
export function handedClients(
  ports: number,
  channel: Pick<NodeJS.Process, 'on' | 'send' | 'connected'> = process,
): ClientSource[] {
  const takers: ((socket: Socket) => void)[] = [];
  let wanted = false;

  // A manager that has just ended hears nothing any more.
  const tell = (answer: HandedAnswer) =>
    void (channel.connected && channel.send!(answer, undefined, undefined, () => {}));

  const want = (accepting: boolean) => {
    if (accepting === wanted) return;
    wanted = accepting;
    tell(wanted ? 'clients wanted' : 'clients unwanted');
  };

  channel.on('message', (message, socket) => {
    const { listener } = message as HandedClient;
    tell('client taken');
    // It has gone on the way, or this process has no descriptor left for it.
    if (socket === undefined) return;
    const take = takers[listener];
    if (take === undefined) (socket as Socket).destroy();
    else take(socket as Socket);
  });

  return Array.from({ length: ports }, (_, listener) => ({
    open(take) {
      takers[listener] = take;
    },
    // All ports of a reactor accept or none.
    setAccepting: (accepting) => want(accepting && takers.length === ports),
    close() {
      delete takers[listener];
      want(false);
    },
  }));
}
