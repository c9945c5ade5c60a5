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

test('clients are wanted once all ports are open, and the manager hears of each change once', () => {
  const { channel, sources } = rig(2);
  for (const source of sources) {
    source.open(() => {});
    source.setAccepting(true);
  }
  assert.deepEqual(channel.said, ['clients wanted']);
  for (const source of sources) source.setAccepting(false);
  assert.deepEqual(channel.said.splice(0), ['clients wanted', 'clients unwanted']);
});

test('each client goes to its port, and the manager is told that it was taken', () => {
  const { channel, sources } = rig(2);
  const taken: [number, Socket][] = [];
  for (const [port, source] of sources.entries()) source.open((socket) => taken.push([port, socket]));
  const clients = [new Socket(), new Socket()];
  channel.emit('message', { listener: 1 }, clients[0]);
  channel.emit('message', { listener: 0 }, clients[1]);
  assert.deepEqual(taken, [
    [1, clients[0]],
    [0, clients[1]],
  ]);
  assert.deepEqual(channel.said, ['client taken', 'client taken']);
});

test('a client that went away on the way is taken note of and no more', () => {
  const { channel, sources } = rig(1);
  sources[0].open(() => assert.fail('there is nobody'));
  channel.emit('message', { listener: 0 }, undefined);
  assert.deepEqual(channel.said, ['client taken']);
});

test('a client that comes to a closed port is turned away', () => {
  const { channel, sources } = rig(1);
  sources[0].open(() => assert.fail('it is closed'));
  sources[0].setAccepting(true);
  sources[0].close();
  const client = new Socket();
  channel.emit('message', { listener: 0 }, client);
  assert(client.destroyed);
  assert.deepEqual(channel.said, ['clients wanted', 'clients unwanted', 'client taken']);
});

test('nothing is said to a manager that has ended', () => {
  const { channel, sources } = rig(1);
  channel.connected = false;
  sources[0].open(() => {});
  sources[0].setAccepting(true);
  assert.deepEqual(channel.said, []);
});
