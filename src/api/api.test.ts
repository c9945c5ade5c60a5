import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { API_BODY_BYTES_MAX, BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { LogError } from '../log/log.js';
import { ApiRig } from './testing/api-rig.js';

describe('the HTTP API', () => {
  const rig = new ApiRig();
  const send = (method: string, path: string, body?: string, type?: string) =>
    rig.send(method, path, { ...(body !== undefined && { body }), ...(type !== undefined && { type }) });
  const publish = (body: unknown) => rig.post('/v1/publish', body);
  const published = () => rig.published.map(({ data, ...rest }) => ({ ...rest, data: data.toString() }));
  const cursor = (sequence: number) => `${rig.log.epoch}-${sequence}`;

  before(() => rig.listen());
  beforeEach(() => rig.reset());
  after(() => rig.close());

  test('one publication answers with its cursor, what became of it, and its receivers', async () => {
    rig.receivers = { alice: 2 };
    const { status, body } = await publish({ channel: 'alice', data: 'hello' });
    assert.deepEqual([status, body], [200, { cursor: cursor(1), status: 'delivered', receivers: 2 }]);
  });

  test('data that is nested too deeply, and bytes that are not UTF-8, are the mistake of whoever sent them', async () => {
    const deep = `[{"channel":"a","data":1},{"channel":"a","data":${'['.repeat(100_000)}${']'.repeat(100_000)}}]`;
    const nested = await send('POST', '/v1/publish', deep);
    assert.deepEqual([nested.status, nested.body.error.field], [400, '[1].data']);
    const response = await fetch(`${rig.url}/v1/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from('{"channel":"caf\xe9","data":1}', 'latin1'),
    });
    assert.deepEqual([response.status, published()], [400, []]);
  });

  test('a string is published as its text, anything else as its JSON', async () => {
    for (const data of ['text "ü"', { a: [1] }, null, 0, false, '']) await publish({ channel: 'bob', data });
    assert.deepEqual(
      published().map(({ kind, data }) => [kind, data]),
      [
        [KIND_TEXT, 'text "ü"'],
        [KIND_JSON, '{"a":[1]}'],
        [KIND_JSON, 'null'],
        [KIND_JSON, '0'],
        [KIND_JSON, 'false'],
        [KIND_TEXT, ''],
      ],
    );
    const odd = '{"__proto__":{"x":1},"constructor":{"prototype":{}}}';
    assert.equal((await send('POST', '/v1/publish', `{"channel":"bob","data":${odd}}`)).status, 200);
    assert.equal(published().at(-1)?.data, odd);
  });

  test('a batch answers in its order', async () => {
    rig.receivers = { alice: 2 };
    const { status, body } = await publish([
      { channel: 'alice', data: 1 },
      { channel: 'bob', data: 2 },
    ]);
    assert.equal(status, 200);
    assert.deepEqual(body, [
      { cursor: cursor(1), status: 'delivered', receivers: 2 },
      { cursor: cursor(2), status: 'queued', receivers: 0 },
    ]);
  });

  test('without a receipt the answer is the place in the log; of a batch those are waited for that ask', async () => {
    rig.receivers = { alice: 2 };
    const { body } = await publish({ channel: 'alice', data: 1, receipt: false });
    assert.deepEqual(body, { cursor: cursor(1) });
    const batch = await publish([
      { channel: 'alice', data: 1, receipt: false, id: 'x' },
      { channel: 'alice', data: 2, receipt: true },
      { channel: 'alice', data: 1, receipt: false, id: 'x' },
    ]);
    assert.deepEqual(batch.body, [
      { cursor: cursor(2) },
      { cursor: cursor(3), status: 'delivered', receivers: 2 },
      { cursor: cursor(2), duplicate: true },
    ]);
  });

  test('an id is passed on, and a publication whose id was known says so', async () => {
    const id = 'i'.repeat(128);
    const { body } = await publish([
      { channel: 'bob', data: 1, id },
      { channel: 'bob', data: 1, id },
    ]);
    assert.deepEqual(body, [
      { cursor: cursor(1), status: 'queued', receivers: 0 },
      { cursor: cursor(1), status: 'queued', receivers: 0, duplicate: true },
    ]);
    assert.deepEqual(published()[0], { channel: 'bob', kind: KIND_JSON, data: '1', id });
  });

  test('what the log cannot keep is 503, without the particulars of the machine', async () => {
    rig.failures = { full: new LogError('ELOGFULL', 'the disk is full', 'make room') };
    const { status, body } = await publish({ channel: 'full', data: 1 });
    assert.deepEqual([status, body.error.code], [503, 'log_failed']);
    assert.doesNotMatch(body.error.message, /disk/);
  });

  test('a 400 names the field, and nothing of an invalid batch is published', async () => {
    const good = { channel: 'alice', data: 1 };
    const cases: [body: unknown, field: string | undefined][] = [
      [{ data: 1 }, 'channel'],
      [{ channel: 'alice' }, 'data'],
      [{ channel: '', data: 1 }, 'channel'],
      [{ channel: 7, data: 1 }, 'channel'],
      [{ channel: 'ü'.repeat(65), data: 1 }, 'channel'],
      [{ channel: 'a\u0000b', data: 1 }, 'channel'],
      [{ channel: 'a\ud800', data: 1 }, 'channel'],
      [{ ...good, other: 1 }, 'other'],
      [{ ...good, receipt: 'yes' }, 'receipt'],
      [{ ...good, id: '' }, 'id'],
      [{ ...good, id: 7 }, 'id'],
      [{ ...good, id: 'ü'.repeat(65) }, 'id'],
      [{ ...good, id: '\udfff' }, 'id'],
      [[good, { ...good, id: null }], '[1].id'],
      [[good, good, good, { channel: '', data: 1 }], '[3].channel'],
      [[good, { channel: 'a' }], '[1].data'],
      [[good, { ...good, other: 1 }], '[1].other'],
      [[good, 'x'], '[1]'],
      [[], undefined],
      [7, undefined],
      [null, undefined],
      [Array(BATCH_PUBLICATIONS_MAX + 1).fill(good), undefined],
    ];
    for (const [body, field] of cases) {
      const answer = await publish(body);
      assert.equal(answer.status, 400, JSON.stringify(body).slice(0, 80));
      assert.equal(answer.body.error.field, field);
      assert.equal(answer.body.error.code, 'invalid');
      assert.ok(answer.body.error.message.includes(field ?? 'the body'), answer.body.error.message);
    }
    const broken = await send('POST', '/v1/publish', '{"channel":');
    assert.deepEqual([broken.status, broken.body.error.code], [400, 'invalid']);
    assert.deepEqual(published(), []);
  });

  test('names of 128 bytes pass, whatever script they are in', async () => {
    for (const channel of ['x'.repeat(128), 'ü'.repeat(64), '😀'.repeat(32), 'a.b/c d']) {
      assert.equal((await publish({ channel, data: 1 })).status, 200);
    }
  });

  test('data above the limit is 413 and names the field, a body above the limit is 413', async () => {
    const fits = 'm'.repeat(MESSAGE_BYTES_MAX);
    assert.equal((await publish({ channel: 'bob', data: fits })).status, 200);
    const large = await publish([
      { channel: 'bob', data: 1 },
      { channel: 'bob', data: `${fits}m` },
    ]);
    assert.deepEqual([large.status, large.body.error.code, large.body.error.field], [413, 'too_large', '[1].data']);
    assert.equal(published().length, 1);
    const headers = { 'content-type': 'application/json', 'content-length': API_BODY_BYTES_MAX + 1 };
    const request = httpRequest({ port: rig.port, method: 'POST', path: '/v1/publish', headers });
    request.on('error', () => {});
    request.write('[');
    const [response] = await once(request, 'response');
    assert.equal(response.statusCode, 413);
    request.destroy();
  });

  test('what a browser can send across origins is refused', async () => {
    const body = '{"channel":"alice","data":1}';
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const { status, body: answer } = await send('POST', '/v1/publish', body, type);
      assert.deepEqual([status, answer.error.code], [415, 'unsupported_media_type'], type);
    }
    assert.equal((await send('OPTIONS', '/v1/publish')).status, 405);
    for (const [host, expected] of [
      ['evil.example:9001', 403],
      ['localhost:9001', 200],
      ['[::1]:9001', 200],
    ] as const) {
      const socket = connect(rig.port, '127.0.0.1');
      socket.end(`GET /v1/status HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      const [chunk] = await once(socket, 'data');
      assert.match(String(chunk), new RegExp(`^HTTP/1.1 ${expected} `), host);
    }
    assert.deepEqual(published(), []);
  });

  test('a bug is 500 without its particulars, which are in the log', async () => {
    rig.failures = { bug: new Error('a bug') };
    const { status, body } = await publish({ channel: 'bug', data: 1 });
    assert.deepEqual([status, body.error.code], [500, 'internal']);
    assert.doesNotMatch(body.error.message, /a bug/);
    assert.equal(rig.lines.length, 1);
    assert.match(rig.lines[0], /error request failed url=\/v1\/publish stack="Error: a bug/);
  });

  test('what is no request is answered in JSON too, and ends its connection', async () => {
    const cases: [bytes: string, status: number][] = [
      ['nonsense\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
      ['GET /%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n', 400],
    ];
    for (const [bytes, status] of cases) {
      const socket = connect(rig.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk) => (answer += chunk));
      socket.write(bytes);
      await once(socket, 'close');
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
      assert.ok(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).error.code);
    }
  });

  test('an error does not repeat at length what it is about', async () => {
    const { status, body } = await rig.post('/v1/publish', { channel: 'a', data: 1, ['x'.repeat(1 << 20)]: 1 });
    assert.equal(status, 400);
    assert.match(body.error.message, /^x{100}… is not known$/);
    assert.equal(body.error.field, `${'x'.repeat(100)}…`);
    assert.match((await rig.get(`/${'y'.repeat(9000)}`)).body.error.message, /^there is no \/y{99}…$/);
  });

  test('two of what may be there once are refused: somebody else may have read the other one', async () => {
    for (const twice of [
      'Host: 127.0.0.1\r\nHost: 127.0.0.2',
      'Host: localhost\r\nAuthorization: x\r\nAuthorization: y',
    ]) {
      const socket = connect(rig.port, '127.0.0.1');
      socket.write(`GET /v1/status HTTP/1.1\r\n${twice}\r\nConnection: close\r\n\r\n`);
      const answer = (await socket.setEncoding('latin1').toArray()).join('');
      assert.match(answer, /^HTTP\/1.1 400 .*"a request has one Host, and one Authorization at most"/s);
    }
  });

  test('status is what the manager says; unknown paths are 404 and wrong methods 405, in JSON', async () => {
    assert.deepEqual((await send('GET', '/v1/status')).body, { pid: 7 });
    const unknown = await send('GET', '/v1/nothing?x');
    assert.deepEqual([unknown.status, unknown.body.error.code], [404, 'not_found']);
    const wrong = await send('GET', '/v1/publish?x=1');
    assert.deepEqual(
      [wrong.status, wrong.body.error.code, wrong.headers.get('allow')],
      [405, 'method_not_allowed', 'POST'],
    );
    assert.equal((await send('DELETE', '/v1/status')).status, 405);
  });
});
