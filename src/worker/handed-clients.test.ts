import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { handedClients } from './handed-clients.js';

/** The channel to a manager, and what was said on it. */
class Channel extends EventEmitter {
  readonly said: unknown[] = [];
  connected = true;
  send(answer: unknown): boolean {
    this.said.push(answer);
    return true;
  }
}

function rig(ports: number) {
  const channel = new Channel();
  const sources = handedClients(ports, channel as unknown as NodeJS.Process);
  return { channel, sources };
}

const nobody = () => assert.fail('there is nobody');

test('clients are wanted once all ports are open, and the manager hears of each change once', () => {
  const { channel, sources } = rig(2);
  for (const source of sources) {
    source.open(nobody);
    source.setAccepting(true);
  }
  assert.deepEqual(channel.said, [{ wanted: true }]);
  for (const source of sources) source.setAccepting(false);
  assert.deepEqual(channel.said, [{ wanted: true }, { wanted: false }]);
});

test('each client goes to its port, and the manager is told what became of it', () => {
  const { channel, sources } = rig(2);
  const offered: [port: number, socket: Socket, settle: (taken: boolean) => void][] = [];
  for (const [port, source] of sources.entries()) source.open((...client) => offered.push([port, ...client]));
  const clients = [new Socket(), new Socket()];
  channel.emit('message', { listener: 1, client: 7 }, clients[0]);
  channel.emit('message', { listener: 0, client: 8 }, clients[1]);
  assert.deepEqual(
    offered.map(([port, socket]) => [port, socket]),
    [
      [1, clients[0]],
      [0, clients[1]],
    ],
  );
  assert.deepEqual(channel.said, []);
  offered[1][2](false);
  offered[0][2](true);
  assert.deepEqual(channel.said, [
    { client: 8, taken: false },
    { client: 7, taken: true },
  ]);
  assert.deepEqual(
    clients.map(({ destroyed }) => destroyed),
    [false, true],
  );
});

test('a client that went away on the way is taken note of and no more', () => {
  const { channel, sources } = rig(1);
  sources[0].open(nobody);
  channel.emit('message', { listener: 0, client: 1 }, undefined);
  assert.deepEqual(channel.said, [{ client: 1, taken: true }]);
});

test('a client that comes to a closed port is given back', () => {
  const { channel, sources } = rig(1);
  sources[0].open(nobody);
  sources[0].setAccepting(true);
  sources[0].close();
  const client = new Socket();
  channel.emit('message', { listener: 0, client: 1 }, client);
  assert(client.destroyed);
  assert.deepEqual(channel.said, [{ wanted: true }, { wanted: false }, { client: 1, taken: false }]);
});

test('nothing is said to a manager that has ended', () => {
  const { channel, sources } = rig(1);
  channel.connected = false;
  sources[0].open(nobody);
  sources[0].setAccepting(true);
  assert.deepEqual(channel.said, []);
});
