import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { REMEMBERED_ADDRESSES_MAX } from '../limits.js';
import { encodeSocketAddress, encodeUnixAddress } from '../linux/socket-address.js';
import { Addresses, NO_ADDRESS } from './addresses.js';

const at = (host: string, port = 1000) => encodeSocketAddress(host, port);

describe('addresses', () => {
  test('connections of one address are counted, whatever their port', () => {
    const addresses = new Addresses(10);
    const one = addresses.enter(1, at('192.0.2.1', 1));
    assert.equal(addresses.enter(2, at('192.0.2.1', 2)), one);
    assert.notEqual(addresses.enter(3, at('192.0.2.2')), one);
    assert.deepEqual([addresses.count(one), addresses.of(2), addresses.size], [2, one, 2]);
    addresses.leave(1);
    addresses.leave(1);
    assert.equal(addresses.count(one), 1);
    addresses.leave(2);
    addresses.leave(3);
    assert.equal(addresses.size, 0);
  });

  test('of IPv6 the network of 64 bits counts', () => {
    const addresses = new Addresses(10);
    const network = addresses.enter(1, at('2001:db8:1:2::1'));
    assert.equal(addresses.enter(2, at('2001:db8:1:2:ffff::7')), network);
    assert.notEqual(addresses.enter(3, at('2001:db8:1:3::1')), network);
  });

  test('an IPv4 address in an IPv6 one is itself, and not all of its kind', () => {
    const addresses = new Addresses(10);
    const one = addresses.enter(1, at('::ffff:192.0.2.1'));
    assert.equal(addresses.enter(2, at('192.0.2.1')), one);
    assert.notEqual(addresses.enter(3, at('::ffff:192.0.2.2')), one);
    assert.notEqual(addresses.enter(4, at('::1')), one);
  });

  test('what is no IP address is none', () => {
    const addresses = new Addresses(10);
    assert.equal(addresses.enter(1, encodeUnixAddress('/run/a')), NO_ADDRESS);
    assert.equal(addresses.enter(1, new Uint8Array(28)), NO_ADDRESS);
    addresses.leave(1);
    assert.equal(addresses.size, 0);
  });

  test('a connection that is of another address now is no longer of the first', () => {
    const addresses = new Addresses(10);
    const first = addresses.enter(1, at('192.0.2.1'));
    addresses.enter(2, at('192.0.2.1'));
    const second = addresses.enter(1, at('192.0.2.2'));
    assert.deepEqual([addresses.count(first), addresses.count(second)], [1, 1]);
    assert.equal(addresses.enter(1, at('192.0.2.2')), second);
    assert.equal(addresses.count(second), 1);
  });

  test('failures decay, are remembered without connections, and are forgotten', () => {
    const addresses = new Addresses(10);
    const address = addresses.enter(1, at('192.0.2.1'));
    for (let i = 0; i < 4; i++) addresses.failed(address, 1000);
    assert.equal(addresses.failures(address, 1000), 4);
    assert.equal(addresses.failures(address, 31_000), 2);
    addresses.leave(1);
    addresses.expire(31_000);
    assert.equal(addresses.size, 1);
    assert.equal(addresses.enter(2, at('192.0.2.1')), address);
    assert.equal(addresses.failures(address, 61_000), 1);
    addresses.leave(2);
    addresses.expire(200_000);
    assert.equal(addresses.size, 0);
    assert.equal(addresses.failures(addresses.enter(3, at('192.0.2.1')), 200_000), 0);
  });

  test('a flood of addresses that fail and leave takes no more than was planned', () => {
    const addresses = new Addresses(4);
    for (let i = 0; i < REMEMBERED_ADDRESSES_MAX + 1000; i++) {
      const host = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
      addresses.failed(addresses.enter(1, at(host)), 0);
      addresses.leave(1);
    }
    assert.equal(addresses.size, REMEMBERED_ADDRESSES_MAX);
  });

  test('an address with many connections is reported at each change, down to none', () => {
    const addresses = new Addresses(10);
    addresses.reportFrom = 2;
    addresses.enter(1, at('192.0.2.1'));
    assert.equal(addresses.takeChanges(), null);
    addresses.enter(2, at('192.0.2.1'));
    addresses.enter(3, at('2001:db8:1:2::1'));
    addresses.enter(4, at('2001:db8:1:2::2'));
    const [v4, v6] = ['ffffffffc0000201', '20010db800010002'];
    assert.deepEqual(addresses.takeChanges(), [
      [v4, 2],
      [v6, 2],
    ]);
    addresses.leave(1);
    assert.deepEqual(addresses.takeChanges(), [[v4, 1]]);
    addresses.leave(2);
    assert.deepEqual(addresses.takeChanges(), [[v4, 0]]);
    addresses.enter(1, at('192.0.2.1'));
    assert.equal(addresses.takeChanges(), null, 'it begins anew');
  });

  test('what others have counts too, and makes an address known here and reported', () => {
    const addresses = new Addresses(10);
    const key = 'ffffffffc0000201';
    addresses.reportFrom = 5;
    addresses.setElsewhere(key, 3);
    assert.equal(addresses.size, 1);
    const address = addresses.enter(1, at('192.0.2.1'));
    assert.deepEqual([addresses.count(address), addresses.total(address)], [1, 4]);
    assert.deepEqual(addresses.takeChanges(), [[key, 1]]);
    addresses.leave(1);
    assert.deepEqual(addresses.takeChanges(), [[key, 0]]);
    addresses.setElsewhere(key, 0);
    addresses.setElsewhere(key, 0);
    assert.equal(addresses.size, 0);
  });

  test('a manager that is new is told of all that counts, and what others had is forgotten', () => {
    const addresses = new Addresses(10);
    addresses.reportFrom = 2;
    for (const connection of [1, 2]) addresses.enter(connection, at('192.0.2.1'));
    addresses.enter(3, at('192.0.2.2'));
    addresses.setElsewhere('ffffffffc0000202', 7);
    addresses.setElsewhere('ffffffffc0000203', 7);
    addresses.takeChanges();
    addresses.reportAll();
    assert.deepEqual(addresses.takeChanges(), [['ffffffffc0000201', 2]]);
    assert.equal(addresses.total(addresses.of(3)), 1);
    assert.equal(addresses.size, 2);
  });

  test('failures count as long in a process that has run for months', () => {
    const addresses = new Addresses(10);
    const address = addresses.enter(1, at('192.0.2.1'));
    assert.equal(addresses.failures(address, 0), 0);
    const monthsMs = 100 * 86_400_000;
    addresses.failed(address, monthsMs);
    addresses.failed(address, monthsMs);
    assert.equal(addresses.failures(address, monthsMs), 2);
    assert.equal(addresses.failures(address, monthsMs + 30_000), 1);
  });

  test('counts are those of a map, whatever comes and goes', () => {
    const step = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.option(fc.integer({ min: 0, max: 5 })));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const addresses = new Addresses(16);
        const model = new Map<number, number>();
        for (const [connection, host] of steps) {
          if (host === null) {
            addresses.leave(connection);
            model.delete(connection);
          } else {
            addresses.enter(connection, at(`192.0.2.${host}`));
            model.set(connection, host);
          }
          const hosts = [...model.values()];
          assert.equal(addresses.size, new Set(hosts).size);
          for (const [held, of] of model) {
            assert.equal(addresses.count(addresses.of(held)), hosts.filter((other) => other === of).length);
          }
        }
      }),
    );
  });
});
