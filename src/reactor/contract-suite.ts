/**
 * The reactor contract as tests, for every backend. They rely on nothing but the contract: results may be returned or come
 * as events, at once or turns later.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as yieldToNode } from 'node:timers/promises';
import { AF_UNIX } from '../linux/constants.js';
import { ECONNREFUSED, ECONNRESET, EMFILE, ENOENT, EPIPE } from '../linux/errno.js';
import { ffiProblem } from '../linux/ffi.js';
import { encodeSocketAddress, encodeUnixAddress } from '../linux/socket-address.js';
import { sendBuffersFor } from './choose.js';
import { Harness, type MakeReactor, nodeUntil, type Peer } from './contract-harness.js';
import { type ReactorName, SEND_DONE, SEND_PENDING } from './reactor.js';

export interface ContractOptions {
  /** Connections take descriptors of the process, so that RLIMIT_NOFILE can stop accepting. */
  limitedByDescriptors: boolean;
  /** Whose kind of send buffers it takes. */
  buffers?: ReactorName;
  /** It is given sources of clients instead of listening sockets. */
  fromSources?: boolean;
}

/** Null where there are no system calls: then what takes them to try is left out. */
const sockets = ffiProblem === null ? await import('../linux/sockets.js') : null;

/** More than the socket buffers of both ends can take together (tcp_wmem and tcp_rmem: 4 and 6 MiB). */
const BIG_BYTES = 24 << 20;

/** Bytes whose order can be checked. */
function pattern(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = i;
  return new Uint8Array(words.buffer);
}

