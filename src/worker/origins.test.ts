import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { splitHead } from './testing/client-events.js';
import { HANDSHAKE, NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const OURS = 'https://app.example';
const OTHER = 'https://evil.example';

describe('with a list of origins', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig({ policy: { origins: [OURS, 'https://b.example'], publish: ['*'] } });
    rig.welcome('e', 7);
  });

  /** Status, allowed origin and Vary of what a connection was answered. */
  function answered(connection: number): (string | number | undefined)[] {
    const { status, head } = splitHead(Buffer.from(rig.sent(connection), 'latin1'))!;
    const field = (name: string) => new RegExp(`^${name}: (.*?)\\r?$`, 'm').exec(head)?.[1];
    return [status, field('Access-Control-Allow-Origin'), field('Vary')];
  }

  const from = (origin: string) => `Origin: ${origin}\r\n`;

  const HELD = ['/v1/poll?channel=a', '/v1/sse?channel=a', '/v1/stream?channel=a', '/a.js'];

  for (const target of HELD) {
    test(`${target} is for pages of these, and answers name the one`, () => {
      const deliver = () => {
        rig.confirm(7);
        rig.fanOut(8, 'a', 'hello');
        const bytes = Buffer.from('ahello');
        rig.clients.queue.deliver(8, 0, bytes, 0, 1, 1, bytes.length);
      };
      rig.get(1, target, from(OURS));
      rig.get(2, target, from('https://b.example'));
      rig.get(3, target);
      deliver();
      assert.deepEqual(answered(1), [200, OURS, 'Origin']);
      assert.deepEqual(answered(2), [200, 'https://b.example', 'Origin']);
      assert.deepEqual(answered(3), [200, undefined, 'Origin'], 'no page');
    });

    test(`${target} is not for pages of others`, () => {
      for (const origin of [
        OTHER,
        'null',
        `${OURS}.evil.example`,
        OURS.toUpperCase(),
        `${OURS}:444`,
        'http://app.example',
        '*',
        '',
      ]) {
        rig.get(1, target, from(origin));
        assert.deepEqual(answered(1), [403, undefined, 'Origin'], origin);
        rig.clients.closed(1);
      }
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    test(`${target} is not for scripts of other sites, which send no origin`, () => {
      for (const site of ['cross-site', 'same-site']) {
        rig.get(1, target, `Sec-Fetch-Site: ${site}\r\n`);
        assert.equal(answered(1)[0], 403, site);
        rig.clients.closed(1);
      }
      for (const site of ['same-origin', 'none']) {
        rig.get(1, target, `Sec-Fetch-Site: ${site}\r\n`);
        assert.equal(rig.connections.held, 1, site);
        rig.clients.closed(1);
      }
    });
  }

  test('the handshake of a WebSocket from another page is refused', () => {
    rig.openWebSocket(1, '/v1/ws', from(OTHER));
    assert.deepEqual(answered(1), [403, undefined, 'Origin']);
    rig.openWebSocket(2, '/v1/ws', from(OURS));
    assert.match(rig.sent(2), /^HTTP\/1\.1 101 /);
    rig.get(3, '/v1/ws', `${HANDSHAKE}${from('null')}`);
    assert.equal(answered(3)[0], 403);
  });

  test('a page of another origin publishes nothing, and its preflight allows nothing', () => {
    const post = (connection: number, origin: string) => {
      rig.clients.accepted(connection);
      const fields = `Content-Type: application/json\r\nContent-Length: 25\r\n${from(origin)}`;
      rig.receive(connection, `POST /v1/publish HTTP/1.1\r\nHost: h\r\n${fields}\r\n{"channel":"a","data":11}`);
    };
    post(1, OTHER);
    assert.deepEqual(answered(1), [403, undefined, 'Origin']);
    assert.equal(rig.reports(), '');
    post(2, OURS);
    assert.match(rig.reports(), /^publish 1 a/);
    for (const [connection, origin, allowed] of [
      [3, OTHER, undefined],
      [4, OURS, OURS],
    ] as const) {
      rig.clients.accepted(connection);
      rig.receive(
        connection,
        `OPTIONS /v1/publish HTTP/1.1\r\nHost: h\r\n${from(origin)}Access-Control-Request-Method: POST\r\n\r\n`,
      );
      assert.deepEqual(answered(connection), [204, allowed, 'Origin']);
    }
  });

  test('a connection has the origin of its last request', () => {
    rig.get(1, '/v1/poll?channel=a&timeout=0', from(OURS));
    rig.confirm(7);
    assert.deepEqual(answered(1), [200, OURS, 'Origin']);
    rig.get(1, '/v1/poll?channel=a&timeout=0');
    rig.confirm(7);
    assert.deepEqual(answered(1), [200, undefined, 'Origin']);
  });

  test('a page of any site may see what is here', () => {
    rig.get(1, '/', from(OTHER));
    assert.deepEqual(answered(1), [200, undefined, 'Origin']);
  });

  test('that is taken away, all may come again', () => {
    rig.get(1, '/v1/poll?channel=a', from(OURS));
    rig.setPolicy({});
    rig.get(2, '/v1/poll?channel=a', from(OTHER));
    rig.confirm(7);
    rig.fanOut(8, 'a', 'hello');
    assert.deepEqual(answered(2), [200, '*', undefined]);
  });
});
