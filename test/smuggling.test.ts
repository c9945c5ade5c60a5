/**
 * Request smuggling, end to end: raw bytes on connections that would go on. What follows a refused request is never served, and a
 * request hidden in a body is never served, however the bytes are split.
 */

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { HIDDEN, REFUSED, SERVED } from './corpus/exchanges.js';
import { rawClient, startServer, type TestServer, waitFor } from './helpers.js';

const AT_ONCE = 32;
const FIRST = 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst';
const LAST = 'POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast';
/** How the bytes of a case are cut into segments. */
const WAYS: [name: string, cuts: (length: number) => number[]][] = [
  ['whole', () => []],
  ['cut once', (length) => [randomInt(1, length)]],
  ['byte by byte', (length) => Array.from({ length: Math.min(length, 2000) - 1 }, (_, i) => i + 1)],
];

/** Sends the text in pieces that end at the cuts, as separate segments, and returns all that comes until the server closes. */
async function exchange(port: number, text: string, cuts: number[]): Promise<string> {
  const bytes = Buffer.from(text, 'latin1');
  const client = await rawClient(port);
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (!client.socket.writable) break;
    client.socket.write(bytes.subarray(at, cut));
    at = cut;
    await new Promise(setImmediate);
  }
  return (await client.closed).received;
}

/**
 * The answers in what was received, in the form of the corpus: `200 abc`, or `200` where `expected` has no body to compare.
 * Interim answers are left out.
 */
function answersIn(received: string, expected: readonly string[]): string[] {
  const answers: string[] = [];
  for (let at = 0; at < received.length; ) {
    const end = received.indexOf('\r\n\r\n', at) + 4;
    const [line, ...fields] = received.slice(at, end).split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) [A-Za-z ]+$/.exec(line)?.[1];
    assert(end >= 4 && status !== undefined, `no answer: ${JSON.stringify(received.slice(at))}`);
    at = end;
    if (status === '100') continue;
    const wanted = expected[answers.length] ?? '';
    if (wanted.startsWith('HEAD')) {
      answers.push(`HEAD ${status}`);
      continue;
    }
    const lengthField = fields.find((field) => field.startsWith('Content-Length: '));
    assert.equal(lengthField === undefined, status === '204', line);
    const length = Number(lengthField?.slice('Content-Length: '.length) ?? 0);
    const body = received.slice(at, at + length);
    assert.equal(body.length, length, 'the body is whole');
    answers.push(wanted.includes(' ') ? `${status} ${body}` : status);
    at += length;
  }
  return answers;
}

/** Runs the cases of a corpus in each of the ways, many connections at once. */
async function inEachWay<T>(cases: readonly T[], run: (one: T, cuts: (length: number) => number[]) => Promise<void>) {
  const jobs = cases.flatMap((one) => WAYS.map(([way, cuts]) => ({ one, way, cuts })));
  const failures: string[] = [];
  let next = 0;
  const runners = Array.from({ length: AT_ONCE }, async () => {
    while (next < jobs.length) {
      const { one, way, cuts } = jobs[next++];
      await run(one, cuts).catch((error: Error) =>
        failures.push(`${String((one as [string])[0])}, ${way}: ${error.message}`),
      );
    }
  });
  await Promise.all(runners);
  assert.deepEqual(failures, []);
}

describe('request smuggling', () => {
  let server: TestServer;
  let port: number;

  before(async () => {
    server = await startServer(['--test-echo', '--client-publish', 'yes', '--log', 'memory']);
    port = server.ports.client;
  });
  after(() => server.stop());

  test('a refused request gets one answer, and nothing that follows it is served', async () => {
    await inEachWay(REFUSED, async ([name, sent, status], cuts) => {
      const expected = [name.startsWith('HEAD') ? `HEAD ${status}` : `${status}`];
      const text = sent + HIDDEN + LAST;
      const received = await exchange(port, text, cuts(text.length));
      assert.deepEqual(answersIn(received, expected), expected);
      assert.match(received, /^Connection: close(, upgrade)?\r$/m);
    });
  });

  test('the same on a connection that has been served before', async () => {
    await inEachWay(REFUSED, async ([name, sent, status], cuts) => {
      const expected = ['200 first', name.startsWith('HEAD') ? `HEAD ${status}` : `${status}`];
      const text = FIRST + sent + HIDDEN + LAST;
      const received = await exchange(port, text, cuts(text.length));
      assert.deepEqual(answersIn(received, expected), expected);
    });
  });

  test('a body ends where it says, and what follows is the next request', async () => {
    await inEachWay(SERVED, async ([, sent, answers, closes], cuts) => {
      const expected = closes ? answers : [...answers, '200 last'];
      const text = sent + LAST;
      const received = await exchange(port, text, cuts(text.length));
      assert.deepEqual(answersIn(received, expected), expected);
    });
  });

  test('what is sent after a refusal was read is thrown away', async () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => (received += text));
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.write('GET / HTTP/1.1\r\nHost : a\r\n\r\n');
    await ended;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.end(HIDDEN);
    await closed;
    assert.deepEqual(answersIn(received, ['400']), ['400']);
  });

  test('who expects 100 Continue gets it before the body comes, or the refusal', async () => {
    const head = (length: number) =>
      `POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
    const client = await rawClient(port, head(3));
    assert.equal(await client.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
    client.socket.write(`abc${LAST}`);
    assert.deepEqual(answersIn((await client.closed).received, ['200 abc', '200 last']), ['200 abc', '200 last']);
    const refused = await exchange(port, head(99_999_999) + HIDDEN, []);
    assert.match(refused, /^HTTP\/1\.1 413 /);
    assert.deepEqual(answersIn(refused, ['413']), ['413']);
  });

  test('behind a handshake there are frames and no requests', async () => {
    const handshake = (fields: string) =>
      `GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${fields}` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    for (const [, cuts] of WAYS) {
      const text = handshake('') + HIDDEN;
      const received = await exchange(port, text, cuts(text.length));
      assert.match(received, /^HTTP\/1\.1 101 /);
      // `P` would be a frame with reserved bits: closed with 1002.
      const frame = received.slice(received.indexOf('\r\n\r\n') + 4);
      assert.deepEqual([frame.charCodeAt(0), frame.slice(2, 4)], [0x88, '\x03\xea']);
      assert(!received.includes('hidden'));
    }
    // RFC 9110 section 7.8.
    const expecting = await rawClient(port, handshake('Expect: 100-continue\r\n'));
    assert.match(await expecting.until('101 '), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 101 /);
    expecting.socket.destroy();
  });

  test('what is pipelined behind a request that is held is not served', async () => {
    for (const path of ['/v1/poll?channel=yes', '/yes.js', '/v1/poll?channel=nothing&timeout=1']) {
      const client = await rawClient(port, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n${HIDDEN}`);
      await waitFor('an answer', async () => {
        await server.publish('yes', 'message');
        return client.socket.closed;
      });
      const { received } = await client.closed;
      assert.deepEqual(answersIn(received, ['200']), ['200']);
      assert.match(received, /^Connection: close\r$/m);
      assert(!received.includes('hidden'));
    }
  });
});
