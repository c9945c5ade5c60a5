import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import {
  CONNECTIONS_PER_LOOPBACK_ADDRESS,
  connectionsPossible,
  formatEndpoint,
  parseEndpoint,
  parseSources,
  parseTargets,
  planSources,
} from './addresses.js';

test('a target is an address with a port, a range of ports or a list', () => {
  assert.deepEqual(parseTargets('127.0.0.1:8000'), [{ host: '127.0.0.1', port: 8000 }]);
  assert.deepEqual(
    parseTargets('127.0.0.1:8000-8002,9000').map(({ port }) => port),
    [8000, 8001, 8002, 9000],
  );
  assert.deepEqual(parseTargets('[::1]:80'), [{ host: '::1', port: 80 }]);
  assert.deepEqual(parseTargets('localhost:80'), [{ host: '127.0.0.1', port: 80 }]);
});

test('a target without a port, with port 0 or with a name is refused', () => {
  for (const text of [
    '127.0.0.1',
    '127.0.0.1:',
    ':8000',
    '8000',
    '::1:80',
    '127.0.0.1:0',
    '127.0.0.1:70000',
    'a.b:1',
    '',
  ]) {
    assert.throws(() => parseTargets(text), InvalidArgumentError, text);
  }
  assert.throws(() => parseEndpoint('127.0.0.1:8000-8001'), /one port only/);
});

test('an endpoint is written as in a Host header', () => {
  assert.equal(formatEndpoint({ host: '127.0.0.1', port: 8000 }), '127.0.0.1:8000');
  assert.equal(formatEndpoint({ host: '::1', port: 8000 }), '[::1]:8000');
});

test('sources are addresses, ranges and lists', () => {
  assert.deepEqual(parseSources('10.0.0.5'), ['10.0.0.5']);
  assert.deepEqual(parseSources('10.0.0.254-10.0.1.1'), ['10.0.0.254', '10.0.0.255', '10.0.1.0', '10.0.1.1']);
  assert.deepEqual(parseSources('10.0.0.5-6, fd00::1'), ['10.0.0.5', '10.0.0.6', 'fd00::1']);
  assert.deepEqual(parseSources('223.255.255.255'), ['223.255.255.255']);
});

test('sources that are no addresses, run backwards or are too many are refused', () => {
  for (const text of ['', 'x', '10.0.0.5-', '10.0.0.5-4', '10.0.0.5-256', '10.0.0.1-2-3', '10.0.0.0-10.1.0.0', '1-2']) {
    assert.throws(() => parseSources(text), InvalidArgumentError, text);
  }
});

test('on loopback there are as many sources as keep each of them nearly empty', () => {
  const targets = parseTargets('127.0.0.1:8000');
  assert.deepEqual(planSources(targets, 1, []), ['127.1.0.1']);
  assert.deepEqual(planSources(targets, CONNECTIONS_PER_LOOPBACK_ADDRESS + 1, []), ['127.1.0.1', '127.1.0.2']);
  const many = planSources(targets, 2_000_000, []);
  assert.equal(many.length, 500);
  assert.equal(new Set(many).size, 500);
  assert.equal(many.at(-1), '127.1.1.244');
});

test('named sources are taken as they are; elsewhere the kernel chooses', () => {
  assert.deepEqual(planSources(parseTargets('127.0.0.1:80'), 10_000, ['127.9.9.9']), ['127.9.9.9']);
  assert.deepEqual(planSources(parseTargets('10.0.0.1:80'), 10_000, []), []);
  assert.deepEqual(planSources(parseTargets('[::1]:80'), 10_000, []), []);
});

test('ports of all sources towards all targets limit the connections', () => {
  assert.equal(connectionsPossible(parseTargets('10.0.0.1:80'), [], 28_232), 28_232);
  assert.equal(connectionsPossible(parseTargets('10.0.0.1:80-81'), ['10.0.0.2', '10.0.0.3', '10.0.0.4'], 100), 600);
});
