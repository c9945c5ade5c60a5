import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { type Output, VIEWER_BYTES_MAX } from './event-stream.js';
import { Ring } from './ring.js';
import { EventParser, type ServerEvent } from './shared/event-parser.js';
import type { History, Snapshot } from './shared/snapshot.js';
import { pointOf } from './shared/testing.js';
import { VIEWERS_MAX, Viewers } from './viewers.js';

/** A sampler that numbers its looks: the figures of the nth are n. */
function counting(): { sample(): Snapshot; looks: number } {
  return {
    looks: 0,
    sample() {
      const looks = ++this.looks;
      return { timeMs: looks * 1000, point: pointOf(looks + 0.123456) } as Snapshot;
    },
  };
}

describe('viewers', () => {
  const sampler = counting();
  let viewers: Viewers;
  const server = createServer((_request, response: ServerResponse) => {
    if (!viewers.add(response)) response.writeHead(503).end();
  });
  let port = 0;
  const clients = new Set<IncomingMessage>();

  beforeEach(async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    sampler.looks = 0;
    viewers = new Viewers(sampler, new Ring(900), 900_000);
    viewers.start();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    viewers.close();
    mock.timers.reset();
    for (const client of clients) client.destroy();
    clients.clear();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  /** Opens the stream. `next` resolves with the next event. */
  async function view(): Promise<{ status: number; next(): Promise<ServerEvent>; end(): void }> {
    const call = request({ port, host: '127.0.0.1', agent: false }).end();
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    clients.add(response);
    response.setEncoding('utf8');
    const parser = new EventParser();
    const events: ServerEvent[] = [];
    const came = new EventEmitter();
    response.on('data', (text: string) => {
      events.push(...parser.push(text));
      came.emit('events');
    });
    const next = async (): Promise<ServerEvent> => {
      while (events.length === 0) await once(came, 'events');
      return events.shift()!;
    };
    return { status: response.statusCode!, next, end: () => void response.destroy() };
  }

  test('a viewer gets the history and the latest snapshot at once, then one a second', async () => {
    const { next } = await view();
    const history = await next();
    assert.equal(history.name, 'history');
    assert.deepEqual((JSON.parse(history.data) as History).series.opened, [1.123]);
    assert.equal((JSON.parse((await next()).data) as Snapshot).point.sse, 1.123);
    mock.timers.tick(1000);
    const { name, data } = await next();
    assert.deepEqual([name, (JSON.parse(data) as Snapshot).point.sse], ['snapshot', 2.123]);
  });

  test('however many look, there is one look a second; while nobody does, one in ten', async () => {
    mock.timers.tick(40_000);
    assert.equal(sampler.looks, 1 + 4);
    const seen = await Promise.all([view(), view(), view()]);
    for (const { next } of seen) {
      const history = JSON.parse((await next()).data) as History;
      assert.equal(history.timesMs.length, 5, 'the history of the time before them');
      await next();
    }
    mock.timers.tick(3000);
    for (const { next } of seen) {
      const figures = [await next(), await next(), await next()].map(
        ({ data }) => (JSON.parse(data) as Snapshot).point.poll,
      );
      assert.deepEqual(figures, [6.123, 7.123, 8.123]);
    }
    assert.equal(sampler.looks, 8);
  });

  test('there is an end to how many may look, and who leaves makes room', async () => {
    const all = [];
    for (let i = 0; i < VIEWERS_MAX; i++) all.push(await view());
    assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([200]));
    assert.equal((await view()).status, 503);
    all[0].end();
    while (viewers.size === VIEWERS_MAX) await new Promise(setImmediate);
    assert.equal((await view()).status, 200);
  });

  test('a viewer who reads nothing is ended, and the others see on', async () => {
    let destroyed = false;
    let unread = 0;
    let closed = () => {};
    const stuck: Output = {
      on: ((name: string, call: () => void) => {
        if (name === 'close') closed = call;
      }) as never,
      writeHead: (() => {}) as never,
      end: (() => {}) as never,
      write: ((text: string) => void (unread += text.length)) as never,
      destroy: (() => {
        destroyed = true;
        closed();
      }) as never,
      get writableLength() {
        return unread;
      },
    };
    assert.ok(viewers.add(stuck));
    const { next } = await view();
    await next();
    await next();
    unread = VIEWER_BYTES_MAX + 1;
    mock.timers.tick(1000);
    assert.ok(destroyed);
    assert.equal(viewers.size, 1);
    assert.equal((await next()).name, 'snapshot');
  });
});
