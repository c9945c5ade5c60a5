import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { EMFILE } from '../linux/errno.js';
import { openDescriptors } from '../linux/proc.js';
import { encodeSocketAddress } from '../linux/socket-address.js';
import { Harness, type Peer } from './contract-harness.js';
import { reactorContract } from './contract-suite.js';
import { type IoUringOptions, IoUringReactor } from './io-uring.js';
import { probeIoUring } from './io-uring-probe.js';
import { SEND_DONE } from './reactor.js';

type Pair = { peer: Peer; connection: number };

const reason = probeIoUring();
const SMALL = { slotsPerRing: 16, submissions: 4, completions: 16, receives: 2 };

if (reason === null) {
  const limits = { limitedByDescriptors: false };
  reactorContract('io-uring', (options) => new IoUringReactor(options), limits);
  reactorContract('io-uring, many rings', (options) => new IoUringReactor({ ...options, ...SMALL }), limits);
}

/** A test with a harness of its own, over rings that are as small as can be unless it says otherwise. */
function small(
  sentence: string,
  body: (harness: Harness) => Promise<void>,
  options: Partial<IoUringOptions> = {},
): void {
  test(sentence, { skip: reason ?? false }, async () => {
    const descriptors = openDescriptors('self');
    const harness = new Harness(
      (common) => new IoUringReactor({ ...common, ...SMALL, ...options }),
      options.capacity ?? 4096,
    );
    try {
      await body(harness);
    } finally {
      harness.destroy();
    }
    assert.equal(harness.buffers.liveBytes, 0, 'send buffers were left behind');
    for (let i = 0; i < 100 && openDescriptors('self') > descriptors; i++) await new Promise(setImmediate);
    assert(openDescriptors('self') <= descriptors, 'descriptors were left behind');
  });
}

small('bytes on a connection of any ring wake the reactor', async (h) => {
  const port = await h.listen();
  const pairs: Pair[] = [];
  for (let i = 0; i < 100; i++) pairs.push(await h.pair(port));
  assert(new Set(pairs.map(({ connection }) => connection >> 4)).size > 4, 'they are in several rings');
  for (const { peer, connection } of pairs) {
    await h.settle();
    peer.socket.write('wake up');
    await new Promise(setImmediate);
    const beginMs = performance.now();
    while (h.bytesOf(connection) === '') {
      h.reactor.turn(5000);
      assert(performance.now() - beginMs < 2000, 'it slept on');
    }
  }
});

small('more connections have something to read than there are buffers', async (h) => {
  const port = await h.listen();
  const pairs: Pair[] = [];
  for (let i = 0; i < 100; i++) pairs.push(await h.pair(port));
  for (const { peer } of pairs) peer.socket.write('x'.repeat(50_000));
  const all = () => pairs.every(({ connection }) => h.bytesOf(connection).length === 50_000);
  await h.until('all of it is read', all);
});

small('a fan-out larger than all queues reaches everybody', async (h) => {
  const port = await h.listen();
  const pairs: Pair[] = [];
  for (let i = 0; i < 200; i++) pairs.push(await h.pair(port));
  for (const { peer } of pairs) peer.read();
  for (let round = 0; round < 10; round++) {
    for (const { connection } of pairs) h.send(connection, `message ${round}\n`);
  }
  await h.until('everybody has all', () => pairs.every(({ peer }) => peer.byteLength === 100));
  for (const { peer } of pairs) assert.equal(peer.bytes.toString().slice(0, 20), 'message 0\nmessage 1\n');
  assert(pairs.every(({ connection }) => h.reactor.pendingBytes(connection) === 0));
});

small(
  'a slot is not used again before the kernel has let go of its requests',
  async (h) => {
    const port = await h.listen();
    const first = await h.pair(port);
    h.reactor.pauseAccepting();
    await h.settle();
    h.send(first.connection, 'x'.repeat(100_000));
    h.close(first.connection);
    const target = encodeSocketAddress('127.0.0.1', port);
    const begun: number[] = [];
    for (;;) {
      const connection = h.connect(target);
      if (connection < 0) {
        assert.equal(connection, -EMFILE);
        break;
      }
      begun.push(connection);
    }
    assert.equal(begun.length, 7, 'all slots but that one');
    assert(!begun.includes(first.connection));
    await h.until('they are connected', () => h.named('connected').length === 7);
    assert.equal(h.connect(target), first.connection);
    await h.until('so is the last one', () => h.named('connected').length === 8);
  },
  { capacity: 8 },
);

