import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Abilities, decideReactor, makeReactor, REACTOR_CHOICES, sendBuffersFor } from './choose.js';
import { probeIoUring } from './io-uring-probe.js';
import type { ReactorEvents, ReactorName } from './reactor.js';

const events = {} as ReactorEvents;
const options = (name: ReactorName) => ({ capacity: 16, events, buffers: sendBuffersFor(name) });
const silent = () => assert.fail('nothing to say');

test('auto is io_uring where it is usable, and epoll with one line of log where it is not', () => {
  const lines: string[] = [];
  const name = decideReactor('auto', (line) => lines.push(line));
  const reason = probeIoUring();
  assert.equal(name, reason === null ? 'io-uring' : 'epoll');
  assert.deepEqual(lines, reason === null ? [] : [`using epoll: ${reason}`]);
  const reactor = makeReactor(name, options(name));
  assert.equal(reactor.name, name);
  reactor.destroy();
});

test('each is made when it is asked for, or the error says why not', () => {
  assert.deepEqual([...REACTOR_CHOICES], ['auto', 'io-uring', 'epoll', 'portable']);
  for (const name of ['epoll', 'portable'] as const) {
    const reactor = makeReactor(name, options(name));
    assert.equal(reactor.name, name);
    reactor.destroy();
  }
  const make = () => makeReactor('io-uring', options('io-uring'));
  if (probeIoUring() === null) make().destroy();
  else assert.throws(make, { code: 'EIOURING' });
});

test('where io_uring cannot be had, auto says so in one line, io-uring fails with the cure, and epoll does not ask', () => {
  const abilities: Abilities = { systemCalls: null, ioUring: () => 'the kernel has no io_uring' };
  const lines: string[] = [];
  assert.equal(
    decideReactor('auto', (line) => lines.push(line), abilities),
    'epoll',
  );
  assert.deepEqual(lines, ['using epoll: the kernel has no io_uring']);
  assert.throws(() => decideReactor('io-uring', silent, abilities), {
    code: 'EIOURING',
    message: 'the kernel has no io_uring; use --reactor epoll or auto',
  });
  assert.equal(decideReactor('epoll', silent, { systemCalls: null, ioUring: () => assert.fail('it asked') }), 'epoll');
});

test('where there are no system calls, auto is portable, with one line that says why and what it costs; others fail', () => {
  const abilities: Abilities = { systemCalls: 'this is darwin, not Linux', ioUring: () => assert.fail('it asked') };
  const lines: string[] = [];
  assert.equal(
    decideReactor('auto', (line) => lines.push(line), abilities),
    'portable',
  );
  assert.equal(lines.length, 1);
  assert.match(
    lines[0],
    /^using the portable reactor, the heavy one: [\d,]+ to [\d,]+ bytes .*\(this is darwin, not Linux\)$/,
  );
  for (const choice of ['epoll', 'io-uring'] as const) {
    assert.throws(() => decideReactor(choice, silent, abilities), {
      message: 'this is darwin, not Linux; use --reactor portable or auto',
    });
  }
});

test('whoever asks for the portable reactor is told what it costs too', () => {
  const lines: string[] = [];
  assert.equal(
    decideReactor('portable', (line) => lines.push(line), {
      systemCalls: null,
      ioUring: () => assert.fail('it asked'),
    }),
    'portable',
  );
  assert.match(lines.join(), /[\d,]+ bytes for each idle connection/);
});
