import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atMostEvery, createLogger } from './logger.js';

test('an event is one line, whatever its values hold', () => {
  const lines: string[] = [];
  const logger = createLogger((line) => lines.push(line));
  logger.info('worker serves', { worker: 1, path: '/run/x', pid: undefined });
  logger.warn('odd', { value: 'a b\n"\u001b[31m\u009b', empty: '' });
  assert.match(lines[0]!, /^\d{4}-\d\d-\d\dT[\d:.]+Z info worker serves worker=1 path=\/run\/x\n$/);
  assert.match(lines[1]!, /^\S+ warn odd value="a b\\n\\"\\u001b\[31m\\u009b" empty=""\n$/);
});

test('a line of JSON says the same as the text', () => {
  const lines: string[] = [];
  const logger = createLogger((line) => lines.push(line), { format: 'json' });
  logger.error('the log keeps nothing', { code: 'ELOGDISK', failed: 3, gone: undefined });
  assert.match(lines[0]!, /^[^\n]+\n$/);
  const { time, ...rest } = JSON.parse(lines[0]!);
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.deepEqual(rest, { level: 'error', msg: 'the log keeps nothing', code: 'ELOGDISK', failed: 3 });
});

test('what is below the level is not said', () => {
  const lines: string[] = [];
  const logger = createLogger((line) => lines.push(line), { level: 'warn' });
  logger.info('worker serves');
  logger.warn('worker ended');
  assert.deepEqual(
    lines.map((line) => line.split(' ')[1]),
    ['warn'],
  );
});

test('no token comes into a line', () => {
  const lines: string[] = [];
  const logger = createLogger((line) => lines.push(line), { format: 'json' });
  logger.error('request failed: Bearer s3cret', { url: '/v1/sse?token=s3cret', stack: 'Error: Bearer s3cret\n at x' });
  assert.doesNotMatch(lines[0]!, /s3cret/);
  assert.equal(lines[0]!.match(/\[redacted\]/g)!.length, 3);
});

test('what happens again and again is said now and then', () => {
  let nowMs = 0;
  const said: number[] = [];
  const say = atMostEvery(
    100,
    (n: number) => said.push(n),
    () => nowMs,
  );
  for (nowMs = 0; nowMs < 250; nowMs += 30) say(nowMs);
  assert.deepEqual(said, [0, 120, 240]);
});
