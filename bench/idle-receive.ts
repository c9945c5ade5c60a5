/**
 * The figures behind docs/adr/0006-io-uring.md: what a connection costs that is accepted, read once and idle, in the way of
 * the reactor (batches of accepts into chosen slots, a first receive, a poll), with many accepts that wait instead, and in
 * that of multishot accept, with a poll or with multishot receive and provided buffers.
 *
 *     npm run build && sudo node dist/bench/idle-receive.js      (root: /proc/slabinfo)
 *
 * Clients and server are one process, and only the server's half is timed. The ways take turns. A flood is 64 clients
 * that wait when the server wakes, a trickle is one.
 */

import { readFileSync } from 'node:fs';
import { AF_INET, SOCK_CLOEXEC, SOCK_STREAM } from '../src/linux/constants.js';
import { SystemError } from '../src/linux/errno.js';
import {
  IORING_ACCEPT_DONTWAIT,
  IORING_OP_ACCEPT,
  IORING_OP_RECV,
  IOSQE_FIXED_FILE,
  ioUringRegister,
} from '../src/linux/io-uring.js';
import * as libc from '../src/linux/libc.js';
import { mapNative } from '../src/linux/native-memory.js';
import { encodeSocketAddress } from '../src/linux/socket-address.js';
import { acceptQueueLength, closeDescriptor, openListener, raiseDescriptorLimit } from '../src/linux/sockets.js';
import * as requests from '../src/reactor/io-uring-requests.js';
import { ACCEPT, kindOf, RECEIVE } from '../src/reactor/io-uring-requests.js';
import { Ring } from '../src/reactor/io-uring-ring.js';
import { median } from './measure.js';

const CLIENTS = 4096;
const BATCH = 64;
const PASSES = 9;
const SETTLE_MS = 300;
const BUFFERS = 256;
const BUFFER_BYTES = 2048;
const WAIT_MS = 1000;

// linux/io_uring.h, what only the multishot way needs
const IORING_REGISTER_PBUF_RING = 22;
const IOSQE_BUFFER_SELECT = 1 << 5;
const IORING_ACCEPT_MULTISHOT = 1 << 16;
const IORING_RECV_MULTISHOT = 1 << 17;
const IORING_FILE_INDEX_ALLOC = -1;
const IORING_CQE_BUFFER_SHIFT = 16;

const native = mapNative((BUFFERS + BATCH + 2) * BUFFER_BYTES + 16 * BUFFERS);
const bufferRing = native.address; // page-aligned; 16 bytes each
const bufferAddress = (buffer: number): number => native.address + 16 * BUFFERS + buffer * BUFFER_BYTES;
const words = new Int32Array(native.bytes.buffer);
const longs = new BigInt64Array(native.bytes.buffer);
const halves = new Uint16Array(native.bytes.buffer);

/** A way to have connections: each has accepted, read and made idle so many when `serve` returns. */
interface Way {
  name: string;
  ring: Ring;
  serve(fd: number, count: number): void;
}

function newRing(): Ring {
  return new Ring({ submissions: 256, completions: 1024, waiting: CLIENTS, files: CLIENTS + BATCH });
}

/** Single accepts, a receive after each: `BATCH` of them wait, or as many as clients are queued do not wait. */
function single(inBatches: boolean): Way {
  const ring = newRing();
  let slots = 0;
  let accepting = 0;
  const serve = (fd: number, count: number): void => {
    for (let read = 0; read < count; ) {
      const wanted = inBatches ? (accepting === 0 ? acceptQueueLength(fd) : accepting) : BATCH;
      for (; accepting < wanted && slots < CLIENTS + BATCH; accepting++) {
        const slot = slots++;
        requests.accept(ring, fd, slot, slot, 0, inBatches ? IORING_ACCEPT_DONTWAIT : 0);
      }
      ring.enter(1, WAIT_MS);
      while (ring.next()) {
        if (kindOf(ring.dataHigh) === ACCEPT) {
          accepting--;
          const buffer = BUFFERS + (ring.data % BATCH);
          requests.receive(ring, ring.data, ring.data, buffer, bufferAddress(buffer), BUFFER_BYTES, 0);
        } else if (ring.result > 0) {
          read++;
          requests.poll(ring, ring.data, ring.data);
        }
      }
    }
    ring.enter(0, 0);
  };
  return { name: inBatches ? 'accepts in batches, poll' : 'accepts that wait, poll', ring, serve };
}

