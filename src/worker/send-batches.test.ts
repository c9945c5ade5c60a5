import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Reactor, SEND_DONE, SEND_PENDING } from '../reactor/reactor.js';
import { SendBatches } from './send-batches.js';

/** A reactor whose results are chosen, and which tells what it was given. */
function scripted(resultOf: (connection: number) => number): { reactor: Reactor; calls: [number[], number][] } {
  const calls: [number[], number][] = [];
  const sendAll: Reactor['sendAll'] = (connections, count, buffer, results) => {
    calls.push([[...connections.subarray(0, count)], buffer]);
    for (let i = 0; i < count; i++) results[i] = resultOf(connections[i]);
    return results.subarray(0, count).filter((result) => result === SEND_DONE).length;
  };
  return { reactor: { sendAll } as Partial<Reactor> as Reactor, calls };
}

const nobody = (): boolean => assert.fail('all were done');

test('connections are sent the buffer of their format, each once', () => {
  const { reactor, calls } = scripted(() => SEND_DONE);
  const batches = new SendBatches(reactor, 3);
  assert(batches.isEmpty(0));
  assert.equal(batches.add(5, 2), false);
  batches.add(6, 0);
  batches.add(7, 2);
  assert.deepEqual([batches.isEmpty(0), batches.isEmpty(1), batches.isEmpty(2)], [false, true, false]);
  assert.equal(batches.send(2, 22, nobody), 2);
  assert(batches.isEmpty(2));
  batches.add(8, 2);
  assert.equal(batches.send(2, 23, nobody), 1);
  assert.equal(batches.send(0, 24, nobody), 1);
  assert.deepEqual(calls, [
    [[5, 7], 22],
    [[8], 23],
    [[6], 24],
  ]);
});

test('a batch says when it is full, and is empty again once it was sent', () => {
  const { reactor, calls } = scripted(() => SEND_DONE);
  const batches = new SendBatches(reactor, 1);
  let receivers = 0;
  for (let connection = 0; connection < 1000; connection++) {
    if (batches.add(connection, 0)) receivers += batches.send(0, 1, nobody);
  }
  if (!batches.isEmpty(0)) receivers += batches.send(0, 1, nobody);
  assert.equal(receivers, 1000);
  assert.deepEqual(
    calls.flatMap(([connections]) => connections),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('who is not done is told one by one, and counts if it may still get it', () => {
  const ECONNRESET = 104;
  const { reactor } = scripted((connection) => [SEND_DONE, SEND_PENDING, -ECONNRESET, SEND_PENDING][connection]!);
  const batches = new SendBatches(reactor, 1);
  for (let connection = 0; connection < 4; connection++) batches.add(connection, 0);
  const told: number[][] = [];
  const receivers = batches.send(0, 1, (connection, result) => {
    told.push([connection, result]);
    return connection === 1;
  });
  assert.equal(receivers, 2);
  assert.deepEqual(told, [
    [1, SEND_PENDING],
    [2, -ECONNRESET],
    [3, SEND_PENDING],
  ]);
});
