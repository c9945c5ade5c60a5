import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideReactor, makeReactor, REACTOR_CHOICES } from './choose.js';
import { probeIoUring } from './io-uring-probe.js';
import type { ReactorEvents } from './reactor.js';
import { SendBuffers } from './send-buffers.js';

const events = {} as ReactorEvents;

test('auto is io_uring where it is usable, and epoll with one line of log where it is not', () => {
  const lines: string[] = [];
  const buffers = new SendBuffers();
  const reactor = makeReactor('auto', { capacity: 16, events, buffers }, (line) => lines.push(line));
  const reason = probeIoUring();
  assert.equal(reactor.name, reason === null ? 'io-uring' : 'epoll');
  assert.deepEqual(lines, reason === null ? [] : [`using epoll: ${reason}`]);
  reactor.destroy();
});

test('epoll is made when it is asked for', () => {
  const log = () => assert.fail('nothing to say');
  const reactor = makeReactor('epoll', { capacity: 16, events, buffers: new SendBuffers() }, log);
  assert.equal(reactor.name, 'epoll');
  reactor.destroy();
});

test('io_uring is made when it is asked for, or the error says why not', () => {
  const make = () => makeReactor('io-uring', { capacity: 16, events, buffers: new SendBuffers() }, () => undefined);
  if (probeIoUring() === null) make().destroy();
  else assert.throws(make, { code: 'ERR_IO_URING_UNAVAILABLE' });
  assert.deepEqual([...REACTOR_CHOICES], ['auto', 'io-uring', 'epoll']);
});

test('where io_uring cannot be had, auto says so in one line, io-uring fails with the cure, and epoll does not ask', () => {
  const probe = () => 'the kernel has no io_uring';
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  assert.equal(decideReactor('auto', log, probe), 'epoll');
  assert.deepEqual(lines.splice(0), ['using epoll: the kernel has no io_uring']);
  assert.throws(() => decideReactor('io-uring', log, probe), {
    code: 'ERR_IO_URING_UNAVAILABLE',
    message: 'the kernel has no io_uring; use --reactor epoll or auto',
  });
  assert.equal(
    decideReactor('epoll', log, () => assert.fail('it asked')),
    'epoll',
  );
  assert.deepEqual(lines, []);
});
