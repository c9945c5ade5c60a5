/** The client library in Chromium, imported from the server by a page of another origin, through a proxy that misbehaves. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { ConnectOptions, TransportName } from 'megacomet/client';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { Issuer } from '../src/tokens/testing/issuer.js';
import { launchChromium, noChromium } from './chromium.js';
import { FaultyProxy } from './faulty-proxy.js';
import { startServer, type TestServer, waitFor } from './helpers.js';

const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'poll'];

/** Keeps all that the client says where the test can see it. */
const PAGE = `<!doctype html><title>a page</title><script type="module">
  const [url, options] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const { connect } = await import(url + '/megacomet.js');
  const said = (window.said = []);
  const client = (window.client = connect(url, options));
  for (const type of ['message', 'gap', 'error', 'disconnect']) client.on(type, ({ data, code }) => said.push(data ?? code ?? type));
  addEventListener('pageshow', ({ persisted }) => (window.persisted = persisted));
</script>`;

describe('the library in Chromium', { skip: noChromium, timeout: 170_000 }, () => {
  const issuer = new Issuer('HS256');
  let directory: string;
  let browser: Browser;
  let pages: Server;
  let server: TestServer;
  let proxy: FaultyProxy;
  let context: BrowserContext;
  const complaints: string[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'megacomet-browser-'));
    await writeFile(join(directory, 'secret'), issuer.file, { mode: 0o600 });
    browser = await launchChromium();
    pages = createServer((_, response) => response.setHeader('content-type', 'text/html').end(PAGE)).listen(
      0,
      '127.0.0.1',
    );
    await once(pages, 'listening');
    const tokens = ['--token-secret-file', join(directory, 'secret'), '--anonymous', 'c', '--client-publish', 'c'];
    server = await startServer(tokens);
  });
  after(async () => {
    await browser?.close();
    pages?.closeAllConnections();
    pages?.close();
    await server?.stop();
    await rm(directory, { recursive: true });
  });
  beforeEach(async () => {
    proxy = await FaultyProxy.start(server.ports.client);
    context = await browser.newContext();
    complaints.length = 0;
  });
  afterEach(async () => {
    await context.close();
    await proxy.stop();
    assert.deepEqual(complaints, []);
  });

  const quick = { backoff: { firstMs: 50, maxMs: 500 }, openMs: 1_000 };

  const origin = () => `http://127.0.0.1:${(pages.address() as AddressInfo).port}/`;

  async function open(options: ConnectOptions): Promise<Page> {
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${origin()}#${encodeURIComponent(JSON.stringify([proxy.url, options]))}`);
    return page;
  }

  const said = (page: Page) => page.evaluate<unknown[]>('window.said ?? []');
  const state = (page: Page) => page.evaluate<string>('client.state + " " + client.transport');
  const isLive = (page: Page) =>
    waitFor('live', async () => (await page.evaluate('window.client?.state')) === 'live', 15_000);
  const hears = (page: Page, count: number) =>
    waitFor(`${count} events`, async () => (await said(page)).length >= count, 15_000);

  for (const transport of TRANSPORTS) {
    test(`by ${transport}: listens, publishes and resumes after every cut`, async () => {
      const page = await open({ ...quick, channels: ['c'], transports: [transport] });
      await isLive(page);
      for (let i = 0; i < 10; i++) {
        if (i % 3 === 2) proxy.cut(i % 2 === 0 ? 'end' : 'reset');
        if (i % 2 === 0) await server.publish('c', i);
        else await page.evaluate(`client.publish('c', ${i})`);
      }
      await hears(page, 10);
      const heard = (await said(page)).filter((each) => each !== 'unavailable');
      assert.deepEqual(
        heard,
        Array.from({ length: 10 }, (_, i) => i),
      );
    });

    test(`by ${transport}: shows its token in a way that browsers allow, and nothing shows it elsewhere`, async () => {
      const token = await issuer.token('alice', { subscribe: ['mine'], publish: ['mine'] });
      const page = await open({ ...quick, channels: ['mine'], transports: [transport], token });
      await isLive(page);
      await page.evaluate(`client.publish('mine', 'hello')`);
      await hears(page, 1);
      assert.deepEqual(await said(page), ['hello']);
      const shown = proxy.seen.filter(({ authorization, protocol }) =>
        [authorization, protocol].some((value) => value?.includes(token)),
      );
      assert.ok(shown.length > 0);
      assert.ok(!proxy.seen.some(({ query }) => query.includes(token)));
    });
  }

  test('goes on by what a changing network lets pass, and loses nothing', async () => {
    const page = await open({ ...quick, channels: ['c'] });
    const used: string[] = [];
    for (const [i, faults] of [
      {},
      { upgrades: 'refuse' as const },
      { buffersStreams: true },
      { upgrades: 'pass' as const, answer: { status: 502 } },
      { answer: null },
    ].entries()) {
      if (i > 0) {
        Object.assign(proxy.faults, faults);
        proxy.cut();
      }
      await isLive(page);
      await server.publish('c', i);
      await waitFor(`message ${i}`, async () => (await said(page)).includes(i), 15_000);
      used.push(await page.evaluate('client.transport'));
    }
    assert.deepEqual(new Set(used), new Set(TRANSPORTS));
    assert.deepEqual(
      (await said(page)).filter((each) => typeof each === 'number'),
      [0, 1, 2, 3, 4],
    );
    assert.ok(!(await said(page)).includes('gap'));
  });

  test('comes back at once when the browser is online again, however long it would have waited', async () => {
    const page = await open({ channels: ['c'], backoff: { firstMs: 3_000_000, maxMs: 3_000_000 } });
    await isLive(page);
    await context.setOffline(true);
    proxy.cut();
    await waitFor('the wait', async () => (await state(page)).startsWith('waiting'));
    await server.publish('c', 'missed');
    await context.setOffline(false);
    await hears(page, 1);
    assert.deepEqual(
      (await said(page)).filter((each) => each !== 'unavailable'),
      ['missed'],
    );
  });

  test('lets a page into the back/forward cache, and takes up there where it was', async () => {
    const page = await open({ channels: ['c'] });
    await isLive(page);
    await page.goto(`${origin()}other#${encodeURIComponent(JSON.stringify([proxy.url, { channels: [] }]))}`);
    await waitFor('the connection to go', () => proxy.connections === 0);
    await server.publish('c', 'while it was away');
    await page.goBack({ waitUntil: 'commit' });
    await hears(page, 1);
    assert.equal(await page.evaluate('window.persisted'), true, 'it came from the cache');
    assert.deepEqual(await said(page), ['while it was away']);
  });

  test('asks whether its connection lives when the page is shown again', async () => {
    const page = await open({ channels: ['c'] });
    await isLive(page);
    const frames: string[] = [];
    const again = await context.newPage();
    again.on('websocket', (socket) => socket.on('framesent', ({ payload }) => frames.push(String(payload))));
    await again.goto(page.url());
    await isLive(again);
    await again.evaluate(`document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))`);
    await waitFor('a ping', () => frames.includes('{"type":"ping"}'));
    await server.publish('c', 1);
    await hears(again, 1);
  });
});
