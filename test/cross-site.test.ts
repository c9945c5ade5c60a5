/**
 * Pages of other sites in Chromium, against a server with a list of origins: whatever a browser lets them send, they hear nothing and
 * publish nothing, while a page of the list does both. docs/security.md says what the list is for, and what not.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchChromium, noChromium } from './chromium.js';
import { startServer, type TestServer } from './helpers.js';

/** What a page tries, and what came of each: the data that it got, or null. */
type Findings = Record<'fetch' | 'events' | 'socket' | 'script' | 'frame' | 'published' | 'simple', unknown>;

/** What the pages have. */
const SCRIPT = `
  const body = JSON.stringify({ channel: 'chat', data: 'from a page' });
  const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body };

  /** What an attempt comes to; null where it is refused, or nothing comes of it. */
  function within(attempt) {
    const late = new Promise((resolve) => setTimeout(() => resolve(null), 3000));
    return Promise.race([attempt.catch(() => null), late]);
  }

  async function fetched(url, init) {
    const response = await fetch(url, init);
    return response.type === 'opaque' ? null : response.text();
  }

  function heard(source) {
    return new Promise((resolve, reject) => {
      source.onmessage = ({ data }) => resolve(data);
      source.onerror = reject;
    });
  }

  function loaded(element, url, root) {
    return new Promise((resolve, reject) => {
      element.onload = resolve;
      element.onerror = reject;
      element.src = url;
      root.append(element);
    });
  }

  /** Every way in which a page can reach a server of another origin. */
  async function attempts(base, query) {
    const script = new Promise((resolve) => { window.stolen = resolve; });
    const frame = document.createElement('iframe');
    return {
      fetch: await within(fetched(base + '/v1/poll?timeout=1&' + query)),
      events: await within(heard(new EventSource(base + '/v1/sse?' + query))),
      socket: await within(heard(new WebSocket(base.replace('http', 'ws') + '/v1/ws?' + query))),
      script: await within(
        loaded(document.createElement('script'), base + '/alice.js?callback=stolen', document.head).then(() => script),
      ),
      frame: await within(
        loaded(frame, base + '/v1/poll?timeout=1&' + query, document.body).then(() => frame.contentDocument?.body.textContent ?? null),
      ),
      published: await within(fetched(base + '/v1/publish', json)),
      // No preflight: the browser sends it, whatever the server would have said.
      simple: await within(fetched(base + '/v1/publish', { method: 'POST', mode: 'no-cors', body })),
    };
  }

  async function apiAttempts(api) {
    const url = api + '/v1/publish';
    const plain = { method: 'POST', headers: { 'content-type': 'text/plain' }, body };
    const sent = (init) => fetch(url, init).then(({ type }) => type, () => 'refused');
    return [await sent(json), await sent(plain), await sent({ method: 'POST', mode: 'no-cors', body })];
  }
`;

describe('pages of other sites', { skip: noChromium }, () => {
  let pages: Server;
  let server: TestServer;
  let browser: Browser;
  let pagePort: number;

  before(async () => {
    pages = createServer((_request, response) => {
      response
        .setHeader('content-type', 'text/html')
        .end(`<!doctype html><title>page</title><script>${SCRIPT}</script>`);
    }).listen(0, '127.0.0.1');
    await once(pages, 'listening');
    pagePort = (pages.address() as AddressInfo).port;
    server = await startServer(['--origin', `http://127.0.0.1:${pagePort}`, '--client-publish', 'chat']);
    browser = await launchChromium();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    pages?.close();
    pages?.closeAllConnections();
  });

  async function open(host: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(`http://${host}:${pagePort}/`);
    return page;
  }

  /** Tries every way in which a page can reach a server of another origin. */
  async function attempts(page: Page): Promise<Findings> {
    const { cursor } = await server.publish('news', 'secret');
    await server.publish('alice', 'secret');
    const [epoch, sequence] = cursor.split('-');
    const query = `channel=news&after=${epoch}-${Number(sequence) - 1}`;
    return page.evaluate<Findings>(`attempts('http://127.0.0.1:${server.ports.client}', '${query}')`);
  }

  const publications = async () =>
    ((await server.status()) as { publisher: { published: number } }).publisher.published;

  test('hear nothing and publish nothing', async () => {
    const page = await open('localhost');
    const before = await publications();
    const nothing = {
      fetch: null,
      events: null,
      socket: null,
      script: null,
      frame: null,
      published: null,
      simple: null,
    };
    assert.deepEqual(await attempts(page), nothing);
    assert.equal(await publications(), before + 2, 'those of the test itself');
    await page.close();
  });

  test('cannot use the API either, which asks no key on loopback', async () => {
    const page = await open('localhost');
    const before = await publications();
    const outcome = await page.evaluate(`apiAttempts('${server.api}')`);
    assert.deepEqual(outcome, ['refused', 'refused', 'opaque']);
    assert.equal(await publications(), before);
    await page.close();
  });

  test('are told from a page of the list, which hears and publishes', async () => {
    const page = await open('127.0.0.1');
    const { fetch, events, socket, script, published } = await attempts(page);
    for (const heard of [fetch, events, socket]) assert.match(String(heard), /secret/);
    assert.match(String(published), /"cursor":/);
    assert.equal(script, null, 'a script names no origin: JSONP is for pages of the server itself');
    await page.close();
  });
});
