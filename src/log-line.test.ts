import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTextLine, redact, workerLogger } from './log-line.js';

const JWT = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.c2ln`;

test('a text line stays one line, whatever is in it', () => {
  const line = formatTextLine('now', 'warn', 'a\nb\u2028', { value: 'c\nd', empty: '', none: undefined });
  assert.equal(line, 'now warn "a\\nb\\u2028" value="c\\nd" empty=""\n');
});

test('tokens are taken out of whatever is logged', () => {
  const cases: [string, string][] = [
    ['/v1/sse?channel=a&token=abc.def&after=now', '/v1/sse?channel=a&token=[redacted]&after=now'],
    ['GET /v1/ws?token=abc HTTP/1.1', 'GET /v1/ws?token=[redacted] HTTP/1.1'],
    ['authorization: Bearer abc.def', 'authorization: Bearer [redacted]'],
    ['bearer  abc", "x', 'bearer  [redacted]", "x'],
    [`wrong: ${JWT}`, 'wrong: [redacted]'],
    ['megacomet.token.eyJhbGci.eyJzdWIi', 'megacomet.token.[redacted]'],
    [`--api-key mk_${'x'.repeat(43)}.`, '--api-key [redacted].'],
    ['a token is missing', 'a token is missing'],
  ];
  for (const [text, expected] of cases) assert.equal(redact(text), expected);
});

test('a worker names itself in each line, and keeps to its level', () => {
  const lines: string[] = [];
  const logger = workerLogger(3, 'json', 'warn', (line) => lines.push(line));
  logger.info('quiet');
  logger.warn('stops accepting', { reason: `EMFILE ${JWT}`, connections: 7 });
  assert.equal(lines.length, 1);
  const { time, ...rest } = JSON.parse(lines[0]!);
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  const expected = { level: 'warn', msg: 'stops accepting', worker: 3, reason: 'EMFILE [redacted]', connections: 7 };
  assert.deepEqual(rest, expected);
  workerLogger(3, 'text', 'info', (line) => lines.push(line)).info('accepts again');
  assert.match(lines[1]!, /^\S+Z info accepts again worker=3\n$/);
});
