/**
 * The worker's end of src/manager/handed-ports.ts: clients that the manager has accepted, over the channel that Node keeps to a parent
 * process. The channel is also how a worker learns that its manager has ended: then it ends too (main.ts).
 */

import type { Socket } from 'node:net';
import type { HandedAnswer, HandedClient } from '../link/handed-clients.js';
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
  const takers: ((socket: Socket, settle: (taken: boolean) => void) => void)[] = [];
  let wanted = false;

  // A manager that has just ended hears nothing any more.
  const tell = (answer: HandedAnswer) =>
    void (channel.connected && channel.send!(answer, undefined, undefined, () => {}));

  const want = (accepting: boolean) => {
    if (accepting === wanted) return;
    wanted = accepting;
    tell({ wanted });
  };

  channel.on('message', (message, handle) => {
    const { listener, client } = message as HandedClient;
    const socket = handle as Socket | undefined;
    const take = takers[listener];
    if (socket === undefined) {
      // It has gone on the way.
      tell({ client, taken: true });
    } else if (take === undefined) {
      socket.destroy();
      tell({ client, taken: false });
    } else {
      take(socket, (taken) => {
        // Only our descriptor is closed: the manager has one of its own until it is told that we took the client.
        if (!taken) socket.destroy();
        tell({ client, taken });
      });
    }
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
