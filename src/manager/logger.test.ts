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