small(
  'a connection that is begun comes before an accept that waits',
  async (h) => {
    const port = await h.listen();
    const server = net.createServer((socket) => h.peerOf(socket)).listen(0, '127.0.0.1');
    await h.until('the server listens', () => server.listening);
    const target = encodeSocketAddress('127.0.0.1', (server.address() as net.AddressInfo).port);
    for (let i = 0; i < 4; i++) assert(h.connect(target) >= 0);
    assert.equal(h.connect(target), -EMFILE);
    await h.until('all are connected', () => h.named('connected').length === 4);
    await h.until('accepting has stopped', () => h.named('acceptingStopped').length === 1);
    assert.equal(h.named('accepted').length, 0);
    server.close();
    for (const [, connection] of h.named('connected').slice(0, 2)) h.close(connection);
    await h.pair(port);
    assert.equal(h.named('acceptingResumed').length, 1);
  },
  { capacity: 4 },
);

small(
  'a flood of accepts beside a flood of requests: everybody is answered',
  async (h) => {
    const port = await h.listen();
    h.on.received = (connection, bytes, start) => {
      assert.equal(bytes[start], 'x'.charCodeAt(0));
      if (h.send(connection, 'y') === SEND_DONE) h.close(connection);
    };
    h.on.sent = (connection) => h.close(connection);
    const script = `
    const net = require('net');
    let begun = 0, answered = 0;
    function begin() {
      if (begun++ >= 2000) return;
      let got = '';
      net.connect(${port}, '127.0.0.1', function () { this.write('x'.repeat(1 + begun % 3000)); })
        .on('data', (data) => { got += data; })
        .on('error', () => {})
        .on('close', () => { if (got === 'y') answered++; begin(); if (answered === 2000) process.exit(0); });
    }
    for (let i = 0; i < 300; i++) begin();`;
    const child = spawn(process.execPath, ['-e', script], { stdio: 'inherit' });
    let code: number | null | undefined;
    child.once('exit', (exitCode) => {
      code = exitCode;
    });
    await h.until('the clients are content', () => code !== undefined);
    assert.equal(code, 0);
    await h.until('all have ended', () => h.reactor.open === 0);
    assert.equal(h.named('accepted').length, 2000);
  },
  { capacity: 400 },
);

small('clients that say nothing keep no buffer from those who do', async (h) => {
  const port = await h.listen();
  const pairs: Pair[] = [];
  for (let i = 0; i < 300; i++) pairs.push(await h.pair(port));
  for (const { peer } of pairs.slice(250)) peer.socket.write('late');
  await h.until('they are heard', () => h.named('received').length === 50);
  for (const { peer } of pairs.slice(0, 250)) peer.socket.write('later');
  await h.until('so are the silent ones', () => h.named('received').length === 300);
  for (const { connection } of pairs) assert(h.send(connection, 'yes') >= 0);
  for (const { peer } of pairs) peer.read();
  await h.until('all are answered', () => pairs.every(({ peer }) => peer.bytes.toString() === 'yes'));
});

small('a connection that has said nothing can be closed and reset', async (h) => {
  const port = await h.listen();
  const closed = await h.pair(port);
  const reset = await h.pair(port);
  h.close(closed.connection);
  h.abort(reset.connection);
  closed.peer.read();
  reset.peer.read();
  await h.until('both peers know', () => closed.peer.ended && reset.peer.error === 'ECONNRESET');
});

small(
  'a table that fills up in the middle of a batch drops nobody',
  async (h) => {
    const port = await h.listen();
    h.on.received = (connection) => {
      if (h.send(connection, 'served') === SEND_DONE) h.close(connection);
    };
    h.on.sent = (connection) => h.close(connection);
    h.reactor.pauseAccepting();
    await h.settle();
    const peers: Peer[] = [];
    for (let i = 0; i < 150; i++) peers.push((await h.peer(port)).read());
    h.reactor.resumeAccepting();
    await h.until('it is full', () => h.named('acceptingStopped').length > 0);
    assert.equal(h.reactor.open, 40);
    assert.equal(h.named('accepted').length, 40, 'nobody was accepted without a place');
    for (const peer of peers) peer.socket.write('a request');
    await h.until('everybody is served', () => peers.every((peer) => peer.bytes.toString() === 'served'));
    assert.equal(h.named('accepted').length, 150);
    await h.until('all have ended', () => h.reactor.open === 0);
  },
  { capacity: 40 },
);

small('a crowd that waits with its requests is heard in a few turns', async (h) => {
  const port = await h.listen();
  h.reactor.pauseAccepting();
  await h.settle();
  const peers: Peer[] = [];
  for (let i = 0; i < 200; i++) peers.push(await h.peer(port));
  for (const peer of peers) peer.socket.write('a request');
  await new Promise(setImmediate);
  h.reactor.resumeAccepting();
  let turns = 0;
  for (; h.named('received').length < 200; turns++) {
    assert(turns < 20, `${h.named('received').length} heard`);
    h.reactor.turn(1000);
    await new Promise(setImmediate);
  }
});
