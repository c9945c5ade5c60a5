import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.js';
import {
  addressFamily,
  addressHost,
  addressPort,
  decodeSocketAddress,
  encodeSocketAddress,
  encodeUnixAddress,
} from './socket-address.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('socket addresses', () => {
  test('IPv4 is a sockaddr_in', () => {
    assert.equal(hex(encodeSocketAddress('127.0.0.1', 8000)), '02001f407f0000010000000000000000');
    assert.equal(hex(encodeSocketAddress('localhost', 8000)), '02001f407f0000010000000000000000');
  });

  test('IPv6 is a sockaddr_in6, in every way of writing it', () => {
    const vectors = [
      ['::', '00000000000000000000000000000000'],
      ['::1', '00000000000000000000000000000001'],
      ['2001:db8::', '20010db8000000000000000000000000'],
      ['2001:db8::8:800:200c:417a', '20010db80000000000080800200c417a'],
      ['2001:DB8:0:0:8:800:200C:417A', '20010db80000000000080800200c417a'],
      ['::ffff:129.144.52.38', '00000000000000000000ffff81903426'],
    ];
    for (const [text, bytes] of vectors) {
      assert.equal(hex(encodeSocketAddress(text, 65535)), `0a00ffff00000000${bytes}00000000`, text);
    }
  });

  test('what is encoded can be decoded', () => {
    for (const host of ['127.0.0.1', '0.0.0.0', '2001:db8:0:0:8:800:200c:417a', '0:0:0:0:0:0:0:1']) {
      assert.deepEqual(decodeSocketAddress(encodeSocketAddress(host, 8000)), { host, port: 8000 });
    }
    assert.deepEqual(decodeSocketAddress(encodeUnixAddress('/run/é')), { path: '/run/é' });
    assert.throws(() => decodeSocketAddress(new Uint8Array(28)), { code: 'ERR_INVALID_ADDRESS' });
  });

  test('a Unix path is a sockaddr_un that ends with a zero', () => {
    assert.equal(hex(encodeUnixAddress('/a')), '01002f6100');
    assert.equal(encodeUnixAddress('x'.repeat(107)).length, 110);
    for (const path of ['', 'x'.repeat(108), 'a\0b']) {
      assert.throws(() => encodeUnixAddress(path), { code: 'ERR_INVALID_ADDRESS' });
    }
  });

  test('what is no address is refused by name', () => {
    for (const host of ['', 'example.org', '1.2.3', '1.2.3.4.5', ':::', '[::1]', 'fe80::1%lo']) {
      assert.throws(() => encodeSocketAddress(host, 80), { code: 'ERR_INVALID_ADDRESS' }, host);
    }
    for (const port of [-1, 65536, 1.5, Number.NaN]) {
      assert.throws(() => encodeSocketAddress('127.0.0.1', port), { code: 'ERR_INVALID_ADDRESS' });
    }
  });

  test('the host is a text, and none where there is no IP address', () => {
    assert.equal(addressHost(encodeSocketAddress('192.0.2.7', 80)), '192.0.2.7');
    assert.equal(addressHost(encodeSocketAddress('2001:db8::1', 80)), '2001:db8:0:0:0:0:0:1');
    assert.deepEqual([addressHost(encodeUnixAddress('/a')), addressHost(new Uint8Array(28))], ['', '']);
  });

  test('family and port can be read back', () => {
    const addresses = [encodeSocketAddress('1.2.3.4', 40000), encodeSocketAddress('::1', 40000)];
    assert.deepEqual(addresses.map(addressFamily), [AF_INET, AF_INET6]);
    assert.deepEqual(addresses.map(addressPort), [40000, 40000]);
    assert.equal(addressFamily(encodeUnixAddress('/a')), AF_UNIX);
  });
});
