import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
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

  test('one that goes without having come is nobody', () => {
    go(0, 'alice');
    come(0, 'alice');
    assert.deepEqual(at(0), ['+alice']);
    go(0, 'alice');
    assert.deepEqual(at(1000), ['-alice']);
  });
});