/** Multishot accept, and a multishot receive or a single one with a poll behind it. */
function multishot(receives: boolean): Way {
  const ring = newRing();
  let tail = 0;
  const provide = (buffer: number): void => {
    // struct io_uring_buf { u64 address; u32 length; u16 buffer; u16 tail of the ring, in the first one only }
    const at = tail++ % BUFFERS;
    longs[at * 2] = BigInt(bufferAddress(buffer));
    words[at * 4 + 2] = BUFFER_BYTES;
    halves[at * 8 + 6] = buffer;
    halves[7] = tail;
  };
  // struct io_uring_buf_reg { u64 ring; u32 entries; u16 group; … } in the last buffer
  const register = 16 * BUFFERS + (BUFFERS + BATCH) * BUFFER_BYTES;
  longs[register / 8] = BigInt(bufferRing);
  words[register / 4 + 2] = BUFFERS;
  if (ioUringRegister(ring.fd, IORING_REGISTER_PBUF_RING, native.address + register, 1) === -1) {
    throw new SystemError('io_uring_register', libc.lastErrno());
  }
  for (let buffer = 0; buffer < BUFFERS; buffer++) provide(buffer);
  let accepting = false;
  const serve = (fd: number, count: number): void => {
    for (let read = 0; read < count; ) {
      if (!accepting) {
        const at = ring.submission();
        ring.sqes[at] = IORING_OP_ACCEPT | IORING_ACCEPT_MULTISHOT;
        ring.sqes[at + 1] = fd;
        ring.sqes[at + 9] = ACCEPT;
        ring.sqes[at + 11] = IORING_FILE_INDEX_ALLOC;
        accepting = true;
      }
      ring.enter(1, WAIT_MS);
      while (ring.next()) {
        if (kindOf(ring.dataHigh) === ACCEPT) {
          if (ring.result < 0) throw new SystemError('accept', -ring.result);
          const slot = ring.result;
          if (!receives) {
            const buffer = slot % BUFFERS;
            requests.receive(ring, slot, slot, buffer, bufferAddress(buffer), BUFFER_BYTES, 0);
            continue;
          }
          const at = ring.submission();
          ring.sqes[at] = IORING_OP_RECV | ((IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT) << 8) | IORING_RECV_MULTISHOT;
          ring.sqes[at + 1] = slot;
          ring.sqes[at + 8] = slot;
          ring.sqes[at + 9] = RECEIVE;
        } else if (ring.result > 0) {
          read++;
          if (receives) provide(ring.flags >>> IORING_CQE_BUFFER_SHIFT);
          else requests.poll(ring, ring.data, ring.data);
        }
      }
    }
    ring.enter(0, 0);
  };
  return { name: receives ? 'multishot accept and receive' : 'multishot accept, poll', ring, serve };
}

/** Bytes of all objects in the kernel's slabs. */
function slabBytes(): number {
  const lines = readFileSync('/proc/slabinfo', 'latin1').split('\n').slice(2, -1);
  return lines.reduce((sum, line) => {
    const [, active, , size] = line.split(/\s+/);
    return sum + Number(active) * Number(size);
  }, 0);
}

/** @returns microseconds of the server for each connection; and the kernel's bytes of it, with those of its client */
function run(way: Way, batch: number): { micros: number; bytes: number } {
  const { fd, port } = openListener({ host: '127.0.0.1', port: 0, backlog: 4096 });
  const request = Buffer.from('GET /c.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  const target = mapNative(4096);
  const address = encodeSocketAddress('127.0.0.1', port);
  target.bytes.set(address);
  target.bytes.set(request, 64);
  const clients: number[] = [];
  libc.usleep(SETTLE_MS * 1000); // what the last pass had is freed a little later
  const before = slabBytes();
  let ms = 0;
  while (clients.length < CLIENTS) {
    for (let i = 0; i < batch; i++) {
      const client = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (client === -1 || libc.connect(client, target.address, address.length) === -1) {
        throw new SystemError('connect', libc.lastErrno());
      }
      libc.send(client, target.address + 64, request.length, 0);
      clients.push(client);
    }
    const begin = performance.now();
    way.serve(fd, batch);
    ms += performance.now() - begin;
  }
  const bytes = slabBytes() - before;
  for (const client of clients) closeDescriptor(client);
  way.ring.destroy();
  closeDescriptor(fd);
  return { micros: (ms * 1000) / CLIENTS, bytes: bytes / CLIENTS };
}

const WAYS = [() => single(false), () => single(true), () => multishot(true), () => multishot(false)];

raiseDescriptorLimit();
for (const [pace, batch] of [
  ['flood', BATCH],
  ['trickle', 1],
] as const) {
  const results = new Map<string, { micros: number; bytes: number }[]>();
  for (let pass = 0; pass < PASSES; pass++) {
    for (const make of pass % 2 ? WAYS : WAYS.toReversed()) {
      const way = make();
      const result = run(way, batch);
      if (pass > 0) results.set(way.name, [...(results.get(way.name) ?? []), result]);
    }
  }
  for (const [name, list] of results) {
    const micros = median(list.map((result) => result.micros)).toFixed(1);
    const bytes = Math.round(median(list.map((result) => result.bytes)));
    console.log(`${pace}: ${name}: ${micros} µs to accept and read, ${bytes} bytes of the kernel for both ends`);
  }
}