export function reactorContract(
  name: string,
  makeReactor: MakeReactor,
  { limitedByDescriptors, buffers = 'epoll', fromSources = false }: ContractOptions = { limitedByDescriptors: true },
): void {
  /** A test with a harness of its own, which is ended and checked afterwards. */
  function contract(sentence: string, body: (harness: Harness) => Promise<void>, capacity?: number): void {
    test(sentence, async () => {
      const harness = new Harness(makeReactor, capacity, sendBuffersFor(buffers), fromSources);
      try {
        await body(harness);
      } finally {
        harness.destroy();
      }
      // Node may hold what it was writing until it calls back.
      for (let i = 0; i < 100 && harness.buffers.liveBytes > 0; i++) await yieldToNode();
      assert.equal(harness.buffers.liveBytes, 0, 'send buffers were left behind');
    });
  }

  describe(`reactor contract: ${name}`, () => {
    contract('a client is accepted, heard, answered and closed', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert.equal(h.reactor.open, 1);
      peer.socket.write('ping');
      await h.until('the ping arrives', () => h.bytesOf(connection) === 'ping');
      assert(h.send(connection, 'pong') >= 0);
      await h.until('it is sent', () => h.reactor.pendingBytes(connection) === 0);
      h.close(connection);
      peer.read();
      await h.until('the peer reads the end', () => peer.ended);
      assert.equal(peer.bytes.toString(), 'pong');
      await h.until('the slot is free', () => h.reactor.open === 0);
      assert.equal(h.named('closed').length, 0, 'an end of our own is not reported');
    });

    contract('a reactor that listens nowhere never stops accepting', async (h) => {
      const server = net.createServer((socket) => socket.end()).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as net.AddressInfo;
      for (let i = 0; i < 3; i++) {
        h.connect(encodeSocketAddress('127.0.0.1', port));
        await h.until('the end is reported', () => h.named('closed').length === i + 1);
      }
      server.close();
      assert.deepEqual(h.named('acceptingStopped'), []);
    });

    contract('each client is reported with its listener', async (h) => {
      const ports = [await h.listen(), await h.listen(), await h.listen()];
      for (const [listener, port] of ports.entries()) {
        await h.pair(port);
        assert.equal(h.named('accepted').at(-1)![2], listener);
      }
    });

    contract('of more listeners than anybody reserves room for, each is accepted from', async (h) => {
      const ports: number[] = [];
      for (let i = 0; i < 20; i++) ports.push(await h.listen());
      for (const [listener, port] of [...ports.entries()].reverse()) {
        await h.pair(port);
        assert.equal(h.named('accepted').at(-1)![2], listener);
      }
    });

    contract(
      'a turn that leaves clients in the queue says that it is unfinished, and the last one does not',
      async (h) => {
        // Its clients are accepted by Node's loop, and there is nothing that it knows of beforehand.
        if (h.reactor.name === 'portable') return assert.equal(h.reactor.unfinished, false);
        const port = await h.listen();
        await h.settle();
        assert.equal(h.reactor.unfinished, false);
        const clients = 1200;
        let connected = 0;
        for (let i = 0; i < clients; i++) h.peerOf(net.connect(port, '127.0.0.1').on('connect', () => connected++));
        await nodeUntil('all clients are queued (sysctl net.core.somaxconn?)', () => connected === clients);
        h.reactor.turn(1000);
        assert(h.reactor.unfinished, `after ${h.named('accepted').length} clients`);
        await h.until('all are accepted', () => h.named('accepted').length === clients);
        await h.settle();
        assert.equal(h.reactor.unfinished, false);
      },
    );

    contract('the address of a client is told where it is asked for, with many at once', async (h) => {
      const port = await h.listen();
      const before = await h.pair(port);
      h.reactor.peerAddresses = true;
      // An accept that is under way may still have none.
      await h.settle();
      const seen = new Map<number, string>();
      h.on.accepted = (connection) => seen.set(connection, Buffer.from(h.reactor.peer.subarray(0, 8)).toString('hex'));
      const expected: string[] = [];
      for (let i = 0; i < 150; i++) {
        const host = `127.0.${i % 3}.${2 + i}`;
        const socket = net.connect({ port, host: '127.0.0.1', localAddress: host });
        h.peerOf(socket);
        await h.until('a client is connected', () => !socket.connecting);
        expected.push(Buffer.from(encodeSocketAddress(host, socket.localPort!).subarray(0, 8)).toString('hex'));
      }
      await h.until('all are accepted', () => seen.size === 150);
      assert.deepEqual([...seen.values()].sort(), expected.sort());
      h.close(before.connection);
      h.reactor.peerAddresses = false;
      await h.settle();
      seen.clear();
      await h.pair(port);
      assert.deepEqual(
        [...seen.values()].map((address) => address.slice(0, 4)),
        ['0000'],
      );
    });

    contract('the address of a client over IPv6 is told whole', async (h) => {
      h.reactor.peerAddresses = true;
      const port = await h.listen('::1');
      let address = new Uint8Array();
      h.on.accepted = () => {
        address = h.reactor.peer.slice();
      };
      const socket = net.connect(port, '::1');
      h.peerOf(socket);
      await h.until('it is accepted', () => address.length > 0);
      assert.deepEqual(address, encodeSocketAddress('::1', socket.localPort!));
    });

    contract('who stops listening refuses clients, and serves those that it has', async (h) => {
      const port = await h.listen();
      const { peer, connection } = await h.pair(port);
      h.reactor.stopListening();
      await h.settle();
      const late = h.peerOf(net.connect(port, '127.0.0.1'));
      await h.until('a client is refused', () => late.error !== undefined);
      assert.equal(late.error, 'ECONNREFUSED');
      peer.socket.write('ping');
      await h.until('the ping arrives', () => h.bytesOf(connection) === 'ping');
      assert.deepEqual(h.named('acceptingStopped'), []);
    });

    contract('a send larger than the socket buffer is pending, then sent, once and in order', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      const bytes = pattern(BIG_BYTES);
      assert.equal(h.send(connection, bytes), SEND_PENDING);
      assert(h.reactor.pendingBytes(connection) > 0);
      assert(h.buffers.liveBytes >= BIG_BYTES, 'the reactor holds a reference');
      assert.equal(h.send(connection, 'the end'), SEND_PENDING, 'what comes later waits its turn');
      await h.settle();
      assert.equal(h.named('sent').length, 0);
      peer.read();
      await h.until('all has arrived', () => peer.byteLength === BIG_BYTES + 7);
      await h.until('sent is reported', () => h.named('sent').length > 0);
      await h.settle();
      assert.deepEqual(h.named('sent'), [['sent', connection]]);
      assert(peer.bytes.equals(Buffer.concat([bytes, Buffer.from('the end')])));
      assert.equal(h.buffers.liveBytes, 0);
      assert(h.send(connection, 'again') >= 0, 'the connection goes on');
    });

    contract('one buffer is sent to many connections', async (h) => {
      const port = await h.listen();
      const pairs = [await h.pair(port), await h.pair(port), await h.pair(port)];
      const buffer = h.buffers.allocate(5);
      h.buffers.bytes(buffer).set(Buffer.from('hello'));
      for (const { connection } of pairs) assert(h.reactor.send(connection, buffer) >= 0);
      h.buffers.release(buffer);
      for (const { peer } of pairs) peer.read();
      await h.until('all have it', () => pairs.every(({ peer }) => peer.bytes.toString() === 'hello'));
      await h.until('the buffer is free', () => h.buffers.liveBytes === 0);
    });

    contract('a buffer is sent to many in one call, each of which may be done, pending or gone', async (h) => {
      const port = await h.listen();
      const pairs: Awaited<ReturnType<Harness['pair']>>[] = [];
      for (let i = 0; i < 70; i++) pairs.push(await h.pair(port));
      const connections = pairs.map(({ connection }) => connection);
      const [slow, gone] = [7, 40];
      assert.equal(h.send(connections[slow], pattern(BIG_BYTES)), SEND_PENDING);
      pairs[gone].peer.socket.resetAndDestroy();
      for (let i = 0; i < 10; i++) await yieldToNode();

      const { done, results } = h.sendAll(connections, 'hello');
      assert.equal(results[slow], SEND_PENDING);
      assert(results[gone] === SEND_PENDING || results[gone] < 0);
      assert.equal(done, 68);
      assert.equal(results.filter((result) => result === SEND_DONE).length, done);
      await h.until('the end of who has gone is known', () => !h.live.has(connections[gone]));

      const others = connections.filter((_, i) => i !== gone);
      assert.equal(h.sendAll(others, ', world').done, 68);
      for (const { peer } of pairs) peer.read();
      const whole = ({ peer }: (typeof pairs)[number], i: number) =>
        i === gone || peer.byteLength === (i === slow ? BIG_BYTES : 0) + 12;
      await h.until('all others have it', () => pairs.every(whole));
      await h.until('the slow one is done', () => h.named('sent').length > 0);
      assert.deepEqual(h.named('sent'), [['sent', connections[slow]]]);
      for (const { peer } of pairs.filter((_, i) => i !== gone)) {
        assert.equal(peer.bytes.subarray(-12).toString(), 'hello, world');
      }
      assert.equal(h.sendAll([], 'nobody').done, 0);
    });

    contract('what is too large for all of many arrives whole and is reported for each', async (h) => {
      const port = await h.listen();
      const pairs = [await h.pair(port), await h.pair(port), await h.pair(port)];
      const connections = pairs.map(({ connection }) => connection);
      const bytes = pattern(BIG_BYTES / 2);
      assert.deepEqual(h.sendAll(connections, bytes), { done: 0, results: [SEND_PENDING, SEND_PENDING, SEND_PENDING] });
      for (const { peer } of pairs) peer.read();
      await h.until('each is reported', () => h.named('sent').length === 3);
      await h.until('each has it', () => pairs.every(({ peer }) => peer.byteLength === bytes.length));
      for (const { peer } of pairs) assert(peer.bytes.equals(bytes));
      assert.equal(h.buffers.liveBytes, 0);
    });

    contract('what is pending is dropped and released when the connection is closed', async (h) => {
      const { connection } = await h.pair(await h.listen());
      assert.equal(h.send(connection, pattern(BIG_BYTES)), SEND_PENDING);
      h.close(connection);
      await h.until('the buffer is free', () => h.buffers.liveBytes === 0);
      await h.settle();
      assert.equal(h.named('sent').length + h.named('closed').length, 0);
    });

    contract('an end of stream is reported after the bytes before it', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      peer.socket.end('last words');
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.equal(h.bytesOf(connection), 'last words');
      assert.deepEqual(h.recorded.at(-1), ['closed', connection, 0]);
      assert.equal(h.reactor.open, 0, 'the slot was released before');
    });

    contract('a reset is reported as ECONNRESET', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      peer.socket.resetAndDestroy();
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.deepEqual(h.recorded.at(-1), ['closed', connection, ECONNRESET]);
    });

    contract('a reset ends a pending send', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert.equal(h.send(connection, pattern(BIG_BYTES)), SEND_PENDING);
      peer.socket.resetAndDestroy();
      await h.until('it is closed', () => h.named('closed').length > 0);
      const [, subject, errno] = h.recorded.at(-1)!;
      assert.equal(subject, connection);
      assert(errno === ECONNRESET || errno === EPIPE, `errno ${errno}`);
      await h.until('its buffer is let go of', () => h.buffers.liveBytes === 0);
    });

    contract('bytes and an end of stream that are both there are reported in one turn', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      peer.socket.end('GET and away');
      await once(peer.socket, 'finish');
      const before = h.recorded.length;
      await h.turn(1000);
      assert.deepEqual(h.recorded.slice(before), [
        ['received', connection, 'GET and away'],
        ['closed', connection, 0],
      ]);
    });

    contract('an end of stream while a send is pending is reported after the send', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert.equal(h.send(connection, pattern(BIG_BYTES)), SEND_PENDING);
      peer.socket.end('request');
      await h.until('the request arrives', () => h.bytesOf(connection) === 'request');
      await h.settle();
      assert.equal(h.named('closed').length, 0);
      peer.read();
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.deepEqual(
        h.recorded.filter(([event]) => event === 'sent' || event === 'closed'),
        [
          ['sent', connection],
          ['closed', connection, 0],
        ],
      );
      await h.until('the peer has all', () => peer.byteLength === BIG_BYTES);
    });

    contract('a reset ends a send that was pending when the end of stream came', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert.equal(h.send(connection, pattern(BIG_BYTES)), SEND_PENDING);
      peer.socket.end('request');
      await h.until('the request arrives', () => h.named('received').length > 0);
      await h.settle();
      peer.socket.resetAndDestroy();
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.equal(h.recorded.at(-1)![1], connection);
      assert.notEqual(h.recorded.at(-1)![2], 0);
      assert.equal(h.named('sent').length, 0);
    });

    contract('a send on a connection that the peer has reset fails, by its result or by an event', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      peer.socket.resetAndDestroy();
      await new Promise((resolve) => peer.socket.once('close', resolve));
      const result = h.send(connection, 'too late');
      if (result >= 0) await h.until('it is closed', () => h.named('closed').length > 0);
      else assert(result === -ECONNRESET || result === -EPIPE, `result ${result}`);
      await h.settle();
      assert.equal(h.named('closed').length, result < 0 ? 0 : 1);
      assert.equal(h.reactor.open, 0);
    });

    contract('shutdown ends our side only', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert(h.send(connection, 'bye') >= 0);
      h.reactor.shutdown(connection);
      h.reactor.shutdown(connection);
      peer.read();
      await h.until('the peer reads the end', () => peer.ended);
      assert.equal(peer.bytes.toString(), 'bye');
      peer.socket.write('one more thing');
      await h.until('it is still heard', () => h.bytesOf(connection) === 'one more thing');
      assert.equal(h.named('closed').length, 0);
      peer.socket.end();
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.deepEqual(h.recorded.at(-1), ['closed', connection, 0]);
    });

    contract('shutdown waits for what is pending', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      assert.equal(h.send(connection, pattern(BIG_BYTES)), SEND_PENDING);
      h.reactor.shutdown(connection);
      peer.read();
      await h.until('the peer reads the end', () => peer.ended);
      assert.equal(peer.byteLength, BIG_BYTES);
    });

    contract('abort resets the connection', async (h) => {
      const { peer, connection } = await h.pair(await h.listen());
      peer.read();
      h.abort(connection);
      await h.until('the peer is told', () => peer.error !== undefined);
      assert.equal(peer.error, 'ECONNRESET');
      assert.equal(h.reactor.open, 0);
    });

    contract('connects to a TCP server, from the address it was told', async (h) => {
      const clients: Peer[] = [];
      const server = net.createServer((socket) => clients.push(h.peerOf(socket).read())).listen(0, '127.0.0.1');
      await h.until('the server listens', () => server.listening);
      const { port } = server.address() as net.AddressInfo;
      const connection = h.connect(encodeSocketAddress('127.0.0.1', port), encodeSocketAddress('127.0.0.9', 0));
      assert(connection >= 0);
      assert.equal(h.recorded.length, 0, 'nothing is reported outside a turn');
      await h.until('it is connected', () => h.named('connected').length > 0 && clients.length > 0);
      assert.equal(clients[0].socket.remoteAddress, '127.0.0.9');
      assert(h.send(connection, 'hello') >= 0);
      clients[0].socket.write('welcome');
      await h.until('both are heard', () => clients[0].byteLength === 5 && h.bytesOf(connection) === 'welcome');
      server.close();
    });

    contract('connects over IPv6', async (h) => {
      const server = net.createServer((socket) => h.peerOf(socket).socket.end('six')).listen(0, '::1');
      await h.until('the server listens', () => server.listening);
      const { port } = server.address() as net.AddressInfo;
      const connection = h.connect(encodeSocketAddress('::1', port), encodeSocketAddress('::1', 0));
      await h.until('it is closed', () => h.named('closed').length > 0);
      assert.equal(h.bytesOf(connection), 'six');
      server.close();
    });

    contract('an idle connection causes no events, whatever state it is in', async (h) => {
      const port = await h.listen();
      await h.pair(port);
      const shut = await h.pair(port);
      h.reactor.shutdown(shut.connection);
      const full = await h.pair(port);
      h.send(full.connection, pattern(BIG_BYTES));
      full.peer.socket.end();
      await h.settle();
      // On a busy machine the end of the last one may come later than that; what must not be is that events come again and again.
      let quietTurns = 0;
      for (let i = 0; i < 100 && quietTurns < 5; i++) {
        quietTurns = (await h.turn(5)) === 0 ? quietTurns + 1 : 0;
        await yieldToNode();
      }
      assert.equal(quietTurns, 5);
    });

    contract('a refused connection is reported once, by the result or by closed', async (h) => {
      const server = net.createServer().listen(0, '127.0.0.1');
      await h.until('the server listens', () => server.listening);
      const { port } = server.address() as net.AddressInfo;
      await new Promise((resolve) => server.close(resolve));
      await failedConnect(h, encodeSocketAddress('127.0.0.1', port), ECONNREFUSED);
    });

    contract('connects to a Unix socket, or says that there is none', async (h) => {
      const directory = mkdtempSync(join(tmpdir(), 'reactor-'));
      const path = join(directory, 'socket');
      await failedConnect(h, encodeUnixAddress(path), ENOENT);
      const clients: Peer[] = [];
      const server = net.createServer((socket) => clients.push(h.peerOf(socket).read())).listen(path);
      await h.until('the server listens', () => server.listening);
      const connection = h.connect(encodeUnixAddress(path));
      await h.until('it is connected', () => h.named('connected').length > 0 && clients.length > 0);
      assert(h.send(connection, 'hello') >= 0);
      await h.until('it is heard', () => clients[0].byteLength === 5);
      clients[0].socket.end('bye');
      await h.until('it is closed', () => h.recorded.at(-1)![0] === 'closed');
      assert.equal(h.bytesOf(connection), 'bye');
      assert.equal(h.recorded.at(-1)![2], 0);
      server.close();
      rmSync(directory, { recursive: true });
    });

    const adopts = sockets === null ? () => {} : contract;
    adopts('adopts sockets that somebody else has opened', async (h) => {
      const [left, right] = sockets!.openSocketPair(AF_UNIX).map((fd) => h.adopt(fd));
      assert.equal(h.reactor.open, 2);
      assert(h.send(left, 'over') >= 0);
      await h.until('it arrives', () => h.bytesOf(right) === 'over');
      h.close(left);
      await h.until('the other end is told', () => h.named('closed').length > 0);
      assert.deepEqual(h.recorded.at(-1), ['closed', right, 0]);
    });

    contract(
      'a connection that is closed inside a batch gets no event of that batch, nor does its successor',
      async (h) => {
        const port = await h.listen();
        const first = await h.pair(port);
        const second = await h.pair(port);
        h.on.received = (connection) => {
          if (connection === first.connection) h.close(second.connection);
          else if (connection === second.connection) h.close(first.connection);
        };
        first.peer.socket.write('x');
        second.peer.socket.write('x');
        // No turn until all three have happened, so that they are in one batch.
        const third = net.connect({ port, host: '127.0.0.1' });
        await new Promise((resolve) => third.once('connect', resolve));
        const successor = h.peerOf(third);
        await h.until('the third is accepted', () => h.named('accepted').length === 3);
        await h.settle();
        assert.equal(h.named('received').length, 1);
        const connection = h.named('accepted')[2][1];
        const before = h.recorded.length;
        successor.socket.write('mine');
        await h.until('the third is heard', () => h.recorded.length > before);
        assert.deepEqual(h.recorded.slice(before), [['received', connection, 'mine']]);
      },
    );

    contract('accepting can be paused and resumed', async (h) => {
      const port = await h.listen();
      await h.pair(port);
      h.reactor.pauseAccepting();
      const waiting = await h.peer(port);
      waiting.socket.write('early');
      await h.settle();
      assert.equal(h.named('accepted').length, 1);
      h.reactor.resumeAccepting();
      await h.until('the waiting client is heard', () => h.named('received').length > 0);
      assert.equal(h.named('accepted').length, 2);
      assert.equal(h.named('acceptingStopped').length, 0, 'only what the reactor does by itself is reported');
    });

    contract(
      'at its capacity it stops accepting, says so once, and goes on when a connection has ended',
      async (h) => {
        // The clients are in another process, because descriptors of this one may take slots.
        const port = await h.listen();
        const clients = 100;
        const script = `for (let i = 0; i < ${clients}; i++) require('net').connect(${port}, '127.0.0.1').on('error', () => {})`;
        const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
        await h.until('it stops', () => h.named('acceptingStopped').length > 0);
        await h.settle();
        assert.deepEqual(h.named('acceptingStopped'), [['acceptingStopped', 0]]);
        const full = h.reactor.open;
        assert(full > 0 && full <= h.reactor.capacity, `${full} connections`);
        h.close(h.named('accepted')[0][1]);
        await h.until('it has stopped again', () => h.named('acceptingStopped').length === 2);
        assert.equal(h.named('acceptingResumed').length, 1);
        assert.equal(h.reactor.open, full);
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill();
        await ended;
        await h.until('all have ended', () => h.reactor.open === 0);
      },
      64,
    );

    if (limitedByDescriptors) {
      contract('out of descriptors it stops accepting, says so once, serves on, and accepts again', async (h) => {
        const { soft } = sockets!.descriptorLimit();
        const port = await h.listen();
        h.reactor.pauseAccepting();
        const peers: Peer[] = [];
        for (let i = 0; i < 30; i++) peers.push(await h.peer(port));
        h.reactor.resumeAccepting();
        try {
          sockets!.setDescriptorLimit(limitWithFree(10));
          await h.until('it stops', () => h.named('acceptingStopped').length > 0);
          assert.deepEqual(h.named('acceptingStopped'), [['acceptingStopped', EMFILE]]);
          const held = h.reactor.open;
          assert(held > 0 && held < peers.length, `${held} connections`);
          for (const peer of peers) peer.read().socket.write('still there?');
          await h.until('all that are held are heard', () => h.named('received').length === held);
          for (const connection of h.live) assert(h.send(connection, 'yes') >= 0);
          await h.until('all are answered', () => peers.filter((peer) => peer.byteLength > 0).length === held);
          assert.equal(h.named('acceptingStopped').length, 1);

          h.close(h.named('accepted')[0][1]);
          await h.until('it has stopped again', () => h.named('acceptingStopped').length === 2);
          assert.equal(h.named('accepted').length, held + 1);
        } finally {
          sockets!.setDescriptorLimit(soft);
        }
        // Nothing ends here: the reactor finds out by itself.
        await h.until('everybody is accepted', () => h.named('accepted').length === peers.length);
        assert.equal(h.named('acceptingResumed').length, 2);
      });
    }

    for (const event of ['accepted', 'connected', 'received', 'sent'] as const) {
      contract(`a connection may be closed inside ${event}`, async (h) => {
        const port = await h.listen();
        const ends = new Set<number>();
        const end = (connection: number) => {
          ends.add(connection);
          h.close(connection);
        };
        h.on.connected = event === 'connected' ? end : (connection) => void h.send(connection, 'x');
        h.on.received = (connection) => {
          if (event === 'received') end(connection);
          if (event === 'sent' && h.send(connection, pattern(BIG_BYTES)) === SEND_DONE) assert.fail('it was too small');
        };
        if (event === 'accepted') h.on.accepted = end;
        if (event === 'sent') h.on.sent = end;
        if (event === 'sent') (await h.peer(port)).read().socket.write('x');
        else h.connect(encodeSocketAddress('127.0.0.1', port));
        await h.until('one end is closed', () => ends.size === 1);
        if (event !== 'sent') await h.until('the other end is told', () => h.reactor.open === 0);
        await h.settle();
        const [closed] = ends;
        const after = h.recorded.slice(h.recorded.findLastIndex(([name]) => name === event) + 1);
        assert(!after.some(([name, subject]) => subject === closed && name !== 'accepted'), JSON.stringify(after));
      });
    }

    contract('inside closed the slot is free, and a new connection may be begun', async (h) => {
      const port = await h.listen();
      const { peer } = await h.pair(port);
      h.on.closed = () => {
        delete h.on.closed;
        assert.equal(h.reactor.open, 0);
        h.connect(encodeSocketAddress('127.0.0.1', port));
      };
      peer.socket.end();
      await h.until('the new one is connected', () => h.named('connected').length === 1);
      await h.until('and accepted', () => h.named('accepted').length === 2);
    });

    test('it may be destroyed inside an event', async () => {
      const h = new Harness(makeReactor, undefined, sendBuffersFor(buffers), fromSources);
      const port = await h.listen();
      const peers = [(await h.pair(port)).peer, (await h.pair(port)).peer];
      let received = 0;
      h.on.received = (_connection, bytes, start) => {
        received++;
        h.reactor.destroy();
        assert.equal(bytes[start], 'x'.charCodeAt(0), 'the view is still valid');
      };
      for (const peer of peers) peer.socket.write('x');
      const deadlineMs = performance.now() + 5000;
      while (received === 0 && performance.now() < deadlineMs) await h.turn(10);
      assert.equal(received, 1, 'no event follows');
      for (const peer of peers) peer.socket.destroy();
    });

    contract('a turn without events lasts as long as it may, and no longer', async (h) => {
      const beginMs = performance.now();
      assert.equal(await h.turn(50), 0);
      const tookMs = performance.now() - beginMs;
      assert(tookMs >= 49 && tookMs < 2000, `${tookMs} ms`);
    });

    contract('a signal ends the wait, or is handled during it', async (h) => {
      let signals = 0;
      let handledMs = 0;
      const beginMs = performance.now();
      const handle = () => {
        if (signals++ === 0) handledMs = performance.now() - beginMs;
      };
      process.on('SIGHUP', handle);
      // Again and again, because one that comes just before the wait begins does not end it.
      const signalling = `for i in $(seq 80); do sleep 0.1; kill -HUP ${process.pid} || exit; done`;
      const sender = spawn('sh', ['-c', signalling], { stdio: 'ignore' });
      const waitMs = h.reactor.wait === undefined ? 8000 : 1500;
      // As in the run loop, each turn is an immediate of its own: between two of them Node looks at its signals. Before the first
      // one we may be anywhere, and the immediate after it would come without that.
      await new Promise(setImmediate);
      while (signals === 0 && performance.now() - beginMs < 8000) {
        assert.equal(await h.turn(waitMs), 0);
        await new Promise(setImmediate);
      }
      const senderEnded = once(sender, 'exit');
      sender.kill();
      await senderEnded;
      process.off('SIGHUP', handle);
      assert(signals >= 1);
      assert(handledMs < 1400, `it was handled after ${handledMs} ms`);
    });

    contract('5,000 connections, ended in every way, leave nothing behind', async (h) => {
      const port = await h.listen();
      const target = encodeSocketAddress('127.0.0.1', port);
      await h.pair(port).then(({ connection }) => h.close(connection));
      await h.settle();
      const socketsBefore = openSockets();
      let begun = 0;
      const ways = [
        (connection: number) => h.close(connection),
        (connection: number) => h.abort(connection),
        (connection: number) => h.reactor.shutdown(connection),
        (connection: number) => void h.send(connection, 'request'),
      ];
      h.on.connected = (connection) => ways[begun % ways.length](connection);
      h.on.received = (connection) => {
        if (h.send(connection, 'answer') >= 0) h.close(connection);
      };
      const total = 5000;
      while (begun < total) {
        for (let i = 0; i < 50; i++, begun++) {
          const source = encodeSocketAddress(`127.0.0.${2 + (begun % 50)}`, 0);
          assert(h.connect(target, source) >= 0);
          await h.turn(0);
        }
        await h.until('all of them have ended', () => h.reactor.open === 0);
        h.recorded.length = 0;
      }
      await h.settle();
      assert.equal(h.reactor.open, 0);
      assert.equal(openSockets(), socketsBefore);
      assert.equal(h.buffers.liveBytes, 0);
    });
  });
}

/** Sockets that this process has open: its descriptors, where these can be seen. */
function openSockets(): number {
  if (!existsSync('/proc/self/fd')) {
    return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  }
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the one that reads the directory is gone
    }
  }).length;
}

async function failedConnect(h: Harness, target: Uint8Array, errno: number): Promise<void> {
  const before = h.recorded.length;
  const connection = h.connect(target);
  if (connection < 0) {
    assert.equal(connection, -errno);
    await h.settle();
    assert.equal(h.recorded.length, before);
  } else {
    await h.until('it fails', () => h.recorded.length > before);
    assert.deepEqual(h.recorded.slice(before), [['closed', connection, errno]]);
  }
  assert.equal(h.reactor.open, 0);
}

/** A soft limit of descriptors below which so many numbers are free, and the one that reading the directory takes. */
function limitWithFree(free: number): number {
  const used = new Set(readdirSync('/proc/self/fd').map(Number));
  let limit = 0;
  for (let left = free; left > 0; limit++) if (!used.has(limit)) left--;
  return limit;
}
