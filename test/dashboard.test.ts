/**
 * The dashboard in Chromium, on a real server: its figures follow the clients, what is published by its form is seen by its tail,
 * strangers' names stay text, it wants a key where the API has keys, and it can be used with a keyboard, on a narrow screen,
 * light and dark. Where there is no Chromium these tests are left out.
 *
 * With MEGACOMET_SCREENSHOTS=<directory> pictures of what was tested are put there.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';
import { freePort } from '../src/testing/free-port.js';
import { poll, rawClient, runCommand, startServer, type TestServer, waitFor } from './helpers.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => spawnSync(path, ['--version']).status === 0,
);
const SCREENSHOTS = process.env['MEGACOMET_SCREENSHOTS'];

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

/** What a name may be at its worst. */
const HOSTILE = '<img src=x onerror="window.hacked=1">"\'&<script>window.hacked=2</script>{{7*7}}';

/** What is looked at inside the page, where there is a document. */
const IN_PAGE = `
inPage = {
  /** The sum of a column of the table of processes. */
  column(name) {
    const table = document.getElementById('processes');
    const at = [...table.tHead.rows[0].cells].findIndex(({ textContent }) => textContent === name);
    return [...table.tBodies[0].rows].reduce((sum, row) => sum + (Number(row.cells[at].textContent) || 0), 0);
  },

  /** What has the focus, and whether that is seen. */
  focused() {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element.closest('.segments label') ?? element);
    const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
    return { is: element.id || element.textContent || element.tagName, ring, top: element === document.body };
  },

  /** How many points the history of a new stream has. */
  async pointsOfHistory() {
    const reader = (await fetch('/v1/events')).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('\\n\\n')) text += (await reader.read()).value;
    await reader.cancel();
    return JSON.parse(/data: (.*)/.exec(text)[1]).timesMs.length;
  },

  /** Fields and buttons that nobody could name who does not see them. */
  unnamed() {
    const named = (element) =>
      element.labels?.length > 0 || element.ariaLabel || (element.tagName === 'BUTTON' && element.textContent.trim() !== '');
    return [...document.querySelectorAll('input, textarea, button')].filter((element) => !named(element)).map(({ id }) => id);
  },

  /** Texts whose contrast with what is behind them is below so much (WCAG 2.2, 1.4.3), with that contrast. */
  contrastBelow(least) {
    const rgba = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = (color) => {
      const [r, g, b] = color.slice(0, 3).map((value) => {
        const share = value / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at !== null; at = at.parentElement) {
        const color = rgba(getComputedStyle(at).backgroundColor);
        if (color[3] === undefined || color[3] === 1) return color;
      }
      return [255, 255, 255];
    };
    const faint = [];
    for (const element of document.querySelectorAll('body *')) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
      if (!own || !element.checkVisibility() || element.matches(':disabled')) continue;
      const [a, b] = [rgba(getComputedStyle(element).color), behind(element)].map(luminance);
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < least) faint.push(element.tagName + ' ' + element.textContent.slice(0, 30) + ': ' + contrast.toFixed(2));
    }
    return faint;
  },
};
`;

interface View {
  page: Page;
  /** Addresses that the page asked for. */
  asked: string[];
  /** Errors that it had, and what its policy forbade. */
  errors: string[];
  close(): Promise<void>;
}

