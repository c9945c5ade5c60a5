import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGAIN, MESSAGE, NOTHING, PING, type Protocol, pong, READY, WIRES } from './wires.js';

const DATA = `message 1 ${'x'.repeat(90)}`;
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';

function frame(text: string): string {
  const length = text.length < 126 ? [text.length] : [126, text.length >> 8, text.length & 255];
  return `\x81${String.fromCharCode(...length)}${text}`;
}

function answer(body: string, fields = ''): string {
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

const PUBLICATION = `"channel":"c7","data":"${DATA}","time":1700000000000}`;

/** All that a connection gets, and what each element of it means when DATA is expected on c7. */
const CASES: [Protocol, string, string[]][] = [
  ['classic', answer(DATA, 'Connection: close\r\n'), [MESSAGE]],
  ['bare-websocket', SWITCHING + frame(DATA), [READY, MESSAGE]],
  [
    'long-poll',
    answer('{"cursor":"e-6","messages":[]}') + answer(`{"cursor":"e-7","messages":[{"cursor":"e-7",${PUBLICATION}]}`),
    [AGAIN, MESSAGE],
  ],
  [
    'sse',
    `HTTP/1.1 200 OK\r\nA: b\r\n\r\nretry: 3000\n\nevent: subscribed\nid: e-6\ndata: {}\n\n:\n\nid: e-7\ndata: {${PUBLICATION}\n\n`,
    [NOTHING, NOTHING, READY, NOTHING, MESSAGE],
  ],
  [
    'websocket',
    `${SWITCHING}${frame('{"type":"subscribed","channels":["c7"],"cursor":"e-6"}')}\x89\x02hi${frame(
      `{"type":"message","cursor":"e-7",${PUBLICATION}`,
    )}`,
    [NOTHING, READY, PING, MESSAGE],
  ],
];

for (const [protocol, text, verdicts] of CASES) {
  test(`${protocol}: each element is understood, wherever the bytes are divided`, () => {
    const wire = WIRES[protocol];
    for (let cut = 0; cut <= text.length; cut++) {
      const first = wire.split(text.slice(0, cut));
      const second = wire.split(first.pop()! + text.slice(cut));
      assert.equal(second.pop(), '', `divided at ${cut}`);
      assert.deepEqual(
        [...first, ...second].map((element) => wire.judge(element, 'c7', DATA)),
        verdicts,
        `divided at ${cut}`,
      );
    }
  });

  test(`${protocol}: a message that is not the expected one is wrong`, () => {
    const wire = WIRES[protocol];
    const element = wire.split(text).at(-2)!;
    assert.match(wire.judge(element, 'c7', null), /^wrong: /);
    assert.match(wire.judge(element, 'c7', DATA.replace('1', '2')), /^wrong: /);
    assert.match(wire.judge(element.slice(0, -10), 'c7', `${DATA}x`), /^wrong: /);
    if (protocol !== 'classic' && protocol !== 'bare-websocket') {
      assert.match(wire.judge(element, 'c77', DATA), /^wrong: /);
    }
  });
}

test('a gap, a refusal and a closing frame are wrong', () => {
  assert.match(WIRES.sse.judge('event: gap\nid: e-5\ndata: {"cursor":"e-5"}', 'c7', DATA), /^wrong: /);
  assert.match(WIRES['long-poll'].judge(answer('{"cursor":"e-5","messages":[],"gap":[{}]}'), 'c7', DATA), /^wrong: /);
  assert.match(WIRES.websocket.judge('\x88\x02\x0f\xa8', 'c7', DATA), /^wrong: /);
  for (const wire of Object.values(WIRES)) {
    assert.match(wire.judge('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', 'c7', DATA), /^wrong: /);
  }
});

test('a long-poll asks again from the cursor of its answer', () => {
  const request = WIRES['long-poll'].request('c7', answer('{"cursor":"e-9","messages":[]}'));
  assert.match(request, /^GET \/v1\/poll\?channel=c7&after=e-9&timeout=300 HTTP\/1\.1\r\n/);
});

test('a pong carries the payload of its ping', () => {
  assert.equal(pong('\x89\x02hi'), '\x8a\x82\0\0\0\0hi');
});
