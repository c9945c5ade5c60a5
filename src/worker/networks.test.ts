import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { forwardedFor, Networks } from './networks.js';

describe('networks', () => {
  test('have addresses and networks of both families', () => {
    const networks = new Networks(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '::1']);
    for (const inside of ['10.1.2.3', '192.0.2.7', 'fd12:3456::1', '::1']) assert(networks.has(inside), inside);
    for (const outside of ['11.0.0.1', '192.0.2.8', 'fe80::1', '::2']) assert(!networks.has(outside), outside);
    assert(networks.has('::ffff:10.1.2.3'), 'an IPv4 address, as a socket for both families has it');
    assert(new Networks([]).none);
  });
});

describe('X-Forwarded-For', () => {
  const trusted = new Networks(['10.0.0.0/8']);

  test('the last untrusted hop counts, whatever is before it', () => {
    assert.equal(forwardedFor('192.0.2.1', trusted), '192.0.2.1');
    assert.equal(forwardedFor('198.51.100.1, 192.0.2.1, 10.0.0.2', trusted), '192.0.2.1');
    assert.equal(forwardedFor('garbage, 192.0.2.1', trusted), '192.0.2.1');
  });

  test('ports are passed over', () => {
    assert.equal(forwardedFor('192.0.2.1:4711', trusted), '192.0.2.1');
    assert.equal(forwardedFor('[2001:db8::1]:4711', trusted), '2001:db8::1');
    assert.equal(forwardedFor('2001:db8::1', trusted), '2001:db8::1');
  });

  test('a list that names nobody names nobody', () => {
    for (const list of ['', ',', '10.0.0.1', 'unknown', '192.0.2.1, unknown', '192.0.2.1,', 'fe80::1%eth0']) {
      assert.equal(forwardedFor(list, trusted), '', list);
    }
    assert.equal(forwardedFor(`192.0.2.1${', 10.0.0.1'.repeat(1000)}`, trusted), '', 'too long to be true');
  });
});
