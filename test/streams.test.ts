/** All transports against real processes, in raw bytes: connect, hear, lose the connection, resume; workers and managers that die. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { OPCODE_TEXT } from '../src/websocket/frame.js';
import { clientFrame } from '../src/websocket/testing/client-frame.js';
import {
  type ClientEvent,
  readResponses,
  readSse,
  readStream,
  readWebSocket,
  splitHead,
} from '../src/worker/testing/client-events.js';
import { HANDSHAKE } from '../src/worker/testing/worker-rig.js';
import {
  isAlive,
  type RawClient,
  rawClient,
  rawRequest,
  startServer,
  type TestServer,
  temporaryRunDirectory,
  waitFor,
  workersEndWithManager,
} from './helpers.js';

type Transport = 'poll' | 'sse' | 'stream' | 'ws';
const STREAMS: Transport[] = ['sse', 'stream', 'ws'];
const ALL: Transport[] = ['poll', ...STREAMS];

/** A subscriber that shows the events of its transport in one form. */
class Subscriber {
  readonly raw: RawClient;
  readonly #transport: Transport;

  constructor(raw: RawClient, transport: Transport) {
    this.raw = raw;
    this.#transport = transport;
  }

  static async open(port: number, transport: Transport, query: string, fields = ''): Promise<Subscriber> {
    const upgrade = transport === 'ws' ? HANDSHAKE : '';
    const head = `GET /v1/${transport}?${query} HTTP/1.1\r\nHost: test\r\n${upgrade}${fields}\r\n`;
    return new Subscriber(await rawClient(port, head), transport);
  }

  /** All events so far, heartbeats apart. An answer of a poll is its gaps, its messages and `subscribed` with its cursor. */
  events(): ClientEvent[] {
    const bytes = Buffer.from(this.raw.received(), 'latin1');
    if (this.#transport === 'poll') {
      return readResponses(bytes).responses.flatMap(({ body }) => {
        const { cursor, messages, gap = [] } = JSON.parse(body) as Record<string, ClientEvent[]>;
        const typed = (events: ClientEvent[], type: string) => events.map((event) => ({ ...event, type }));
        return [...typed(gap!, 'gap'), ...typed(messages!, 'message'), { type: 'subscribed', cursor: String(cursor) }];
      });
    }
    const rest = splitHead(bytes)?.rest;
    if (rest === undefined) return [];
    const { events } =
      this.#transport === 'sse'
        ? readSse(rest)
        : this.#transport === 'stream'
          ? readStream(rest, true)
          : readWebSocket(rest);
    return events.filter(({ type }) => type !== 'heartbeat' && type !== 'retry');
  }

  messages(): unknown[] {
    return this.events().flatMap(({ type, data }) => (type === 'message' ? [data] : []));
  }

  get cursor(): string {
    return this.events().findLast(({ cursor }) => cursor !== undefined)!.cursor!;
  }

  async has(what: string, condition: (events: ClientEvent[]) => boolean): Promise<ClientEvent[]> {
    await waitFor(`${this.#transport}: ${what} (has ${JSON.stringify(this.events())})`, () => condition(this.events()));
    return this.events();
  }

  live(): Promise<ClientEvent[]> {
    return this.has('to be live', (events) => events.some(({ type }) => type === 'subscribed'));
  }

  async hears(...data: unknown[]): Promise<void> {
    await this.has(`hear ${data}`, () => this.messages().length >= data.length);
    assert.deepEqual(this.messages(), data);
  }

  say(message: unknown): void {
    this.raw.socket.write(clientFrame({ opcode: OPCODE_TEXT, data: JSON.stringify(message) }));
  }

  end(): void {
    this.raw.socket.destroy();
  }
}

