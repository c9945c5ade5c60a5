import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPIRIES_PER_SWEEP_MAX, EXPIRY_ROUND_MS, IDENTITY_BYTES } from '../limits.js';
import type { Grant } from '../tokens/grant.js';
import { Identities } from './identities.js';

const grant = (subject: string | null, rest: Partial<Grant> = {}): Grant => ({
  subject,
  expiresAtMs: Number.POSITIVE_INFINITY,
  subscribe: [],
  publish: [],
  ...rest,
});

test('a connection has the subject, the rights and the time of its token until it ends', () => {
  const identities = new Identities(16);
  assert(identities.begin(3, grant('ünï', { expiresAtMs: 5000, subscribe: ['news/*'], publish: ['chat'] })));
  assert.equal(identities.subjectOf(3), 'ünï');
  assert.equal(identities.expiresAtMs(3), 5000);
  assert(identities.maySubscribe(3, 'news/a') && !identities.maySubscribe(3, 'chat'));
  assert(identities.mayPublish(3, 'chat') && !identities.mayPublish(3, 'news/a'));
  identities.end(3);
  assert.equal(identities.size, 0);
  assert.equal(identities.subjectOf(3), null);
  assert(!identities.maySubscribe(3, 'news/a'));
});

test('a connection without a token is nobody, may nothing by itself and never expires', () => {
  const identities = new Identities(16);
  identities.begin(1, grant(null, { subscribe: ['*'] }));
  assert.equal(identities.subjectOf(1), null);
  assert(identities.has(1) && identities.maySubscribe(1, 'a'));
  assert(!identities.has(2) && !identities.maySubscribe(2, 'a') && !identities.mayPublish(2, 'a'));
  assert.equal(identities.expiresAtMs(2), Number.POSITIVE_INFINITY);
  identities.end(2);
  assert.equal(identities.size, 1);
});

test('whoever ends first, the others keep what is theirs', () => {
  const identities = new Identities(1000);
  const live = new Set<number>();
  let seed = 7;
  const random = (below: number) => (seed = (Math.imul(seed, 48271) >>> 0) % 0x7fffffff) % below;
  for (let step = 0; step < 5000; step++) {
    const connection = random(1000);
    if (live.delete(connection)) identities.end(connection);
    else {
      live.add(connection);
      identities.begin(connection, grant(`s${connection}`, { subscribe: [`c${connection}`], expiresAtMs: connection }));
    }
  }
  assert.equal(identities.size, live.size);
  const walked = new Set(Array.from({ length: identities.size }, (_, row) => identities.connectionAt(row)));
  assert.deepEqual(walked, live);
  for (const connection of live) {
    assert.equal(identities.subjectOf(connection), `s${connection}`);
    assert.equal(identities.expiresAtMs(connection), connection);
    assert(identities.maySubscribe(connection, `c${connection}`) && !identities.maySubscribe(connection, 'c'));
  }
});

test('who begins and ends is told of, where the token has a subject', () => {
  const identities = new Identities(16);
  const told: string[] = [];
  identities.listen({
    began: (connection, subject) => told.push(`+${connection} ${subject}`),
    ended: (connection, subject) => told.push(`-${connection} ${subject}`),
  });
  identities.begin(1, grant('alice'));
  identities.begin(2, grant(null));
  identities.renew(2, grant('bob'));
  identities.renew(1, grant('alice', { expiresAtMs: 9 }));
  identities.renew(3, grant('carol'));
  for (const connection of [1, 2, 3, 4]) identities.end(connection);
  assert.deepEqual(told, ['+1 alice', '+2 bob', '+3 carol', '-1 alice', '-2 bob', '-3 carol']);
});

test('a renewal changes rights and time', () => {
  const identities = new Identities(16);
  identities.begin(1, grant('alice', { expiresAtMs: 1, subscribe: ['a'] }));
  assert(identities.maySubscribe(1, 'a'));
  assert(identities.renew(1, grant('alice', { expiresAtMs: 2, subscribe: ['b'] })));
  assert(!identities.maySubscribe(1, 'a') && identities.maySubscribe(1, 'b'));
  assert.equal(identities.expiresAtMs(1), 2);
  assert.equal(identities.size, 1);
});

test('without room a client is refused, and one that renews stays as it was', () => {
  const identities = new Identities(2);
  const large = Array.from({ length: 20 }, (_, i) => `channel-${i}`);
  assert(identities.begin(0, grant('alice', { subscribe: ['a'] })));
  assert(!identities.begin(1, grant('bob', { subscribe: large, publish: large })));
  assert(!identities.has(1));
  assert(!identities.renew(0, grant('alice', { subscribe: large, publish: large })));
  assert(identities.maySubscribe(0, 'a'));
  assert.equal(identities.size, 1);
});

test('sweeps meet each that has expired within two rounds, and none twice', () => {
  const identities = new Identities(100);
  for (let connection = 0; connection < 100; connection++) {
    identities.begin(connection, grant('s', { expiresAtMs: connection % 2 === 0 ? 1000 : 100_000 }));
  }
  const expired: number[] = [];
  const end = (connection: number) => {
    expired.push(connection);
    identities.end(connection);
  };
  identities.sweep(500, end);
  identities.sweep(999, end);
  assert.deepEqual(expired, []);
  for (let nowMs = 1000; nowMs <= 1000 + 2 * EXPIRY_ROUND_MS; nowMs += 200) identities.sweep(nowMs, end);
  assert.deepEqual(new Set(expired), new Set(Array.from({ length: 50 }, (_, i) => 2 * i)));
  assert.equal(expired.length, 50);
  assert.equal(identities.size, 50);
});

test('a client costs what limits.ts says, and nothing is touched before the first one comes', () => {
  const identities = new Identities(4096);
  assert.equal(identities.textBytes, 0);
  assert.equal(identities.columnBytes.place, 4096 * IDENTITY_BYTES.place);
  const rights = { subscribe: ['news/*', 'user/4711/*'], publish: ['chat/lobby/*'] };
  for (let connection = 0; connection < 4096; connection++)
    identities.begin(connection, grant('user-4711-at-home', rights));
  assert.equal(identities.columnBytes.rows, 4096 * IDENTITY_BYTES.row);
  assert.equal(identities.textBytes, 4096 * IDENTITY_BYTES.text);
});

test('one sweep ends so many, the next ones the others', () => {
  const connections = EXPIRIES_PER_SWEEP_MAX + 10;
  const identities = new Identities(connections);
  for (let connection = 0; connection < connections; connection++)
    identities.begin(connection, grant('s', { expiresAtMs: 1 }));
  identities.sweep(0, () => {});
  identities.sweep(EXPIRY_ROUND_MS, (connection) => identities.end(connection));
  assert.equal(identities.size, 10);
  identities.sweep(2 * EXPIRY_ROUND_MS, (connection) => identities.end(connection));
  assert.equal(identities.size, 0);
});
