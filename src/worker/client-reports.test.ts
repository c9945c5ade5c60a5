import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { CLIENT_CHANGES_MAX } from '../limits.js';
import { CHANGE_CHANNELS_MAX, type ClientChanges } from '../link/client-changes.js';
import { ClientReports } from './client-reports.js';
import { Identities } from './identities.js';
import { Subscriptions } from './subscriptions.js';

const CAPACITY = 64;

describe('reports of clients', () => {
  let subscribers: Subscriptions;
  let identities: Identities;
  let reports: ClientReports;
  let sent: ClientChanges[];
  let established: boolean;

  beforeEach(() => {
    subscribers = new Subscriptions(CAPACITY, CAPACITY, [1, 2]);
    identities = new Identities(CAPACITY);
    sent = [];
    established = true;
    reports = new ClientReports({
      subscribers,
      waiters: new Subscriptions(CAPACITY, 0, [1, 2]),
      identities,
      reports: {
        get established() {
          return established;
        },
        clientChanges: (changes) => sent.push(changes),
      },
    });
    reports.on = true;
    reports.flush();
    assert.deepEqual(sent.splice(0), [{ all: 'whole', changes: [] }]);
  });

  const begin = (connection: number, subject: string | null, ...channels: string[]) => {
    identities.begin(connection, { subject, expiresAtMs: Number.POSITIVE_INFINITY, subscribe: ['*'], publish: [] });
    for (const name of channels) subscribers.add(connection, Buffer.from(name), 0, Buffer.byteLength(name));
  };
  const end = (connection: number) => {
    identities.end(connection);
    subscribers.removeAll(connection, () => {});
  };
  const flushed = (): ClientChanges[] => {
    reports.flush();
    return sent.splice(0);
  };

  test('a client comes with the channels that it is on when it is reported, and goes with those that it was on', () => {
    begin(1, 'alice', 'news', 'chat');
    begin(2, null, 'news');
    assert.deepEqual(flushed(), [{ changes: [[1, 'alice', 'news', 'chat']] }]);
    end(1);
    end(2);
    assert.deepEqual(flushed(), [{ changes: [[-1, 'alice', 'news', 'chat']] }]);
    assert.deepEqual(flushed(), []);
  });

  test('one that has gone before it is reported had its channels all the same, whoever has its number now', () => {
    begin(1, 'alice', 'news');
    end(1);
    begin(1, 'bob', 'chat');
    assert.deepEqual(flushed(), [
      {
        changes: [
          [1, 'alice', 'news'],
          [-1, 'alice', 'news'],
          [1, 'bob', 'chat'],
        ],
      },
    ]);
  });

  test('channels are named up to a number', () => {
    begin(1, 'alice', ...Array.from({ length: CHANGE_CHANNELS_MAX + 5 }, (_, i) => `channel-${i}`));
    assert.equal(flushed()[0].changes[0].length, 2 + CHANGE_CHANNELS_MAX);
  });

  test('a manager that is new is told of all who are here', () => {
    begin(1, 'alice', 'news');
    flushed();
    established = false;
    end(1);
    begin(2, 'bob', 'news');
    begin(3, 'bob');
    assert.deepEqual(flushed(), []);
    established = true;
    reports.managerFound();
    assert.deepEqual(flushed(), [
      {
        all: 'whole',
        changes: [
          [1, 'bob', 'news'],
          [1, 'bob'],
        ],
      },
    ]);
  });

  test('more changes than are collected become a report of all', () => {
    begin(1, 'alice');
    flushed();
    for (let i = 0; i <= CLIENT_CHANGES_MAX / 2; i++) {
      begin(2, 'bob');
      end(2);
    }
    assert.deepEqual(flushed(), [{ all: 'whole', changes: [[1, 'alice']] }]);
    begin(2, 'bob');
    assert.deepEqual(flushed(), [{ changes: [[1, 'bob']] }]);
  });

  test('a report that is large is cut into parts', () => {
    const name = 'n'.repeat(125);
    for (let i = 0; i < 20; i++) begin(i, `${'c'.repeat(300)}${i}`, name, `${name}2`);
    const many = Array.from({ length: 40 }, () => 0);
    for (const _ of many) {
      for (let i = 0; i < 20; i++) end(i);
      for (let i = 0; i < 20; i++) begin(i, `${'c'.repeat(300)}${i}`, name, `${name}2`);
    }
    const parts = flushed();
    assert(parts.length > 1);
    assert.equal(
      parts.reduce((sum, { changes }) => sum + changes.length, 0),
      20 + 40 * 40,
    );
    for (const part of parts) assert(JSON.stringify(part).length < 1 << 20);
  });

  test('nothing is collected while nobody wants to know', () => {
    reports.on = false;
    begin(1, 'alice');
    assert.deepEqual(flushed(), []);
    reports.on = true;
    assert.deepEqual(flushed(), [{ all: 'whole', changes: [[1, 'alice']] }]);
  });
});