describe('the dashboard', {
  skip: CHROMIUM === undefined && 'there is no Chromium here (Debian: apt-get install chromium)',
  timeout: 120_000,
}, () => {
  let browser: Browser;
  let server: TestServer;
  /** Clients that are to be gone in the end. */
  const clients: { socket: { destroy(): void } }[] = [];

  before(async () => {
    const args = ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--no-proxy-server'];
    browser = await chromium.launch({ executablePath: CHROMIUM!, args });
    server = await startServer(['--log', 'memory']);
  });
  after(async () => {
    for (const { socket } of clients) socket.destroy();
    await browser?.close();
    await server?.stop();
  });

  async function open(url = server.api, options: BrowserContextOptions = {}): Promise<View> {
    const context = await browser.newContext({ viewport: WIDE, colorScheme: 'light', ...options });
    const page = await context.newPage();
    await page.addInitScript({ content: IN_PAGE });
    page.setDefaultTimeout(10_000);
    const asked: string[] = [];
    const errors: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    page.on('dialog', (dialog) => {
      errors.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(url);
    return { page, asked, errors, close: () => context.close() };
  }

  const live = (page: Page) => page.locator('#state[data-state=live]').waitFor();

  /** The figure of a tile, as a number. */
  async function tile(page: Page, name: string): Promise<number> {
    const dt = page.locator('#tiles dt', { hasText: new RegExp(`^${name}$`) });
    const text = await dt.locator('xpath=following-sibling::dd[1]').textContent();
    return Number.parseFloat(text!.replaceAll(',', ''));
  }

  /** The sum of a column of the table of processes. */
  function column(page: Page, name: string): Promise<number> {
    return page.evaluate<number>(`inPage.column(${JSON.stringify(name)})`);
  }

  async function hold(path: string, fields = ''): Promise<void> {
    const client = await rawClient(server.ports.client, `GET ${path} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
    clients.push(client);
  }

  async function screenshot({ page }: View, name: string): Promise<void> {
    if (SCREENSHOTS === undefined) return;
    await mkdir(SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  test('follows the clients: how many, by which transport, on which worker, and what they are sent', async () => {
    const view = await open();
    const { page, asked, errors } = view;
    await live(page);
    await waitFor('both workers', async () => (await page.locator('#processes tbody tr').count()) === 3);
    assert.equal(await tile(page, 'Connections'), 0);
    const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n';
    await hold('/v1/ws?channel=news', `${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`);
    for (let i = 0; i < 3; i++) await hold('/v1/sse?channel=news');
    await hold('/v1/poll?channel=quiet&timeout=300');
    clients.push(await poll(server.ports.client, 'classic-client'));
    await waitFor('six connections', async () => (await tile(page, 'Connections')) === 6);
    for (const [name, count] of Object.entries({ WebSocket: 1, SSE: 3, Poll: 1, Classic: 1, Connections: 6 })) {
      await waitFor(`${count} of ${name}`, async () => (await column(page, name)) === count);
    }
    // Both are of the last second.
    await waitFor('a rate of messages and a delivery time', async () => {
      for (let i = 0; i < 5; i++) await server.publish('news', { i });
      return (await tile(page, 'Messages')) > 0 && !Number.isNaN(await tile(page, 'Delivery'));
    });
    assert.equal(await page.locator('#charts canvas').count(), 6);
    const values = page.locator('#charts figure:first-child .legend b');
    assert.deepEqual(await values.allInnerTexts(), ['1', '3', '0', '1', '1', '0']);
    await screenshot(view, 'wide-light');
    assert.deepEqual(errors, []);
    assert.ok(asked.length >= 4);
    for (const url of asked) assert.equal(new URL(url).origin, server.api, 'nothing is loaded from elsewhere');
    await view.close();
  });

  test('a viewer who comes later sees the minutes before', async () => {
    const view = await open();
    await live(view.page);
    const points = await view.page.evaluate<number>('inPage.pointsOfHistory()');
    assert.ok(points > 2, `${points} points`);
    await view.close();
  });

  test('publishes, and the tail shows it: text, JSON, and a name and data that try to be markup', async () => {
    const view = await open();
    const { page, errors } = view;
    await live(page);
    await page.getByLabel('Channel', { exact: true }).first().fill(HOSTILE);
    await page.locator('#tail-channel').fill(HOSTILE);
    await page.getByRole('button', { name: 'Follow', exact: true }).click();
    await page.getByText(/^Following /).waitFor();
    await page.locator('#publish-channel').fill(HOSTILE);
    await page.locator('#publish-data').fill(HOSTILE);
    const publish = page.getByRole('button', { name: 'Publish', exact: true });
    await publish.click();
    await page.getByText(/^Kept as /).waitFor();
    const messages = page.locator('#tail pre');
    await waitFor('the text', async () => (await messages.count()) === 1);
    assert.deepEqual(await messages.allInnerTexts(), [HOSTILE]);

    await page.getByText('JSON', { exact: true }).click();
    await publish.click();
    await page.getByText(/^This is not JSON/).waitFor();
    await page.locator('#publish-data').fill('{ "score": [3, 2] }');
    await publish.click();
    await waitFor('the JSON', async () => (await messages.count()) === 2);
    assert.equal(await messages.first().textContent(), '{"score":[3,2]}', 'the newest is first');
    assert.match((await page.locator('#tail li').first().textContent())!, /json.*15 B/s);

    await page.getByRole('button', { name: 'Stop' }).click();
    await publish.click();
    await page.getByText(/^Stopped following/).waitFor();
    assert.equal(await messages.count(), 2);
    await screenshot(view, 'tail');
    assert.equal(await page.evaluate('window.hacked'), undefined);
    assert.equal(await page.locator('img:not(header img), script:not([src])').count(), 0);
    assert.deepEqual(errors, []);
    await view.close();
  });

  test('finds channels by how their names begin, page by page, and follows the one that is chosen', async () => {
    const view = await open();
    const { page, errors } = view;
    await live(page);
    for (let i = 0; i < 60; i++) await hold(`/v1/sse?channel=room/${String(i).padStart(2, '0')}&channel=lobby`);
    await hold(`/v1/sse?channel=${encodeURIComponent(HOSTILE)}`);
    const search = async (beginning: string, note: RegExp) => {
      await page.getByRole('searchbox').fill(beginning);
      await page.getByRole('button', { name: 'Search' }).click();
      await page.locator('#channels-note', { hasText: note }).waitFor();
    };
    const rows = page.locator('#channels tbody tr');
    await waitFor('the lobby to be full', async () => {
      await search('lobby', /1 in all/);
      return (await rows.allTextContents())[0] === 'lobby600';
    });
    await search('room/', /The first 50/);
    assert.equal(await rows.count(), 50);
    await page.getByRole('button', { name: 'More' }).click();
    await page.locator('#channels-note', { hasText: '60 in all' }).waitFor();
    assert.equal(await rows.count(), 60);
    assert.equal(await page.getByRole('button', { name: 'More' }).isVisible(), false);
    await search('nobody/here', /Nobody is on such a channel/);
    await search(HOSTILE.slice(0, 10), /1 in all/);
    await screenshot(view, 'search');
    await page.locator('#channels').getByRole('button').click();
    await page.locator('#tail-note', { hasText: 'Following <img' }).waitFor();
    await server.publish(HOSTILE, 'chosen');
    await page.locator('#tail pre', { hasText: 'chosen' }).waitFor();
    assert.deepEqual(errors, []);
    await view.close();
  });

  test('what the server refuses is said where it was asked', async () => {
    const view = await open();
    const { page } = view;
    await live(page);
    await page.locator('#publish-channel').fill('x'.repeat(200));
    await page.locator('#publish-data').fill('data');
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.locator('#publish-note.problem', { hasText: '128 bytes' }).waitFor();
    assert.equal(await page.locator('#board').isVisible(), true);
    await view.close();
  });

  for (const scheme of ['light', 'dark'] as const) {
    for (const viewport of [WIDE, NARROW]) {
      test(`fits ${viewport.width} px in ${scheme}, and can be read`, async () => {
        const view = await open(server.api, { viewport, colorScheme: scheme });
        const { page, errors } = view;
        await live(page);
        await page.locator('#publish-channel').fill('news');
        await page.locator('#tail-channel').fill('n'.repeat(128));
        await page.getByRole('button', { name: 'Follow', exact: true }).click();
        await page.getByText(/^Following /).waitFor();
        await server.publish('n'.repeat(128), { long: 'w'.repeat(3000) });
        await page.locator('#tail pre').waitFor();
        await screenshot(view, `${scheme}-${viewport.width}`);
        const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - window.innerWidth');
        assert.ok(overflow <= 0, `${overflow} px too wide`);
        const tooFaint = await page.evaluate('inPage.contrastBelow(4.5)');
        assert.deepEqual(tooFaint, []);
        assert.deepEqual(await page.evaluate('inPage.unnamed()'), []);
        const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
        assert.equal(Number(/\d+/.exec(ground)![0]) < 128, scheme === 'dark', ground);
        assert.deepEqual(errors, []);
        await view.close();
      });
    }
  }

  test('colours of the charts follow the scheme while the page is open', async () => {
    const view = await open();
    const { page } = view;
    await live(page);
    await page.emulateMedia({ colorScheme: 'dark' });
    await waitFor('the plots made anew', async () => (await page.locator('#charts canvas').count()) === 6);
    await page.emulateMedia({ colorScheme: 'light' });
    assert.deepEqual(view.errors, []);
    await view.close();
  });

  test('with a keyboard alone: everything is reached in order, seen to have the focus, left again, and works', async () => {
    const view = await open();
    const { page, errors } = view;
    await live(page);
    const focused = () => page.evaluate<{ is: string; ring: boolean; top: boolean }>('inPage.focused()');
    const order: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const { is, ring, top } = await focused();
      if (top) break;
      assert.ok(ring, `${is} shows that it has the focus`);
      order.push(is);
    }
    assert.ok(order.length < 40, 'there is a way out');
    const expected = [
      'Skip to the figures',
      '1 min',
      'channels-beginning',
      'publish-channel',
      'publish-data',
      'tail-channel',
    ];
    assert.deepEqual(
      order.filter((name) => expected.includes(name)),
      expected,
    );

    const typeInto = async (target: Locator, text: string) => {
      await target.focus();
      await page.keyboard.type(text);
    };
    await typeInto(page.locator('#tail-channel'), 'keys');
    await page.keyboard.press('Enter');
    await page.getByText(/^Following keys/).waitFor();
    await typeInto(page.locator('#publish-channel'), 'keys');
    await page.keyboard.press('Tab');
    await page.keyboard.type('typed');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('#tail pre', { hasText: 'typed' }).waitFor();
    await page.locator('#tail-stop').focus();
    await page.keyboard.press('Enter');
    assert.equal((await focused()).is, 'tail-channel', 'the focus is not lost with the button');
    assert.deepEqual(errors, []);
    await view.close();
  });

  test('a tab that nobody sees ends its stream after a while, and has the whole history when it is seen again', async () => {
    const view = await open();
    const { page } = view;
    await page.clock.install();
    await page.reload();
    await live(page);
    const setHidden = (hidden: boolean) =>
      page.evaluate(`
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} });
        document.dispatchEvent(new Event('visibilitychange'));
      `);
    await setHidden(true);
    await page.clock.runFor(31_000);
    await page.locator('#state', { hasText: 'paused' }).waitFor();
    await setHidden(false);
    await live(page);
    assert.deepEqual(view.errors, []);
    await view.close();
  });

  test('a server that goes away and returns is noticed, and is followed again', async () => {
    const args = ['--log', 'memory', '--api-port', String(await freePort())];
    const other = await startServer(args);
    const view = await open(other.api);
    const { page } = view;
    await live(page);
    await other.stop();
    await page.locator('#state[data-state=lost]').waitFor();
    const again = await startServer(args);
    try {
      await page.locator('#state[data-state=live]').waitFor({ timeout: 20_000 });
    } finally {
      await view.close();
      await again.stop();
    }
  });

  test('where the API has keys it asks for one, says when it is wrong or taken back, and keeps it in its tab', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'megacomet-keys-'));
    const file = join(directory, 'keys');
    const makeKey = async (name: string, rights: string): Promise<string> => {
      const made = await runCommand(['key', '--name', name, '--rights', rights, '--channels', '*', '--append', file]);
      assert.equal(made.exitCode, 0, made.stderr);
      return made.stdout.trim();
    };
    await writeFile(file, '', { mode: 0o600 });
    const admin = await makeKey('ops', 'admin');
    const monitor = await makeKey('graphs', 'monitor');
    const locked = await startServer(['--log', 'memory', '--api-keys', file]);
    const view = await open(locked.api);
    const { page, asked } = view;
    try {
      const input = page.getByLabel(/API key/);
      const show = page.getByRole('button', { name: 'Show the dashboard' });
      await input.waitFor();
      assert.equal(await page.locator('#board').isVisible(), false);
      assert.equal(await page.evaluate('document.activeElement.id === "key"'), true);
      await screenshot(view, 'sign-in');
      await input.fill('mk_wrong');
      await show.click();
      await page.locator('#key-problem', { hasText: 'not known' }).waitFor();
      await input.fill(monitor);
      await show.click();
      await page.locator('#key-problem', { hasText: "'admin'" }).waitFor();
      await input.fill(admin);
      await show.click();
      await live(page);
      await page.locator('#tail-channel').fill('news');
      await page.getByRole('button', { name: 'Follow', exact: true }).click();
      await page.getByText(/^Following /).waitFor();
      await page.locator('#publish-channel').fill('news');
      await page.getByRole('button', { name: 'Publish', exact: true }).click();
      await page.locator('#tail li').waitFor();
      await page.reload();
      await live(page);
      for (const url of asked) assert.ok(!url.includes('mk_'), 'the key is in no address');
      assert.doesNotMatch(locked.output(), new RegExp(`${admin}|mk_wrong`));
      assert.equal((await view.page.context().cookies()).length, 0);
      const known = await readFile(file, 'utf8');
      await writeFile(file, known.replace(/.*"ops".*\n/, ''));
      const reload = await runCommand(['reload', '--run-dir', locked.runDirectory]);
      assert.equal(reload.exitCode, 0, reload.stderr);
      await page.locator('#key-problem', { hasText: 'not known' }).waitFor();
      await writeFile(file, known);
      await runCommand(['reload', '--run-dir', locked.runDirectory]);
      await input.fill(admin);
      await show.click();
      await live(page);
      await page.getByRole('button', { name: 'Forget the key' }).click();
      await input.waitFor();
      assert.equal(await page.evaluate('sessionStorage.length'), 0);
    } finally {
      await view.close();
      await locked.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
