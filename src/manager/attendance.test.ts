import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { Attendance } from './attendance.js';

describe('attendance', () => {
  let told: string[];
  let nowMs: number;
  let attendance: Attendance;

  beforeEach(() => {
    told = [];
    nowMs = 0;
    attendance = new Attendance(
      {
        connected: (client, channels) => told.push(`+${client} ${channels.join(',')}`.trim()),
        disconnected: (client, channels) => told.push(`-${client} ${channels.join(',')}`.trim()),
      },
      () => nowMs,
    );
    attendance.graceMs = 1000;
  });

  const come = (worker: number, client: string, ...channels: string[]) =>
    attendance.changed(worker, { changes: [[1, client, ...channels]] });
  const go = (worker: number, client: string, ...channels: string[]) =>
    attendance.changed(worker, { changes: [[-1, client, ...channels]] });
  const at = (ms: number): string[] => {
    nowMs = ms;
    attendance.sweep();
    return told.splice(0);
  };

  test('a client comes with its first connection, and is gone a grace time after the last', () => {
    come(0, 'alice', 'news');
    come(1, 'alice', 'chat');
    assert.deepEqual(at(0), ['+alice news']);
    go(0, 'alice', 'news');
    go(1, 'alice', 'chat');
    assert.deepEqual(at(999), []);
    assert.deepEqual(at(1000), ['-alice chat']);
    assert.equal(attendance.size, 0);
  });

  test('one that is back in time, on whatever worker, was never gone', () => {
    come(0, 'alice');
    assert.deepEqual(at(0), ['+alice']);
    for (let i = 1; i <= 10; i++) {
      go((i - 1) % 2, 'alice');
      assert.deepEqual(at(i * 900), []);
      come(i % 2, 'alice');
    }
    assert.deepEqual(at(100_000), []);
    assert.equal(attendance.size, 1);
  });

  test('without a grace time who leaves is gone at the next look', () => {
    attendance.graceMs = 0;
    come(0, 'alice');
    go(0, 'alice');
    assert.deepEqual(at(0), ['+alice', '-alice']);
  });

  test('a worker that loses its link and comes back with the same clients changes nothing', () => {
    come(0, 'alice');
    come(0, 'bob');
    at(0);
    attendance.workerLeft(0);
    assert.deepEqual(at(500), []);
    attendance.changed(0, { all: 'begin', changes: [[1, 'alice']] });
    attendance.changed(0, { all: 'end', changes: [[1, 'carol', 'news']] });
    assert.deepEqual(at(600), ['+carol news']);
    assert.deepEqual(at(5000), ['-bob']);
  });

  test('a worker that tells of all again is compared with what it said before', () => {
    come(0, 'alice');
    come(0, 'alice');
    come(0, 'bob');
    at(0);
    attendance.changed(0, { all: 'whole', changes: [[1, 'alice']] });
    go(0, 'alice');
    assert.deepEqual(at(1000), ['-bob', '-alice']);
    assert.equal(attendance.size, 0);
  });

  test('changes while a worker tells of all count too', () => {
    come(0, 'alice');
    at(0);
    attendance.changed(0, {
      all: 'begin',
      changes: [
        [1, 'alice'],
        [1, 'bob'],
      ],
    });
    attendance.changed(0, { all: 'end', changes: [] });
    go(0, 'bob');
    assert.deepEqual(at(2000), ['+bob', '-bob']);
    go(0, 'alice');
    assert.deepEqual(at(4000), ['-alice']);
  });

  test('a worker that is lost while it tells of all leaves nobody behind, whether it is back or not', () => {
    attendance.changed(0, { all: 'begin', changes: [[1, 'alice']] });
    attendance.changed(0, { all: 'begin', changes: [[1, 'alice']] });
    attendance.workerLeft(0);
    assert.deepEqual(at(2000), ['+alice', '-alice']);
    attendance.changed(0, { all: 'whole', changes: [[1, 'alice']] });
    go(0, 'alice');
    assert.deepEqual(at(4000), ['+alice', '-alice']);
    assert.equal(attendance.size, 0);
  });

  test('one that goes without having come is nobody', () => {
    go(0, 'alice');
    come(0, 'alice');
    assert.deepEqual(at(0), ['+alice']);
    go(0, 'alice');
    assert.deepEqual(at(1000), ['-alice']);
  });

  test('whatever workers report, a client comes and goes in turn, and in the end is what it is', () => {
    const worker = fc.integer({ min: 0, max: 2 });
    const client = fc.constantFrom('alice', 'bob');
    const step = fc.oneof(
      fc.record({ kind: fc.constantFrom('come' as const, 'go' as const), worker, client }),
      fc.record({ kind: fc.constantFrom('link lost' as const, 'tells all' as const), worker, client }),
      fc.record({ kind: fc.constant('link lost while it tells all' as const), worker, client }),
      fc.record({ kind: fc.constant('time passes' as const), worker: fc.integer({ min: 1, max: 3000 }), client }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const here = new Map<string, boolean>();
        let ms = 0;
        const turn = (name: string, comes: boolean) => {
          assert.notEqual(here.get(name) ?? false, comes, `${name} ${comes ? 'comes' : 'goes'} twice`);
          here.set(name, comes);
        };
        const events = {
          connected: (name: string) => turn(name, true),
          disconnected: (name: string) => turn(name, false),
        };
        const subject = new Attendance(events, () => ms);
        subject.graceMs = 1000;
        /** Connections that there really are, by worker. */
        const real = [0, 1, 2].map(() => new Map<string, number>());
        const linked = [true, true, true];
        const allOf = (n: number) =>
          [...real[n]!].flatMap(([name, count]) => Array<[1, string]>(count).fill([1, name]));
        const tellAll = (n: number) => {
          const changes = allOf(n);
          const half = Math.floor(changes.length / 2);
          subject.changed(n, { all: 'begin', changes: changes.slice(0, half) });
          subject.changed(n, { all: 'end', changes: changes.slice(half) });
          linked[n] = true;
        };
        for (const { kind, worker: n, client: name } of steps) {
          if (kind === 'time passes') {
            ms += n;
            subject.sweep();
            continue;
          }
          const count = real[n]!.get(name) ?? 0;
          if (kind === 'come') real[n]!.set(name, count + 1);
          else if (kind === 'go' && count > 0) real[n]!.set(name, count - 1);
          else if (kind === 'tells all') tellAll(n);
          else if (kind === 'link lost while it tells all') subject.changed(n, { all: 'begin', changes: allOf(n) });
          if (kind.startsWith('link lost')) {
            linked[n] = false;
            subject.workerLeft(n);
          }
          if (kind === 'come' && linked[n]) subject.changed(n, { changes: [[1, name]] });
          if (kind === 'go' && count > 0 && linked[n]) subject.changed(n, { changes: [[-1, name]] });
        }
        for (const n of [0, 1, 2]) if (!linked[n]) tellAll(n);
        ms += 10_000;
        subject.sweep();
        for (const name of ['alice', 'bob']) {
          assert.equal(
            here.get(name) ?? false,
            real.some((counts) => (counts.get(name) ?? 0) > 0),
            name,
          );
        }
      }),
      { numRuns: 500 },
    );
  });
});
