import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Api, createApi } from '../api/api.js';
import { ApiKeys } from '../api/keys.js';
import { createLogger } from '../manager/logger.js';
import { ASSET_PATHS } from './assets.js';
import type { Dashboard } from './dashboard.js';
import { dashboardRoutes } from './routes.js';

describe('addresses of the dashboard', () => {
  let api: Api;
  let origin = '';
  /** How many the dashboard lets in from now on. */
  let places = Number.POSITIVE_INFINITY;
  const opened: string[] = [];

  before(async () => {
    const add = (response: { writeHead(status: number): { end(text: string): void } }, channel = '') => {
      if (places-- <= 0) return false;
      opened.push(channel);
      response.writeHead(200).end('a stream');
      return true;
    };
    const dashboard = { viewers: { add }, tails: { add } } as never as Dashboard;
    const logger = createLogger(() => {});
    const publisher = { publish: async () => [] };
    const routes = [dashboardRoutes(dashboard)];
    const keys = new ApiKeys(null);
    api = createApi({ publisher, status: () => ({}), host: '127.0.0.1', keys, logger, routes } as never);
    origin = `http://127.0.0.1:${await api.listen('127.0.0.1', 0)}`;
  });
  after(() => api.close());

  const get = (path: string, headers: Record<string, string> = {}) => fetch(origin + path, { headers });
  const errorOf = async (response: Response) => ((await response.json()) as { error: { code: string } }).error.code;

  test('the page and its files come with a policy that lets nothing in, and are the same until they change', async () => {
    const types = [];
    for (const path of ASSET_PATHS) {
      const response = await get(path);
      assert.equal(response.status, 200, path);
      assert.ok((await response.text()).length > 100);
      types.push(response.headers.get('content-type')!.split(';')[0]);
      const policy = response.headers.get('content-security-policy')!;
      assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|http/);
      const etag = response.headers.get('etag')!;
      const again = await get(path, { 'if-none-match': etag });
      assert.deepEqual([again.status, await again.text()], [304, '']);
    }
    assert.deepEqual(types, ['text/html', 'text/javascript', 'text/css', 'image/svg+xml']);
  });

  test('the page loads nothing from elsewhere and has no script in it', async () => {
    const html = await (await get('/')).text();
    assert.doesNotMatch(html, /https?:|\/\/|style=|\son\w+=/);
    assert.deepEqual(html.match(/<script[^>]*>[^<]*<\/script>/g)?.length, 1);
    assert.match(html, /<script type="module" src="\/dashboard\/page\.js"><\/script>/);
    const script = await (await get('/dashboard/page.js')).text();
    assert.match(script.slice(-2000), /With uPlot:.*MIT License.*Copyright/s);
  });

  test('streams are opened, and refused politely where there are too many', async () => {
    assert.equal(await (await get('/v1/events')).text(), 'a stream');
    assert.equal(await (await get('/v1/tail?channel=n%C3%BC%2F1&after=start')).text(), 'a stream');
    assert.deepEqual(opened, ['', 'nü/1']);
    places = 0;
    for (const path of ['/v1/events', '/v1/tail?channel=news']) {
      const response = await get(path);
      assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '10']);
      assert.equal(await errorOf(response), 'too_many_viewers');
    }
    places = Number.POSITIVE_INFINITY;
  });

  test('a tail wants the name of a channel, and a cursor that is one', async () => {
    for (const query of ['', '?channel=', `?channel=${'x'.repeat(129)}`, '?channel=a&after=soon', '?channel=a&x=1']) {
      const response = await get(`/v1/tail${query}`);
      assert.deepEqual([response.status, await errorOf(response)], [400, 'invalid'], query);
    }
  });

  test('a page of another site is refused, as its browser says who it is', async () => {
    for (const [site, status] of [
      ['cross-site', 403],
      ['same-site', 403],
      ['same-origin', 200],
      ['none', 200],
    ] as const) {
      // fetch of Node sets no such field itself, and lets us.
      for (const path of ['/v1/events', '/v1/tail?channel=a']) {
        assert.equal((await get(path, { 'sec-fetch-site': site })).status, status, site);
      }
    }
  });

  test('HEAD is for what ends', async () => {
    assert.equal((await fetch(`${origin}/`, { method: 'HEAD' })).status, 200);
    assert.equal((await fetch(`${origin}/v1/events`, { method: 'HEAD' })).status, 405);
  });
});
