import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerForOrigin } from './origin.js';
import { optionsAnswer, refusal } from './response.js';
import { ALLOW_ORIGIN } from './template.js';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

test('an answer names the origin, and that it varies with it', () => {
  const answer = text(answerForOrigin(optionsAnswer(true, 0), 'https://a.example'));
  assert.match(answer, /\r\nAccess-Control-Allow-Origin: https:\/\/a\.example\r\nVary: Origin\r\n/);
  assert.equal(answer.replace('https://a.example\r\nVary: Origin', '*'), text(optionsAnswer(true, 0)));
});

test('for no origin it names none', () => {
  const answer = text(answerForOrigin(refusal(404, 0), ''));
  assert.doesNotMatch(answer, /Access-Control-Allow-Origin/);
  assert.match(answer, /\r\nVary: Origin\r\n/);
});

test('a body that speaks of origins stays as it is', () => {
  const answer = Buffer.from(`HTTP/1.1 200 OK\r\nA: b\r\n\r\n${ALLOW_ORIGIN}\r\n`);
  assert.equal(answerForOrigin(answer, 'https://a.example'), answer);
});
