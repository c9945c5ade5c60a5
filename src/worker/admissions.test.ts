import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { CLIENT_BODY_BYTES_MAX, EXPIRY_ROUND_MS, REQUEST_HEAD_BYTES_MAX, VERIFY_TIMEOUT_MS } from '../limits.js';
import { PUBLISHED_NEW } from '../link/frames.js';
import { Issuer } from '../tokens/testing/issuer.js';
import { splitHead } from './testing/client-events.js';
import { HANDSHAKE, NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const issuer = new Issuer('ES256');
const WALL_MS = 1_769_947_200_000;
const LATER_S = WALL_MS / 1000 + 60;

/** A token that is good for a minute of the rig's time. */
const tokenOf = (sub: string, subscribe: string[], publish: string[] = []) =>
  issuer.sign({ sub, exp: LATER_S, megacomet: { subscribe, publish } });

describe('admission', () => {
  let rig: WorkerRig;
  let alice: string;

  beforeEach(async () => {
    rig = new WorkerRig({ policy: { anonymous: ['public/*'], tokens: issuer.policy() } });
    rig.welcome('e', 7);
    alice = await tokenOf('alice', ['alice/*'], ['chat/*']);
  });

  const subjectOf = (connection: number) => rig.clients.access.identities.subjectOf(connection);
  const bearer = (token: string) => `Authorization: Bearer ${token}\r\n`;

  /** Status, code and WWW-Authenticate of what a connection was answered. */
  function refusal(connection: number): [number, string, string | undefined] {
    const { status, head, rest } = splitHead(Buffer.from(rig.sent(connection), 'latin1'))!;
    const { error } = JSON.parse(rest.toString()) as { error: { code: string } };
    return [status, error.code, /^WWW-Authenticate: (.*)$/m.exec(head)?.[1]?.trim()];
  }

  /** What a closed WebSocket was told. */
  function closed(connection: number): unknown[] {
    return rig.events(connection, 'ws').map(({ type, code, reconnect }) => [type, code, reconnect]);
  }

  function left(): void {
    for (let connection = 0; connection < 16; connection++) {
      if (rig.connections.phase[connection] !== 0) rig.clients.closed(connection);
    }
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  }

  const TARGETS = [
    ['a poll', (channel: string) => `/v1/poll?channel=${channel}`],
    ['an event stream', (channel: string) => `/v1/sse?channel=${channel}`],
    ['an HTTP stream', (channel: string) => `/v1/stream?channel=${channel}`],
    ['a classic poll', (channel: string) => `/${encodeURIComponent(channel)}.js`],
  ] as const;

  for (const [name, target] of TARGETS) {
    test(`${name} without a token may have the anonymous channels alone`, () => {
      rig.get(1, target('public/a'));
      assert.equal(rig.connections.held, 1);
      assert.equal(rig.clients.verifying, false);
      rig.get(2, target('alice/a'));
      assert.deepEqual(refusal(2), [401, 'token_required', 'Bearer']);
      left();
    });

    test(`${name} with a token may have the channels that it names, and the anonymous ones`, async () => {
      for (const [connection, channel] of [
        [1, 'alice/a'],
        [2, 'public/a'],
      ] as const) {
        rig.get(connection, target(channel), bearer(alice));
        await rig.verified();
        assert.equal(subjectOf(connection), 'alice');
      }
      rig.get(3, target('bob/a'), bearer(alice));
      assert.deepEqual(refusal(3), [403, 'forbidden', 'Bearer error="insufficient_scope"']);
      assert.equal(subjectOf(3), null);
      left();
    });

    test(`${name} with a wrong token is refused, whatever it asks for`, async () => {
      rig.get(1, target('public/a'), bearer(await new Issuer('ES256').sign({ sub: 'alice' })));
      await rig.verified();
      assert.deepEqual(refusal(1), [401, 'token_invalid', 'Bearer error="invalid_token"']);
      assert.deepEqual(rig.failures.counted, [1]);
      left();
    });

    test(`HEAD of ${name} is judged as GET is`, async () => {
      rig.clients.accepted(1);
      const head = (connection: number, channel: string, fields = '') => {
        if (rig.connections.phase[connection] === 0) rig.clients.accepted(connection);
        rig.receive(connection, `HEAD ${target(channel)} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`);
      };
      head(1, 'alice/a');
      const refused = rig.sent(1);
      assert.match(refused, /^HTTP\/1\.1 401 [\s\S]*\r\n\r\n$/);
      head(2, 'alice/a', bearer(alice));
      await rig.verified();
      assert.match(rig.sent(2), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n$/);
      left();
    });
  }

  test('a token may come in the header, the query or a subprotocol, but once', async () => {
    rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
    await rig.verified();
    assert.equal(subjectOf(1), 'alice');
    rig.openWebSocket(2, '/v1/ws?channel=alice/a', `Sec-WebSocket-Protocol: megacomet, megacomet.token.${alice}\r\n`);
    assert.equal(subjectOf(2), 'alice');
    rig.confirm(7);
    assert.match(rig.sent(2), /\r\nSec-WebSocket-Protocol: megacomet\r\n/);
    rig.get(3, `/v1/sse?channel=alice/a&token=${alice}`, bearer(alice));
    assert.deepEqual(refusal(3).slice(0, 2), [400, 'invalid']);
    rig.get(4, `/v1/sse?channel=alice/a&token=${alice}&token=`);
    assert.equal(subjectOf(4), 'alice');
    left();
  });

  test('an Authorization of another scheme is no token', () => {
    rig.get(1, '/v1/sse?channel=public/a', 'Authorization: Basic YTpi\r\n');
    assert.equal(rig.connections.held, 1);
    assert.equal(subjectOf(1), null);
    rig.get(2, '/v1/sse?channel=alice/a', 'Authorization: Basic YTpi\r\n');
    assert.deepEqual(refusal(2).slice(0, 2), [401, 'token_required']);
    left();
  });

  test('where tokens have no keys they are not looked at', () => {
    rig.setPolicy({ anonymous: ['public/*'], tokens: null });
    rig.get(1, '/v1/sse?channel=public/a&token=nonsense');
    rig.confirm(7);
    assert.match(rig.sent(1), /^HTTP\/1\.1 200 /);
    rig.get(2, '/v1/sse?channel=alice/a', bearer(alice));
    assert.deepEqual(refusal(2).slice(0, 2), [403, 'forbidden']);
    left();
  });

  describe('of a WebSocket', () => {
    test('that is refused completes the handshake, and ends with a reason and a code', async () => {
      rig.openWebSocket(1, '/v1/ws?channel=alice/a');
      assert.match(rig.sent(1), /^HTTP\/1\.1 101 /);
      left();
      for (const [token, target, expected] of [
        [
          '',
          '/v1/ws?channel=alice/a',
          [
            ['disconnect', 'token_required', true],
            ['close', 4401, undefined],
          ],
        ],
        [
          await new Issuer('ES256').sign({}),
          '/v1/ws',
          [
            ['disconnect', 'token_invalid', true],
            ['close', 4401, undefined],
          ],
        ],
        [
          await issuer.sign({ exp: 1 }),
          '/v1/ws',
          [
            ['disconnect', 'token_expired', true],
            ['close', 4401, undefined],
          ],
        ],
        [
          alice,
          '/v1/ws?channel=bob/a',
          [
            ['disconnect', 'forbidden', false],
            ['close', 4403, undefined],
          ],
        ],
      ] as const) {
        rig.openWebSocket(2, `${target}${target.includes('?') ? '&' : '?'}token=${token}`);
        await rig.verified();
        assert.deepEqual(closed(2), expected);
        rig.clients.closed(2);
      }
      left();
    });

    test('judges each request to subscribe and to publish', async () => {
      rig.openWebSocket(1, `/v1/ws?token=${alice}`);
      await rig.verified();
      rig.sent(1);
      rig.say(1, { type: 'subscribe', channels: ['alice/a', 'bob/a'], ref: 1 });
      rig.say(1, { type: 'subscribe', channels: ['alice/a', 'public/a'], ref: 2 });
      rig.say(1, { type: 'publish', channel: 'alice/a', data: 1, ref: 3 });
      rig.say(1, { type: 'publish', channel: 'chat/a', data: 1, ref: 4 });
      assert.equal(rig.subscribers.size, 2);
      assert.match(rig.reports(), /publish 1 chat\/a 1/);
      const events = rig.events(1, 'ws');
      assert.deepEqual(
        events.map(({ type, code, ref }) => [type, code, ref]),
        [
          ['error', 'forbidden', 1],
          ['error', 'forbidden', 3],
        ],
      );
      left();
    });

    test('without a token is told that it needs one', () => {
      rig.openWebSocket(1, '/v1/ws');
      rig.sent(1);
      rig.say(1, { type: 'subscribe', channel: 'alice/a' });
      assert.equal(rig.events(1, 'ws')[0].code, 'token_required');
      left();
    });
  });

  describe('of a publication', () => {
    const post = (connection: number, body: string, fields = '') => {
      if (rig.connections.phase[connection] === 0) rig.clients.accepted(connection);
      const length = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
      rig.receive(connection, `POST /v1/publish HTTP/1.1\r\nHost: h\r\n${length}${fields}\r\n${body}`);
    };

    test('needs a token that allows its channel', async () => {
      post(1, '{"channel":"chat/a","data":1}', bearer(alice));
      await rig.verified();
      assert.equal(rig.reports(), 'publish 1 chat/a 1');
      rig.clients.posts.published(1, PUBLISHED_NEW, 8);
      assert.match(rig.sent(1), /"cursor":"e-8"/);
      post(2, '[{"channel":"chat/a","data":1},{"channel":"alice/a","data":1}]', bearer(alice));
      assert.deepEqual(refusal(2).slice(0, 2), [403, 'forbidden']);
      post(3, '{"channel":"chat/a","data":1}');
      assert.deepEqual(refusal(3).slice(0, 2), [401, 'token_required']);
      post(4, '{"channel":"chat/a","data":1}', bearer(await tokenOf('bob', ['*'])));
      await rig.verified();
      assert.deepEqual(refusal(4).slice(0, 2), [403, 'forbidden']);
      assert.equal(rig.reports(), '');
      left();
    });

    test('may come in whatever pieces while its token is verified', async () => {
      const body = '{"channel":"chat/a","data":"grüße"}';
      const fields = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
      const bytes = Buffer.from(
        `POST /v1/publish HTTP/1.1\r\nHost: h\r\n${fields}${bearer(alice)}\r\n${body}GET / HTTP/1.1\r\nHost: h\r\n\r\n`,
      );
      const headEnd = bytes.indexOf('\r\n\r\n') + 4;
      for (let split = headEnd; split <= bytes.length; split += 5) {
        // Keys that are another policy's: nothing is known of tokens that were met before.
        rig.setPolicy({ tokens: issuer.policy({ toleranceSeconds: split }) });
        rig.clients.accepted(1);
        rig.receive(1, bytes.subarray(0, split));
        rig.receive(1, bytes.subarray(split));
        await rig.verified();
        const [{ type, request, data }] = rig.reported.splice(0);
        assert.deepEqual([type, data], ['publish', 'grüße'], `split at ${split}`);
        rig.clients.posts.published(request, PUBLISHED_NEW, 8);
        assert.match(rig.sent(1), /"cursor":"e-8"/);
        rig.clients.closed(1);
      }
      left();
    });
  });

  describe('while a token is verified', () => {
    test('a client may go, and another have its number', async () => {
      rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
      assert.equal(rig.clients.verifying, true);
      rig.clients.closed(1);
      rig.get(1, '/v1/sse?channel=public/a');
      await rig.verified();
      assert.equal(subjectOf(1), null);
      assert.match(rig.reports(), /^subscribed public\/a, read \d+ \d+ public\/a$/);
      left();
    });

    test('a request waits no longer than it may', () => {
      rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
      rig.nowMs = VERIFY_TIMEOUT_MS + 1000;
      rig.clients.tick();
      assert.deepEqual(refusal(1).slice(0, 2), [503, 'unavailable']);
      left();
    });

    test('a client that sends more than it may is refused', () => {
      rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
      rig.receive(1, 'x'.repeat(2 * REQUEST_HEAD_BYTES_MAX));
      assert.match(rig.sent(1), /^HTTP\/1\.1 413 /);
      rig.clients.accepted(2);
      const fields = `Content-Type: application/json\r\nContent-Length: 10\r\n${bearer(alice)}`;
      rig.receive(2, `POST /v1/publish HTTP/1.1\r\nHost: h\r\n${fields}\r\n`);
      rig.receive(2, 'x'.repeat(CLIENT_BODY_BYTES_MAX));
      assert.equal(rig.sent(2), '');
      rig.receive(2, 'x'.repeat(2 * REQUEST_HEAD_BYTES_MAX));
      assert.match(rig.sent(2), /^HTTP\/1\.1 413 /);
      left();
    });

    test('the server may end', () => {
      rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
      rig.clients.stop();
      left();
    });

    test('all who come with the same token wait for one verdict', async () => {
      for (let connection = 0; connection < 16; connection++)
        rig.get(connection, `/v1/sse?channel=alice/a&token=${alice}`);
      await rig.verified();
      assert.equal(rig.clients.access.identities.size, 16);
      left();
    });
  });

  test('a token that was verified is known from then on, until it expires', async () => {
    rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
    await rig.verified();
    rig.get(2, `/v1/sse?channel=alice/a&token=${alice}`);
    assert.equal(rig.clients.verifying, false);
    assert.equal(subjectOf(2), 'alice');
    rig.wallMs = LATER_S * 1000;
    rig.get(3, `/v1/sse?channel=alice/a&token=${alice}`);
    assert.deepEqual(refusal(3).slice(0, 2), [401, 'token_expired']);
    assert.deepEqual(rig.failures.counted, [], 'it was a good one');
    left();
  });

  test('an address that has sent too many wrong tokens is heard with known ones alone', async () => {
    rig.get(1, `/v1/sse?channel=alice/a&token=${alice}`);
    await rig.verified();
    rig.failures.exhausted = true;
    rig.get(2, `/v1/sse?channel=alice/a&token=${alice}`);
    assert.equal(subjectOf(2), 'alice');
    rig.get(3, `/v1/sse?channel=bob/a&token=${await tokenOf('bob', ['*'])}`);
    assert.deepEqual(refusal(3).slice(0, 2), [503, 'rate_limited']);
    left();
  });

  test('a poll is its client until it is answered', async () => {
    rig.get(1, `/v1/poll?channel=alice/a&token=${alice}`);
    await rig.verified();
    rig.confirm(7);
    assert.equal(subjectOf(1), 'alice');
    rig.fanOut(8, 'alice/a', 'hello');
    assert.equal(subjectOf(1), null);
    assert.match(rig.sent(1), /"data":"hello"/);
    left();
  });

  describe('ends with its token', () => {
    const expire = () => {
      rig.wallMs = LATER_S * 1000 - 1;
      rig.tick(1000);
      assert.equal(rig.clients.access.identities.size, 5, 'not before');
      for (let step = 0; step < 10; step++) {
        rig.wallMs += EXPIRY_ROUND_MS;
        rig.tick(2000 + step * EXPIRY_ROUND_MS);
      }
    };

    test('on every transport, with a word that says so', async () => {
      rig.get(1, `/v1/poll?channel=alice/a&timeout=300&token=${alice}`);
      await rig.verified();
      rig.get(2, `/v1/sse?channel=alice/a&token=${alice}`);
      rig.get(3, `/v1/stream?channel=alice/a&token=${alice}`);
      rig.openWebSocket(4, `/v1/ws?channel=alice/a&token=${alice}`);
      rig.get(5, `/${encodeURIComponent('alice/a')}.js?token=${alice}`);
      rig.get(6, '/v1/sse?channel=public/a');
      rig.confirm(7);
      for (let connection = 2; connection < 5; connection++) rig.sent(connection);
      expire();
      assert.match(rig.sent(1), /"disconnect":\{"code":"token_expired"/);
      assert.match(rig.sent(2), /event: disconnect\n[\s\S]*"code":"token_expired"/);
      assert.match(rig.sent(3), /"type":"disconnect","code":"token_expired"/);
      assert.deepEqual(closed(4), [
        ['disconnect', 'token_expired', true],
        ['close', 4401, undefined],
      ]);
      assert.deepEqual(refusal(5), [401, 'token_expired', 'Bearer error="invalid_token"']);
      assert.equal(rig.clients.access.identities.size, 0);
      assert.doesNotMatch(rig.sent(6), /disconnect/);
      left();
    });
  });

  test('the handshake is the same for everybody who may come', async () => {
    rig.get(1, '/v1/ws?channel=alice/a', HANDSHAKE.replace('Version: 13', 'Version: 12'));
    assert.match(rig.sent(1), /^HTTP\/1\.1 426 /, 'a wrong one is no way to ask about tokens');
    left();
  });
});