const post = (path: string, body: string, fields = 'Content-Type: application/json\r\n') =>
  `POST ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('subscribers', () => {
  let server: TestServer;
  let port: number;
  before(async () => {
    server = await startServer(['--client-publish', 'chat/*', '--retain', 'few*=2/1h', '--test-echo']);
    port = server.ports.client;
  });
  after(async () => {
    await server.stop();
  });

  for (const transport of ALL) {
    test(`${transport}: begins, hears, is cut and resumes without loss or repetition`, async () => {
      const channel = `resume-${transport}`;
      // A poll asks where the log ends, and waits from there.
      const query = `channel=${channel}${transport === 'poll' ? '&timeout=0' : ''}`;
      const first = await Subscriber.open(port, transport, query);
      await first.live();
      let { cursor } = first;
      first.end();
      await server.publish(channel, 'one');
      await server.publish(channel, { two: 2 });
      const second = await Subscriber.open(port, transport, `channel=${channel}&after=${cursor}`);
      await second.hears('one', { two: 2 });
      if (transport !== 'poll') {
        await second.live();
        await server.publish(channel, 'three');
        await second.hears('one', { two: 2 }, 'three');
      }
      ({ cursor } = second);
      second.end();
      const waiting = await Subscriber.open(port, transport, `channel=${channel}&after=${cursor}`);
      if (transport !== 'poll') await waiting.live();
      await server.publish(channel, 'grüße ☄');
      await waiting.hears('grüße ☄');
      waiting.end();
      const all = await Subscriber.open(port, transport, `channel=${channel}&after=start`);
      await all.hears('one', { two: 2 }, ...(transport === 'poll' ? [] : ['three']), 'grüße ☄');
      all.end();
    });

    test(`${transport}: is told of a gap where retention has dropped something, and of another epoch`, async () => {
      const channel = `few-${transport}`;
      const { cursor } = await server.publish(channel, 0);
      for (let n = 1; n <= 4; n++) await server.publish(channel, n);
      const late = await Subscriber.open(port, transport, `channel=${channel}&after=${cursor}`);
      await late.hears(3, 4);
      const [gap] = late.events();
      assert.equal(gap!.type, 'gap');
      assert.equal(gap!.channel, channel);
      late.end();
      const stranger = await Subscriber.open(port, transport, `channel=${channel}&after=other-7`);
      await stranger.hears(3, 4);
      assert.equal(stranger.events()[0]!.type, 'gap');
      assert.equal(stranger.events()[0]!.channel, undefined);
      stranger.end();
    });

    test(`${transport}: has several channels in the order of the log`, async () => {
      const [a, b] = [`several-a-${transport}`, `several-b-${transport}`];
      for (let n = 0; n < 10; n++) await server.publish(n % 3 === 0 ? a : b, n);
      const client = await Subscriber.open(port, transport, `channel=${a}&channel=${b}&after=start`);
      await client.hears(...Array.from({ length: 10 }, (_, n) => n));
      client.end();
    });
  }

  test('the first bytes of a stream come at once', async () => {
    for (const [transport, first] of [
      ['sse', /\r\n\r\nretry: \d{4}\n\n/],
      ['stream', /\r\n\r\n15\r\n\{"type":"heartbeat"\}\n\r\n/],
      ['ws', /^HTTP\/1\.1 101 [\s\S]*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/],
    ] as const) {
      const client = await Subscriber.open(port, transport, 'channel=quiet');
      await client.raw.until(first);
      client.end();
    }
  });

  test('Last-Event-ID counts more than after, If-None-Match where after is absent', async () => {
    const { cursor } = await server.publish('places', 'one');
    await server.publish('places', 'two');
    const sse = await Subscriber.open(port, 'sse', 'channel=places&after=start', `Last-Event-ID: ${cursor}\r\n`);
    await sse.hears('two');
    sse.end();
    const poll = await Subscriber.open(port, 'poll', 'channel=places', `If-None-Match: W/"${cursor}"\r\n`);
    await poll.hears('two');
    poll.end();
  });

  test('format=raw is the bare data, JSONP a script', async () => {
    await server.publish('forms', 'two\nlines');
    const sse = await rawClient(port, 'GET /v1/sse?channel=forms&after=start&format=raw HTTP/1.1\r\nHost: h\r\n\r\n');
    await sse.until('data: two\ndata: lines\n\n');
    sse.socket.destroy();
    const script = await rawRequest(
      port,
      'GET /v1/poll?channel=forms&after=start&callback=my.show HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
    );
    assert.match(script, /Content-Type: text\/javascript; charset=utf-8\r\n/);
    assert.match(
      script,
      /\r\n\r\nmy\.show\(\{"cursor":"[^"]+","messages":\[\{"channel":"forms",.*"two\\nlines".*\}\]\}\);$/,
    );
  });

  test('a poll on a connection that persists asks again and again', async () => {
    const client = await rawClient(port);
    const ask = (query: string) =>
      client.socket.write(`GET /v1/poll?channel=again&${query} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const answers = () => readResponses(Buffer.from(client.received(), 'latin1')).responses;
    ask('timeout=0');
    for (let n = 0; n < 5; n++) {
      await waitFor('an answer', () => answers().length === n + 1);
      ask(`after=${JSON.parse(answers()[n]!.body).cursor}`);
      await server.publish('again', n);
    }
    await waitFor('the last answer', () => answers().length === 6);
    const heard = answers().flatMap(({ body }) => (JSON.parse(body).messages as ClientEvent[]).map(({ data }) => data));
    assert.deepEqual(heard, [0, 1, 2, 3, 4]);
    ask('timeout=1&after=now');
    await waitFor('the time-out', () => answers().length === 7);
    assert.deepEqual(JSON.parse(answers()[6]!.body).messages, []);
    client.socket.destroy();
  });

  test('HTTP/1.0 gets a stream without chunks', async () => {
    await server.publish('old', 'm');
    const client = await rawClient(port, 'GET /v1/stream?channel=old&after=start HTTP/1.0\r\n\r\n');
    const received = await client.until('"subscribed"');
    assert.doesNotMatch(received, /Transfer-Encoding/);
    assert.match(received, /\r\n\r\n\{"type":"heartbeat"\}\n\{"type":"message",/);
    client.socket.destroy();
  });

  for (const [name, request, status] of [
    ['no channel', 'GET /v1/sse', 400],
    ['a cursor that is none', 'GET /v1/poll?channel=a&after=7', 400],
    ['a channel that is none', 'GET /v1/stream?channel=a%00', 400],
    ['after twice', 'GET /v1/poll?channel=a&after=now&after=now', 400],
    ['a time-out that is too long', 'GET /v1/poll?channel=a&timeout=301', 400],
    ['a wrong callback', 'GET /v1/poll?channel=a&callback=alert(1)', 400],
    ['a WebSocket without an upgrade', 'GET /v1/ws?channel=a', 426],
    ['another path', 'GET /v1/nothing', 404],
    ['another method', 'DELETE /v1/poll?channel=a', 405],
    ['GET to publish', 'GET /v1/publish', 405],
    ['POST to a stream', 'POST /v1/sse?channel=a', 405],
  ] as const) {
    test(`${name} is refused with ${status}`, async () => {
      const answer = await rawRequest(port, `${request} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(answer, /\r\nAccess-Control-Allow-Origin: \*\r\n/);
    });
  }

  test('HEAD has the head of GET, OPTIONS answers preflights, and GET / says what this is', async () => {
    const close = 'HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
    assert.match(
      await rawRequest(port, `HEAD /v1/sse?channel=a ${close}`),
      /^HTTP\/1\.1 200 [\s\S]*Content-Type: text\/event-stream; charset=utf-8\r\n[\s\S]*\r\n\r\n$/,
    );
    const preflight = await rawRequest(port, `OPTIONS /v1/publish ${close}`);
    assert.match(preflight, /^HTTP\/1\.1 204 /);
    assert.match(preflight, /\r\nAccess-Control-Allow-Methods: [^\r]*POST/);
    assert.match(preflight, /\r\nAccess-Control-Allow-Headers: [^\r]*Content-Type/i);
    assert.match(
      await rawRequest(port, `GET / ${close}`),
      /^HTTP\/1\.1 200 [\s\S]*Content-Type: text\/html[\s\S]*<h1>MegaComet/,
    );
  });

  test('clients publish by POST and WebSocket where they may', async () => {
    const listener = await Subscriber.open(port, 'ws', 'channel=chat/a');
    await listener.live();
    const body = JSON.stringify({ channel: 'chat/a', data: 'by post', id: 'p-1' });
    const published = await rawRequest(port, post('/v1/publish', body));
    assert.match(published, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n\{"cursor":"[^"]+"\}$/);
    assert.match(await rawRequest(port, post('/v1/publish', body)), /"duplicate":true\}$/);
    listener.say({ type: 'publish', channel: 'chat/a', data: { by: 'socket' }, ref: 7 });
    await listener.hears('by post', { by: 'socket' });
    const answer = (await listener.has('an answer', (events) => events.some(({ type }) => type === 'published'))).find(
      ({ type }) => type === 'published',
    );
    assert.equal(answer!.ref, 7);
    assert.equal(answer!.cursor, listener.events().findLast(({ type }) => type === 'message')!.cursor);
    listener.say({ type: 'publish', channel: 'news', data: 'no', ref: 'x' });
    await listener.has('a refusal', (events) => events.some(({ code, ref }) => code === 'forbidden' && ref === 'x'));
    listener.end();
    const refused = await rawRequest(port, post('/v1/publish', '{"channel":"news","data":1}'));
    assert.match(refused, /^HTTP\/1\.1 403 [\s\S]*"code":"forbidden"/);
    assert.match(await rawRequest(port, post('/v1/publish', body, '')), /^HTTP\/1\.1 415 /);
    assert.match(
      await rawRequest(port, post('/v1/publish', '{', 'Content-Type: application/json\r\n')),
      /^HTTP\/1\.1 400 /,
    );
  });

  test('a WebSocket subscribes and unsubscribes as it goes', async () => {
    await server.publish('later', 'before');
    const client = await Subscriber.open(port, 'ws', '');
    await client.raw.until('101');
    client.say({ type: 'subscribe', channels: ['later', 'other'], after: 'start', ref: 1 });
    await client.live();
    await client.hears('before');
    await server.publish('other', 'now');
    await client.hears('before', 'now');
    client.say({ type: 'unsubscribe', channel: 'other', ref: 2 });
    await client.has('unsubscribed', (events) => events.some(({ type, ref }) => type === 'unsubscribed' && ref === 2));
    await server.publish('other', 'not heard');
    await server.publish('later', 'heard');
    await client.hears('before', 'now', 'heard');
    client.say({ type: 'ping', ref: 3 });
    await client.has('pong', (events) => events.some(({ type, ref }) => type === 'pong' && ref === 3));
    client.raw.socket.write(clientFrame({ opcode: 8, data: Buffer.from([0x03, 0xe8]) }));
    await client.has('close', (events) => events.some(({ type, code }) => type === 'close' && code === 1000));
    await client.raw.closed;
  });

  test('--test-echo returns bodies and messages', async () => {
    assert.match(await rawRequest(port, post('/echo', 'as it came', '')), /\r\n\r\nas it came$/);
    const client = await rawClient(port, `GET /echo HTTP/1.1\r\nHost: h\r\n${HANDSHAKE}\r\n`);
    await client.until('101');
    client.socket.write(clientFrame({ opcode: 2, data: 'bytes' }));
    await client.until('\x82\x05bytes');
    client.socket.destroy();
  });

  test('a slow client does not hold up the others', async () => {
    const slow = await Subscriber.open(port, 'stream', 'channel=big');
    await slow.live();
    slow.raw.socket.pause();
    const quick = await Subscriber.open(port, 'sse', 'channel=big');
    await quick.live();
    const text = 'x'.repeat(500_000);
    const before = (await server.status()).workers.length;
    for (let n = 0; n < 20; n++) await server.publish('big', text + n);
    await quick.has('all', (events) => events.filter(({ type }) => type === 'message').length === 20);
    quick.end();
    slow.raw.socket.resume();
    await slow.raw.closed;
    const heard = slow.messages().length;
    assert(heard < 20, `${heard}`);
    const resumed = await Subscriber.open(port, 'stream', `channel=big&after=${slow.cursor}`);
    await resumed.live();
    // 1 MiB is retained of a channel: what is lost is said.
    assert(resumed.messages().length + heard === 20 || resumed.events()[0]!.type === 'gap');
    resumed.end();
    assert.equal((await server.status()).workers.length, before);
  });
});

describe('processes that die', () => {
  test('a worker: its clients come back to another one and have everything', async () => {
    const server = await startServer();
    try {
      const clients: Subscriber[] = [];
      for (const transport of STREAMS) {
        for (let n = 0; n < 4; n++) {
          const client = await Subscriber.open(server.ports.client, transport, 'channel=c');
          await client.live();
          clients.push(client);
        }
      }
      await server.publish('c', 1);
      for (const client of clients) await client.hears(1);
      const pids = await server.workerPids();
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      for (const client of clients) await client.raw.closed;
      await waitFor('both to have ended', () => !pids.some(isAlive));
      await server.publish('c', 2);
      for (const [n, client] of clients.entries()) {
        const transport = STREAMS[Math.floor(n / 4)]!;
        const again = await Subscriber.open(server.ports.client, transport, `channel=c&after=${client.cursor}`);
        await again.live();
        await again.hears(2);
        again.end();
      }
    } finally {
      await server.stop();
    }
  });

  test('a manager with its log in memory: connected streams see a gap and go on', {
    skip: workersEndWithManager,
  }, async () => {
    const first = await startServer(['--log', 'memory']);
    const { runDirectory } = first;
    try {
      const clients: Subscriber[] = [];
      for (const transport of STREAMS) {
        clients.push(await Subscriber.open(first.ports.client, transport, 'channel=c'));
        await clients.at(-1)!.live();
      }
      await first.publish('c', 'before');
      for (const client of clients) await client.hears('before');
      const poll = await Subscriber.open(first.ports.client, 'poll', `channel=c&after=${clients[0]!.cursor}`);
      process.kill(first.managerPid, 'SIGKILL');
      await waitFor('the manager to be gone', () => !isAlive(first.managerPid));
      const without = await Subscriber.open(first.ports.client, 'sse', 'channel=c');
      await without.raw.until('retry: ');
      const second = await startServer(['--log', 'memory'], { runDirectory });
      try {
        for (const client of clients) {
          await client.has('a gap', (events) => events.some(({ type }) => type === 'gap'));
          const gap = client.events().find(({ type }) => type === 'gap')!;
          assert.equal(gap.channel, undefined);
          assert.notEqual(gap.cursor!.split('-')[0], client.events()[0]!.cursor!.split('-')[0]);
        }
        await poll.has('a gap', ([event]) => event?.type === 'gap');
        await without.live();
        await second.publish('c', 'after');
        for (const client of clients) await client.hears('before', 'after');
        await without.hears('after');
        for (const client of clients) assert.equal(client.raw.socket.closed, false);
      } finally {
        for (const client of [...clients, poll, without]) client.end();
        await second.stop();
      }
    } finally {
      await first.stop();
    }
  });

  test('a manager with its log on disk: connected streams miss nothing, and see no gap', {
    skip: workersEndWithManager,
  }, async () => {
    const data = await temporaryRunDirectory();
    const args = ['--log', 'lmdb', '--data-dir', data.path];
    const first = await startServer(args);
    const { runDirectory } = first;
    try {
      const clients: Subscriber[] = [];
      for (const transport of STREAMS) {
        clients.push(await Subscriber.open(first.ports.client, transport, 'channel=c'));
        await clients.at(-1)!.live();
      }
      await first.publish('c', 1);
      for (const client of clients) await client.hears(1);
      process.kill(first.managerPid, 'SIGKILL');
      await waitFor('the manager to be gone', () => !isAlive(first.managerPid));
      // Without a manager a client is held, from its cursor on.
      const { cursor } = clients[0]!;
      for (const transport of ALL) {
        clients.push(await Subscriber.open(first.ports.client, transport, `channel=c&after=${cursor}`));
      }
      const second = await startServer(args, { runDirectory });
      try {
        await second.publish('c', 2);
        for (const client of clients) {
          await client.hears(...(client.messages()[0] === 1 ? [1, 2] : [2]));
          assert(!client.events().some(({ type }) => type === 'gap'));
          assert.equal(client.raw.socket.closed, false);
        }
      } finally {
        for (const client of clients) client.end();
        await second.stop();
      }
    } finally {
      await first.stop();
      await data.remove();
    }
  });

  test('serve ends: a WebSocket is told 1001, a stream ends its chunks', async () => {
    const server = await startServer();
    const socket = await Subscriber.open(server.ports.client, 'ws', 'channel=c');
    const stream = await Subscriber.open(server.ports.client, 'stream', 'channel=c');
    await socket.live();
    await stream.live();
    assert.equal(await server.stop(), 0);
    await socket.raw.closed;
    await stream.raw.closed;
    assert.deepEqual(socket.events().at(-1), { type: 'close', code: 1001 });
    assert.equal(stream.events().at(-1)!.type, 'end');
  });
});
