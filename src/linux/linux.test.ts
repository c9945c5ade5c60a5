import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPIDLE, TCP_NODELAY } from './constants.js';
import { DescriptorReceiver, sendDescriptors } from './descriptors.js';
import { errnoName, errnoOf, SystemError } from './errno.js';
import * as libc from './libc.js';
import { mapNative, unmapNative } from './native-memory.js';
import { openDescriptors, processCpu, processMemory } from './proc.js';
import {
  closeDescriptor,
  descriptorLimit,
  localPort,
  lockFile,
  openListener,
  raiseDescriptorLimit,
  setDescriptorLimit,
} from './sockets.js';

const directory = mkdtempSync(join(tmpdir(), 'linux-'));
after(() => rmSync(directory, { recursive: true }));

/** An option of a socket whose value is an int. */
function socketOption(fd: number, level: number, option: number): number {
  const memory = mapNative(8);
  const words = new Int32Array(memory.bytes.buffer);
  words[1] = 4;
  assert.equal(libc.getsockopt(fd, level, option, memory.address, memory.address + 4), 0);
  const value = words[0];
  unmapNative(memory);
  return value;
}

/** Runs the compiled module in a new process and returns what it prints. */
function inChild(module: string, code: string): string {
  const script = `import * as m from '${new URL(module, import.meta.url)}'; ${code}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).stdout.trim();
}

describe('errno', () => {
  test('an error of Node has the number of its name, whatever the number is on this system; an unknown one is EIO', () => {
    const error = (code: string) => Object.assign(new Error(code), { code, errno: -4077 });
    assert.equal(errnoOf(error('ECONNRESET')), 104);
    assert.equal(errnoOf(error('ETIMEDOUT')), 110);
    assert.equal(errnoOf(error('UNKNOWN')), 5);
    assert.equal(errnoOf(new Error('without a code')), 5);
  });

  test('numbers have their names', () => {
    assert.equal(errnoName(11), 'EAGAIN');
    assert.equal(errnoName(104), 'ECONNRESET');
    assert.equal(errnoName(112), 'EHOSTDOWN');
    assert.equal(errnoName(9999), 'errno 9999');
    assert.equal(new SystemError('bind', 98, 'choose another').message, 'bind failed: EADDRINUSE: choose another');
  });
});

describe('listeners', () => {
  test('accepted connections inherit the options of the listener', async () => {
    const keepAlive = { idleSeconds: 300, intervalSeconds: 60, probes: 5 };
    const { fd, port } = openListener({ host: '127.0.0.1', port: 0, keepAlive });
    assert.equal(localPort(fd), port);
    assert.equal(libc.accept4(fd, 0, 0, 0), -1, 'it does not block');
    assert.equal(errnoName(libc.lastErrno()), 'EAGAIN');
    const client = net.connect(port, '127.0.0.1');
    await new Promise((resolve) => client.once('connect', resolve));
    const accepted = libc.accept4(fd, 0, 0, 0);
    assert.equal(socketOption(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert.equal(socketOption(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 300);
    assert.equal(socketOption(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    client.destroy();
    closeDescriptor(accepted);
    closeDescriptor(fd);
  });

  test('a port that is taken is an error with a cure, and leaves no descriptor behind', () => {
    const { fd, port } = openListener({ host: '127.0.0.1', port: 0 });
    const before = openDescriptors('self');
    assert.throws(() => openListener({ host: '127.0.0.1', port }), {
      code: 'EADDRINUSE',
      message: /choose another port/,
    });
    assert.equal(openDescriptors('self'), before);
    closeDescriptor(fd);
  });

  test('an address of another machine is an error with a cure', () => {
    assert.throws(() => openListener({ host: '192.0.2.1', port: 0 }), {
      code: 'EADDRNOTAVAIL',
      message: /no interface/,
    });
  });
});

describe('descriptors', () => {
  test('are handed over with a text', async () => {
    const receiver = new DescriptorReceiver(join(directory, 'receiver'));
    assert.equal(receiver.receive(), null);
    const listeners = [openListener({ host: '127.0.0.1', port: 0 }), openListener({ host: '127.0.0.1', port: 0 })];
    sendDescriptors(
      receiver.path,
      listeners.map(({ fd }) => fd),
      'two listeners',
    );
    for (const { fd } of listeners) closeDescriptor(fd);
    const received = await receiver.receiveWithin(1000);
    assert.equal(received!.text, 'two listeners');
    assert.deepEqual(
      received!.descriptors.map(localPort),
      listeners.map(({ port }) => port),
    );
    received!.descriptors.forEach(closeDescriptor);
    assert.equal(await receiver.receiveWithin(20), null);
    receiver.close();
    assert(!existsSync(receiver.path));
  });

  test('nobody there is an error, and costs no descriptor', () => {
    const before = openDescriptors('self');
    assert.throws(() => sendDescriptors(join(directory, 'nobody'), [0]), { code: 'ENOENT' });
    assert.equal(openDescriptors('self'), before);
  });

  test('their limit can be lowered and raised again', () => {
    const { soft, hard } = descriptorLimit();
    assert(soft > 0 && soft <= hard);
    setDescriptorLimit(soft - 1);
    assert.deepEqual(descriptorLimit(), { soft: soft - 1, hard });
    if (hard !== Number.POSITIVE_INFINITY) assert.equal(raiseDescriptorLimit(), hard);
    setDescriptorLimit(soft);
  });
});

describe('lock file', () => {
  test('is held by one process at a time, and free when its descriptor is closed', () => {
    const path = join(directory, 'lock');
    const lock = lockFile(path);
    assert(lock !== null);
    const other = () => inChild('./sockets.js', `console.log(m.lockFile(${JSON.stringify(path)}) === null)`);
    assert.equal(other(), 'true');
    closeDescriptor(lock);
    assert.equal(other(), 'false');
  });
});

describe('/proc', () => {
  test('tells memory and CPU time of a process', () => {
    const { rssBytes, pssBytes, privateBytes } = processMemory(process.pid);
    assert(privateBytes > 1e6 && privateBytes <= pssBytes && pssBytes <= rssBytes);
    const { userSeconds, systemSeconds } = processCpu(process.pid);
    assert(userSeconds > 0 && userSeconds < 60 && systemSeconds >= 0);
    assert.throws(() => processMemory(2 ** 22 + 1), { code: 'ENOENT' });
  });
});
