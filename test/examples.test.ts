/** Every example, started as its README says (but for the build) and used in Chromium. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { launchChromium, noChromium } from './chromium.js';
import { FaultyProxy } from './faulty-proxy.js';
import { temporaryRunDirectory, waitFor } from './helpers.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const names = readdirSync(`${root}/examples`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

interface Example {
  /** Of its page. */
  url: string;
  /** Port of its MegaComet. */
  push: number;
  stop(): Promise<void>;
}

async function startExample(name: string, env: NodeJS.ProcessEnv = {}): Promise<Example> {
  const child: ChildProcess = spawn(process.execPath, [`examples/${name}/server.mjs`], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const exited = once(child, 'exit');
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += chunk));
  const [, push, url] = await waitFor(`${name} to start`, () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${output}`);
    return /MegaComet serves at http:\/\/127\.0\.0\.1:(\d+)\nOpen (\S+)\n/.exec(output);
  });
  return {
    url: url!,
    push: Number(push),
    async stop() {
      child.kill('SIGINT');
      const [code] = await exited;
      assert.equal(code, 0, output);
    },
  };
}

describe('the examples', () => {
  test('are one command each, which README.md names', () => {
    const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { scripts: Record<string, string> };
    const readme = readFileSync(`${root}/examples/README.md`, 'utf8');
    assert.deepEqual(names, ['chat', 'notifications', 'progress', 'token-stream']);
    for (const name of names) {
      assert.equal(scripts[`example:${name}`], `npm run --silent build && node examples/${name}/server.mjs`);
      assert.ok(readme.includes(`npm run example:${name}`), name);
    }
  });

  test('start, serve a page, end at Ctrl-C, and leave no file behind', async () => {
    const temporary = await temporaryRunDirectory();
    mkdirSync(temporary.path);
    try {
      for (const name of names) {
        const example = await startExample(name, { TMPDIR: temporary.path });
        try {
          const page = await (await fetch(example.url)).text();
          assert.match(page, /<title>/);
          const [, module] = /from '(\S+megacomet\.js)'/.exec(page)!;
          assert.equal((await fetch(module!)).status, 200);
        } finally {
          await example.stop();
        }
        assert.deepEqual(readdirSync(temporary.path), [], name);
      }
    } finally {
      await temporary.remove();
    }
  });
});

const shows = (page: Page, selector: string, text: RegExp) =>
  page.locator(selector).filter({ hasText: text }).waitFor({ timeout: 20_000 });

describe('in Chromium', { skip: noChromium, timeout: 170_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser?.close());

  /** Opens a window of its own. What a page complains of fails the test. */
  async function open(url: string): Promise<{ page: Page; complaints: string[]; close(): Promise<void> }> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    return { page, complaints, close: () => context.close() };
  }

  test('chat: two windows through a proxy that cuts every few seconds lose nothing', async (t) => {
    const proxy = await FaultyProxy.start(0);
    const example = await startExample('chat', { PUSH_URL: proxy.url });
    proxy.target = example.push;
    const windows = await Promise.all(['ann', 'ben'].map((name) => open(`${example.url}?name=${name}`)));
    try {
      for (const { page } of windows) await shows(page, '#state', /^live/);
      proxy.cutEvery(2_000, Math.random);
      const count = 60;
      let cuts = 0;
      for (let i = 0; i < count; i++) {
        for (const { page } of windows) {
          await page.fill('[name=text]', `message ${i}`);
          await page.press('[name=text]', 'Enter');
          await page.waitForTimeout(100);
        }
        cuts = proxy.seen.filter(({ isUpgrade }) => isUpgrade).length;
      }
      proxy.stopCutting();
      t.diagnostic(`${cuts} WebSockets were opened`);
      assert.ok(cuts > 4, 'it did cut');
      const said = await Promise.all(
        windows.map(async ({ page }) => {
          await page
            .locator('li')
            .nth(2 * count - 1)
            .waitFor({ timeout: 40_000 });
          return page.locator('li').allTextContents();
        }),
      );
      const without = (lines: string[]) => lines.map((line) => line.replace(/^.* (?=(ann|ben): )/, ''));
      for (const name of ['ann', 'ben']) {
        assert.deepEqual(
          without(said[0]!).filter((line) => line.startsWith(name)),
          Array.from({ length: count }, (_, i) => `${name}: message ${i}`),
        );
      }
      assert.deepEqual(without(said[1]!), without(said[0]!));
      for (const { complaints } of windows) assert.deepEqual(complaints, []);
    } finally {
      await Promise.all(windows.map(({ close }) => close()));
      await example.stop();
      await proxy.stop();
    }
  });

  test('notifications: each gets their own, and what came while the page was closed', async () => {
    const example = await startExample('notifications');
    const alice = await open(`${example.url}?user=alice`);
    const bob = await open(`${example.url}?user=bob`);
    const notify = (user: string, text: string) =>
      fetch(`${example.url}notify`, { method: 'POST', body: JSON.stringify({ user, text }) });
    try {
      for (const { page } of [alice, bob]) await shows(page, '#state', /^live$/);
      await notify('alice', 'your order has left');
      await shows(alice.page, '#list', /^your order has left$/);
      await alice.page.goto('about:blank');
      await notify('alice', 'your order is there');
      await notify('bob', 'you are invited');
      await shows(bob.page, '#list', /^you are invited$/);
      await alice.page.goto(`${example.url}?user=alice`);
      await shows(alice.page, '#list', /^your order is there$/);
      assert.equal((await notify('*', 'to all')).status, 404);
      assert.equal((await fetch(`${example.url}token?user=*`)).status, 404);
      for (const { complaints } of [alice, bob]) assert.deepEqual(complaints, []);
    } finally {
      await alice.close();
      await bob.close();
      await example.stop();
    }
  });

  test('progress: goes on where it was after a reload', async () => {
    const example = await startExample('progress', { STEP_MS: '20' });
    const { page, complaints, close } = await open(example.url);
    try {
      await page.click('button');
      await page.waitForFunction("document.querySelector('progress').value > 10");
      await page.reload();
      await page.waitForFunction("document.querySelector('progress').value > 10");
      await shows(page, '#step', /^done$/);
      assert.deepEqual(complaints, []);
    } finally {
      await close();
      await example.stop();
    }
  });

  test('token-stream: the answer is whole, through cuts and a reload', async () => {
    const proxy = await FaultyProxy.start(0);
    const example = await startExample('token-stream', { TOKEN_MS: '20', PUSH_URL: proxy.url });
    proxy.target = example.push;
    const { page, complaints, close } = await open(example.url);
    try {
      await page.fill('[name=question]', 'And then?');
      await page.click('button');
      await shows(page, '#answer', /^.{40}/);
      proxy.cut();
      await shows(page, '#answer', /^.{80}/);
      await page.reload();
      proxy.cut();
      const answer = page.locator('#answer[data-state=whole]');
      await answer.waitFor();
      const whole = await answer.textContent();
      assert.match(whole!, /^You asked: “And then\?” I am only .* nothing is missing or said twice\.$/);
      assert.doesNotMatch(whole!, /…/);
      assert.deepEqual(complaints, []);
    } finally {
      await close();
      await example.stop();
      await proxy.stop();
    }
  });
});
