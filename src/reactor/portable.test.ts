import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { ffiProblem } from '../linux/ffi.js';
import { sendBuffersFor } from './choose.js';
import { Harness } from './contract-harness.js';
import { reactorContract } from './contract-suite.js';
import { PortableReactor } from './portable.js';
import type { ClientSource } from './reactor.js';

// Out of descriptors Node turns clients away instead of letting them wait.
const options = { limitedByDescriptors: false, buffers: 'portable' } as const;
if (ffiProblem === null) reactorContract('portable', (parts) => new PortableReactor(parts), options);
reactorContract('portable, clients that others have accepted', (parts) => new PortableReactor(parts), {
  ...options,
  fromSources: true,
});

test('clients from a source are settled: taken before they are read, or given back when there is no room', async () => {
  const told: string[] = [];
  const accepting: boolean[] = [];
  let offer!: (socket: Socket, settle: (taken: boolean) => void) => void;
  const source: ClientSource = {
    open: (take) => {
      offer = take;
    },
    setAccepting: (now) => accepting.push(now),
    close: () => told.push('source closed'),
  };
  const harness = new Harness((options) => new PortableReactor(options), 1, sendBuffersFor('portable'));
  harness.reactor.listen(source);
  const server = createServer({ pauseOnConnect: true }, (socket) =>
    offer(socket, (taken) => {
      told.push(taken ? 'taken' : 'given back');
      if (!taken) socket.destroy();
    }),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };

  const first = await harness.peer(port);
  first.socket.write('hello');
  await harness.until('the first is heard', () => harness.named('received').length === 1);
  assert.deepEqual(told, ['taken']);
  assert.equal(accepting.at(-1), false, 'there is no room for another');
  const second = (await harness.peer(port)).read();
  await harness.until('the second has been given back', () => second.ended);
  assert.deepEqual(told, ['taken', 'given back']);

  harness.close(harness.named('accepted')[0][1]);
  await harness.until('others are wanted again', () => accepting.at(-1) === true);
  await harness.peer(port);
  await harness.until('one is taken', () => harness.named('accepted').length === 2);
  harness.reactor.pauseAccepting();
  assert.equal(accepting.at(-1), false);
  harness.destroy();
  server.close();
  assert.deepEqual(told.slice(2), ['taken', 'source closed']);
});
