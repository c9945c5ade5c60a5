import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PHASE_LINGERING } from './connections.js';
import { Drain } from './drain.js';
import { WorkerRig } from './testing/worker-rig.js';

const CLIENTS = 100;

function rigWith(clients: number): { rig: WorkerRig; drain: Drain } {
  const rig = new WorkerRig({ capacity: 256, policy: { publish: ['*'] } });
  rig.welcome('e', 7);
  for (let i = 0; i < clients; i++) rig.get(2 * i, '/alice.js');
  const parts = { reactor: rig.reactor, connections: rig.connections, disconnects: rig.clients.disconnects };
  return { rig, drain: new Drain(parts, () => 0.5) };
}

/** Turns from one time up to another. */
function work(drain: Drain, fromMs: number, toMs: number): void {
  for (let ms = fromMs; ms <= toMs; ms += 20) drain.work(ms);
}

/** Connections that are neither free nor lingering. */
const serving = (rig: WorkerRig) =>
  rig.connections.phase.filter((phase) => phase !== 0 && phase !== PHASE_LINGERING).length;

/** Those who were told have read it, and hang up. */
function hangUp(rig: WorkerRig): void {
  const { phase, capacity } = rig.connections;
  for (let i = 0; i < capacity; i++) if (phase[i] === PHASE_LINGERING) rig.clients.closed(i);
}

describe('drain', () => {
  test('connections are ended evenly over the time, and nobody else is accepted', () => {
    const { rig, drain } = rigWith(CLIENTS);
    assert.equal(drain.begin({ seconds: 10, returnAfterSeconds: 0 }, 1000), CLIENTS);
    assert.equal(rig.reactor.told.at(-1), 'stop listening');
    for (let ms = 0; ms <= 10_000; ms += 20) {
      drain.work(1000 + ms);
      assert.equal(serving(rig), CLIENTS - Math.floor(ms / 100));
    }
    assert(!drain.finished, 'some read their last');
    hangUp(rig);
    drain.work(11_300);
    assert(drain.finished);
    assert.match(rig.sent(0), /^HTTP\/1\.1 503 /);
  });

  test('each turn ends its share, and the next one does not wait long', () => {
    const { rig, drain } = rigWith(CLIENTS);
    assert.equal(drain.work(0), undefined, 'before it begins');
    drain.begin({ seconds: 1, returnAfterSeconds: 0 }, 0);
    for (let ms = 0; ms <= 500; ms += 20) assert(drain.work(ms)! <= 20);
    assert.equal(serving(rig), CLIENTS / 2);
  });

  test('clients are told to come back after the time, with some spread', () => {
    const { rig, drain } = rigWith(1);
    rig.openWebSocket(1, '/v1/ws');
    rig.sent(1);
    drain.begin({ seconds: 1, returnAfterSeconds: 30 }, 0);
    work(drain, 0, 1000);
    const [message] = rig.events(1, 'ws') as unknown as { afterMs: number; code: string; reconnect: boolean }[];
    assert.deepEqual([message.code, message.reconnect, message.afterMs], ['drain', true, 30_500]);
  });

  test('who leaves by itself does not hasten the others', () => {
    const { rig, drain } = rigWith(CLIENTS);
    drain.begin({ seconds: 10, returnAfterSeconds: 0 }, 0);
    for (let i = CLIENTS / 2; i < CLIENTS; i++) rig.clients.closed(2 * i);
    work(drain, 0, 2000);
    assert.equal(serving(rig), CLIENTS / 2 - 20);
    work(drain, 2000, 5500);
    assert.equal(serving(rig), 0);
  });

  test('a worker that stood still catches up, and no second has twice as many as the others', () => {
    const { rig, drain } = rigWith(CLIENTS);
    drain.begin({ seconds: 10, returnAfterSeconds: 0 }, 0);
    work(drain, 0, 2000);
    let before = serving(rig);
    for (let ms = 5000; ms < 9000; ms += 1000) {
      work(drain, ms, ms + 1000);
      const ended = before - serving(rig);
      assert(ended >= 10 && ended < 20, `${ended} in the second from ${ms} ms`);
      before = serving(rig);
    }
    work(drain, 9000, 14_000);
    assert.equal(serving(rig), 0);
  });

  test('who was accepted while it began is ended too', () => {
    const { rig, drain } = rigWith(2);
    drain.begin({ seconds: 1, returnAfterSeconds: 0 }, 0);
    work(drain, 0, 500);
    rig.get(1, '/late.js');
    work(drain, 500, 1000);
    assert(!drain.finished);
    drain.work(1300);
    assert.equal(serving(rig), 0);
    hangUp(rig);
    drain.work(1600);
    assert(drain.finished);
  });

  test('it is not over before a client that publishes has its answer', () => {
    const { rig, drain } = rigWith(0);
    const head = 'POST /v1/publish HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 24';
    rig.clients.accepted(1);
    rig.receive(1, `${head}\r\n\r\n{"channel":"a","data":1}`);
    drain.begin({ seconds: 0, returnAfterSeconds: 0 }, 0);
    drain.work(0);
    assert(!drain.finished);
    rig.clients.posts.published(rig.reported.splice(0)[0].request, 0, 8);
    hangUp(rig);
    drain.work(1000);
    assert(drain.finished);
  });

  test('without clients it is over at once, and to begin again changes nothing', () => {
    const { drain } = rigWith(0);
    drain.begin({ seconds: 60, returnAfterSeconds: 0 }, 0);
    assert.equal(drain.begin({ seconds: 1, returnAfterSeconds: 0 }, 5000), 0);
    drain.work(5000);
    assert(drain.finished);
  });
});
