import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { LINK_BATCH_BYTES, LINK_BATCH_MS, LINK_MUCH_BYTES } from '../limits.js';
import { OPEN_POLICY } from '../link/policy.js';
import { sendBuffersFor } from '../reactor/choose.js';
import { type LinkOrders, ManagerLink } from './manager-link.js';
import { ScriptedReactor } from './testing/scripted-reactor.js';

const CONNECTION = 7;

describe('reports to the manager', () => {
  let reactor: ScriptedReactor;
  let link: ManagerLink;

  beforeEach(() => {
    const buffers = sendBuffersFor('portable');
    reactor = new ScriptedReactor(buffers, 10);
    reactor.connect = (): number => CONNECTION;
    const orders = { hello: () => ({ policy: OPEN_POLICY }), announce: () => {}, lost: () => {} };
    link = new ManagerLink(reactor, buffers, '/run', orders as unknown as LinkOrders);
    link.dial();
    link.connected();
    assert.equal(link.flush(0, true), undefined, 'HELLO waits for nothing');
    assert(sentBytes() > 0);
  });

  const sentBytes = () => reactor.takeSent(CONNECTION).length;
  /** So many clients have come, of some 20 bytes each. */
  const report = (clients: number) => {
    const name = Buffer.from('a name of 20 letters');
    for (let i = 0; i < clients; i++) link.waiting(name, 0, name.length);
  };

  test('go at once after a rest, and not oftener than every 10 ms', () => {
    report(1);
    assert.equal(link.flush(100, false), undefined);
    assert(sentBytes() > 0);
    report(1);
    assert.equal(link.flush(103, false), 7);
    report(1);
    assert.equal(link.flush(107.5, false), 3);
    assert.equal(sentBytes(), 0);
    assert.equal(link.flush(110, false), undefined);
    assert(sentBytes() > 40);
    assert.equal(link.flush(111, false), undefined, 'nothing is left');
    assert.equal(sentBytes(), 0);
  });

  test('of a flood go when it pauses, or when they have waited for 10 ms', () => {
    report(200);
    assert.equal(link.flush(100, true), LINK_BATCH_MS);
    report(200);
    assert.equal(link.flush(104, true), 6);
    assert.equal(sentBytes(), 0);
    assert.equal(link.flush(106, false), undefined, 'a pause');
    assert(sentBytes() > 400 * 20);

    report(200);
    assert.equal(link.flush(107, true), LINK_BATCH_MS);
    report(1);
    assert.equal(link.flush(117, true), undefined);
    assert(sentBytes() > 200 * 20);
  });

  test('wait for no pause when they are much, and for nothing when somebody waits for them', () => {
    report(LINK_BATCH_BYTES / 20);
    assert.equal(link.flush(100, true), undefined);
    assert(sentBytes() >= LINK_BATCH_BYTES);
    report(2);
    link.delivered(1, 1);
    assert.equal(link.flush(101, true), undefined);
    assert(sentBytes() > 40);
  });

  test('that are few do not go at each pause', () => {
    report(1);
    link.flush(100, false);
    report(LINK_MUCH_BYTES / 20 - 10);
    assert.equal(link.flush(101, false), 9);
    report(20);
    assert.equal(link.flush(102, false), undefined);
  });
});
