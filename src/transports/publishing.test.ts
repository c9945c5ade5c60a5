import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGE_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { isRefusal, parsePublishBody } from './publishing.js';

const allowed = (channel: string): boolean => channel !== 'secret';

function parsed(body: string | Buffer): string {
  const request = parsePublishBody(Buffer.from(body as string), allowed);
  if (isRefusal(request)) return `${request.code} ${request.field ?? '-'}`;
  const texts = request.publications.map(({ channel, kind, data, id }) => {
    assert.ok(kind === KIND_TEXT || kind === KIND_JSON);
    return `${channel}|${kind === KIND_TEXT ? 'text' : 'json'}|${data}|${id}`;
  });
  return `${request.batch ? 'batch ' : ''}${texts.join(' ')}`;
}

test('text stays text, anything else is JSON on one line', () => {
  assert.equal(parsed('{"channel":"a","data":"x\\ny"}'), 'a|text|x\ny|');
  assert.equal(parsed('{"channel":"a","data":{\n"b" : [1, "\\n"]\r\n}}'), 'a|json|{"b":[1,"\\n"]}|');
  for (const data of ['null', 'false', '0', '[]', '""']) {
    assert.match(parsed(`{"channel":"a","data":${data}}`), data === '""' ? /^a\|text\|\|$/ : /^a\|json\|/);
  }
  assert.equal(parsed('{"channel":"a","data":{"__proto__":1}}'), 'a|json|{"__proto__":1}|');
});

test('an array is a batch', () => {
  assert.equal(parsed('[{"channel":"a","data":"x"},{"channel":"b","data":1,"id":"i"}]'), 'batch a|text|x| b|json|1|i');
});

test('what is missing, unknown or wrong is named', () => {
  for (const [body, expected] of [
    ['', 'invalid -'],
    ['{', 'invalid -'],
    ['1', 'invalid -'],
    ['null', 'invalid -'],
    ['[]', 'invalid -'],
    ['[1]', 'invalid [0]'],
    ['[[]]', 'invalid [0]'],
    ['{}', 'invalid channel'],
    ['{"channel":"a"}', 'invalid data'],
    ['{"channel":1,"data":1}', 'invalid channel'],
    ['{"channel":"","data":1}', 'invalid channel'],
    ['{"channel":"a\\n","data":1}', 'invalid channel'],
    ['{"channel":"\\ud800","data":1}', 'invalid channel'],
    ['{"channel":"a","data":1,"x":1}', 'invalid x'],
    ['{"channel":"a","data":1,"__proto__":1}', 'invalid __proto__'],
    ['{"__proto__":{"channel":"a","data":1}}', 'invalid __proto__'],
    ['{"channel":"a","data":1,"id":""}', 'invalid id'],
    ['{"channel":"a","data":1,"id":null}', 'invalid id'],
    ['{"channel":"a","data":1,"id":7}', 'invalid id'],
    ['{"channel":"a","data":1,"id":"\\udc00"}', 'invalid id'],
    [`{"channel":"a","data":1,"id":"${'x'.repeat(129)}"}`, 'invalid id'],
    [`{"channel":"a","data":1,"id":"${'ü'.repeat(65)}"}`, 'invalid id'],
    ['[{"channel":"a","data":1},{"channel":"b"}]', 'invalid [1].data'],
    ['{"channel":"secret","data":1}', 'forbidden channel'],
    ['[{"channel":"a","data":1},{"channel":"secret","data":1}]', 'forbidden [1].channel'],
    [`{"channel":"a","data":"${'x'.repeat(MESSAGE_BYTES_MAX + 1)}"}`, 'too_large data'],
    [`{"channel":"a","data":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'invalid data'],
  ] as const) {
    assert.equal(parsed(body), expected, body.slice(0, 60));
  }
  assert.equal(parsed(Buffer.from('{"channel":"\xff","data":1}', 'latin1')), 'invalid -');
  assert.match(
    parsed(`{"channel":"a","data":"${'x'.repeat(MESSAGE_BYTES_MAX)}","id":"${'ü'.repeat(64)}"}`),
    /^a\|text/,
  );
});
