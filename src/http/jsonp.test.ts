import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import fc from 'fast-check';
import { jsonpLength, scriptJson, writeJsonp } from './jsonp.js';

function jsonpBody(callback: string, json: string): string {
  const script = Buffer.from(scriptJson(json));
  const target = Buffer.alloc(jsonpLength(callback.length, script.length) + 3);
  writeJsonp(target, 3, Buffer.from(callback), script);
  return target.toString('utf8', 3);
}

test('the callback is called with the JSON', () => {
  assert.equal(jsonpBody('cb', '{"a":1}'), 'cb({"a":1});');
  assert.equal(jsonpBody('a.b[0]', '"x"'), 'a.b[0]("x");');
});

test('line separators of Unicode are escaped', () => {
  assert.equal(jsonpBody('cb', '"\u2028a\u2029"'), 'cb("\\u2028a\\u2029");');
});

test('a page that runs the script gets the value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      const got = vm.runInNewContext(`let got; const cb = (value) => { got = value; }; ${jsonpBody('cb', json)} got`);
      // `{"__proto__": …}` is a member in JSON and the prototype in a script: no value survives that.
      if (!json.includes('__proto__')) assert.equal(JSON.stringify(got), json);
    }),
    { numRuns: 50 },
  );
});
