import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestHead, RequestHead } from '../http/request-head.js';
import { type Handshake, NO_DEFLATE, openHandshake } from './handshake.js';

const FIELDS: Record<string, string> = {
  Host: 'server.example.com',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
};

/** The example of RFC 6455 section 1.2 with other fields, or without those that are undefined; `more` are whole lines. */
function open(
  fields: Record<string, string | undefined> = {},
  more: string[] = [],
  deflate?: boolean,
): Handshake | number {
  const lines = Object.entries({ ...FIELDS, ...fields }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  const before = 'earlier bytes\r\n';
  const bytes = Buffer.from(
    `${before}GET /chat HTTP/1.1\r\n${[...lines, ...more].join('\r\n')}\r\n\r\nfirst frame`,
    'latin1',
  );
  const head = new RequestHead();
  assert.ok(parseRequestHead(bytes, before.length, bytes.length, head, 0) > 0);
  return openHandshake(bytes, head, deflate === undefined ? {} : { deflate });
}

function accepted(handshake: Handshake | number): Handshake {
  assert.ok(typeof handshake === 'object', `refused with ${handshake as number}`);
  return handshake;
}

/** What is agreed upon for offers, each in a field of its own. */
function agreed(...offers: string[]): { windowBits: number; response: string | undefined } {
  const { windowBits, answer } = accepted(
    open(
      {},
      offers.map((offer) => `Sec-WebSocket-Extensions: ${offer}`),
    ),
  );
  return { windowBits, response: /^Sec-WebSocket-Extensions: (.*)\r$/m.exec(answer.toString('latin1'))?.[1] };
}

const AGREED = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const DECLINED = { windowBits: NO_DEFLATE, response: undefined };

test('the handshake of RFC 6455 section 1.2 is accepted', () => {
  const { answer, windowBits } = accepted(open());
  assert.equal(
    answer.toString('latin1'),
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
  );
  assert.equal(windowBits, NO_DEFLATE);
});

test('no subprotocol is chosen', () => {
  const { answer } = accepted(open({ 'Sec-WebSocket-Protocol': 'chat, superchat' }));
  assert.doesNotMatch(answer.toString('latin1'), /protocol:/i);
});

test('what is no handshake is refused with 400', () => {
  assert.equal(open({ Upgrade: undefined }), -400);
  assert.equal(open({ Upgrade: 'h2c' }), -400);
  assert.equal(open({ Connection: undefined }), -400);
  assert.equal(open({ Connection: 'keep-alive' }), -400);
  assert.equal(open({ 'Sec-WebSocket-Version': undefined }), -400);
  assert.equal(open({ 'Content-Length': '5' }), -400);
  assert.equal(open({ 'Transfer-Encoding': 'chunked' }), -400);
  accepted(open({ Upgrade: 'WebSocket, h2c', Connection: 'keep-alive, UPGRADE', 'Content-Length': '0' }));
});

test('a key that is not 16 bytes of base64 is refused with 400', () => {
  const keys = [
    undefined,
    '',
    'dGhlIHNhbXBsZSBub25jZQ=',
    'dGhlIHNhbXBsZSBub25jZQ',
    'dGhlIHNhbXBsZSBub25jZ-==',
    'c2hvcnQ=',
  ];
  for (const key of [...keys, 'dGhlIHNhbXBsZSBub25jZTE=', 'dGhlIHNhbXBsZSBub25jZTEy', 'dGhlIHNhbXBs ZSBub25jZQ==']) {
    assert.equal(open({ 'Sec-WebSocket-Key': key }), -400, key);
  }
});

test('another version is refused with 426, whatever else is wrong', () => {
  for (const version of ['8', '0', '14', '013', '13, 8', 'x', '']) {
    assert.equal(open({ 'Sec-WebSocket-Version': version, 'Sec-WebSocket-Key': 'x' }), -426, version);
  }
});

test('permessage-deflate is agreed upon without context takeover on either side', () => {
  for (const offer of [
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits',
    'permessage-deflate;client_max_window_bits=8',
    'permessage-deflate ;\tserver_no_context_takeover ; client_no_context_takeover',
    'permessage-deflate; client_max_window_bits = "1\\0"',
    ', ,permessage-deflate,',
    'x-webkit-deflate-frame, permessage-deflate; client_max_window_bits',
    'unknown; a=b; c="d"; e, permessage-deflate',
  ]) {
    assert.deepEqual(agreed(offer), { windowBits: 15, response: AGREED }, offer);
  }
});

test('the window that a client asks for is used and named', () => {
  for (let bits = 9; bits <= 15; bits++) {
    const expected = { windowBits: bits, response: `${AGREED}; server_max_window_bits=${bits}` };
    assert.deepEqual(agreed(`permessage-deflate; server_max_window_bits=${bits}`), expected);
    assert.deepEqual(agreed(`permessage-deflate; client_max_window_bits; server_max_window_bits="${bits}"`), expected);
  }
});

test('an offer that cannot be honoured is declined, and the next one is tried', () => {
  for (const offer of [
    'permessage-deflate; server_max_window_bits=8', // zlib has no raw deflate of 256 bytes
    'permessage-deflate; server_max_window_bits',
    'permessage-deflate; server_max_window_bits=7',
    'permessage-deflate; server_max_window_bits=16',
    'permessage-deflate; server_max_window_bits=010',
    'permessage-deflate; client_max_window_bits=16',
    'permessage-deflate; client_max_window_bits=+9',
    'permessage-deflate; server_no_context_takeover=1',
    'permessage-deflate; client_no_context_takeover="x"',
    'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
    'permessage-deflate; server_max_window_bits=10; server_max_window_bits=10',
    'permessage-deflate; unknown',
    'Permessage-Deflate',
    'unknown',
  ]) {
    assert.deepEqual(agreed(offer), DECLINED, offer);
    const second = { windowBits: 12, response: `${AGREED}; server_max_window_bits=12` };
    assert.deepEqual(agreed(`${offer}, permessage-deflate; server_max_window_bits=12, permessage-deflate`), second);
    assert.deepEqual(agreed(offer, 'permessage-deflate; server_max_window_bits=12', 'permessage-deflate'), second);
  }
});

test('several fields are one list, with other fields between them', () => {
  const more = [
    'Sec-WebSocket-Extensions: first',
    'Sec-WebSocket-Extensions-Not: permessage-deflate',
    'X: Sec-WebSocket-Extensions: permessage-deflate',
    'SEC-WEBSOCKET-EXTENSIONS:permessage-deflate; server_max_window_bits=10',
  ];
  assert.equal(accepted(open({}, more)).windowBits, 10);
  assert.equal(accepted(open({}, more.slice(0, 3))).windowBits, NO_DEFLATE);
  assert.equal(open({}, [...more, 'Sec-WebSocket-Extensions: ;']), -400);
  assert.equal(accepted(open({}, [...more, 'Sec-WebSocket-Extensions:'])).windowBits, 10);
});

test('extensions that are no list are refused with 400', () => {
  for (const list of [
    ';',
    'a b',
    'a;',
    'a; =b',
    'a; b=',
    'a; b="',
    'a; b="c d"',
    'a; b=""',
    'a; b="c"d',
    '"a"',
    'a; b c',
    'a=b',
    'a\xe9',
  ]) {
    assert.equal(open({ 'Sec-WebSocket-Extensions': list }), -400, list);
    assert.equal(open({ 'Sec-WebSocket-Extensions': `permessage-deflate, ${list}` }), -400, list);
  }
});

test('a server that does not compress declines', () => {
  const offer = ['Sec-WebSocket-Extensions: permessage-deflate'];
  assert.equal(accepted(open({}, offer, false)).windowBits, NO_DEFLATE);
  assert.doesNotMatch(accepted(open({}, offer, false)).answer.toString('latin1'), /extensions/i);
});
