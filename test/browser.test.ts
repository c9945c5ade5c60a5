/**
 * Clients that people use: npm's `eventsource` and `ws`, and a browser on a page of another origin. Chromium is run without
 * a driver: the page reports what it hears by fetch. Where there is none, its tests are left out.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { isAlive, startServer, type TestServer, waitFor } from './helpers.js';

const killWorkers = async (server: TestServer) => {
  const pids = await server.workerPids();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  // One that dies a moment later could accept a client that has come back by then.
  await waitFor('their end', () => !pids.some(isAlive));
};

describe('npm clients', () => {
  test('eventsource: connects, comes back to another worker with Last-Event-ID, and has everything once', async () => {
    const server = await startServer();
    const asked: (string | undefined)[] = [];
    const source = new EventSource(`http://127.0.0.1:${server.ports.client}/v1/sse?channel=c`, {
      fetch: (url, init) => {
        asked.push(init.headers['Last-Event-ID']);
        return fetch(url, init);
      },
    });
    try {
      const heard: unknown[] = [];
      const gaps: unknown[] = [];
      source.addEventListener('message', ({ data }) => heard.push(JSON.parse(data).data));
      source.addEventListener('gap', (event) => gaps.push(event));
      await once(source as never, 'subscribed');
      await server.publish('c', 1);
      await waitFor('the first', () => heard.length === 1);
      await killWorkers(server);
      await waitFor('the cut', () => source.readyState === EventSource.CONNECTING);
      const { cursor } = await server.publish('c', 2);
      await waitFor('the second', () => heard.length === 2, 15_000);
      await server.publish('c', 3);
      await waitFor('the third', () => heard.length === 3);
      assert.deepEqual(heard, [1, 2, 3]);
      assert.deepEqual(gaps, []);
      const [epoch, sequence] = cursor.split('-');
      assert.equal(asked[0], undefined);
      assert.equal(asked.at(-1), `${epoch}-${Number(sequence) - 1}`);
    } finally {
      source.close();
      await server.stop();
    }
  });

  test('ws: connects, with compression too, publishes, resumes after a cut and is told that the server ends', async () => {
    const server = await startServer(['--client-publish', '*']);
    const open = async (query: string) => {
      const socket = new WebSocket(`ws://127.0.0.1:${server.ports.client}/v1/ws?${query}`);
      const heard: { type: string; cursor?: string; data?: unknown; ref?: number }[] = [];
      socket.on('message', (text) => heard.push(JSON.parse(String(text))));
      const closed = once(socket, 'close') as Promise<[number, Buffer]>;
      await once(socket, 'open');
      await waitFor('subscribed', () => heard.some(({ type }) => type === 'subscribed'));
      return { socket, heard, closed };
    };
    try {
      const first = await open('channel=c');
      assert.equal(first.socket.extensions, 'permessage-deflate');
      const large = { text: 'large '.repeat(1000) };
      first.socket.send(JSON.stringify({ type: 'publish', channel: 'c', data: large, ref: 1 }));
      await waitFor('both', () => first.heard.length === 3);
      assert.deepEqual(first.heard.find(({ type }) => type === 'message')?.data, large);
      const { cursor } = first.heard.find(({ ref }) => ref === 1)!;
      await killWorkers(server);
      assert.equal((await first.closed)[0], 1006);
      await server.publish('c', 'missed');
      const second = await open(`channel=c&after=${cursor}`);
      assert.deepEqual(
        second.heard.map(({ type, data }) => [type, data]),
        [
          ['message', 'missed'],
          ['subscribed', undefined],
        ],
      );
      await server.stop();
      assert.equal((await second.closed)[0], 1001);
    } finally {
      await server.stop();
    }
  });
});

// ── A browser ────────────────────────────────────────────────────────────────────────────────────────────────────────

const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

/** What the page says. */
interface Said {
  what: string;
  value?: unknown;
}

/** The page's script: everything that it hears it says to the server that it came from. */
const SCRIPT = `
const say = (what, value) => fetch('/said', { method: 'POST', body: JSON.stringify({ what, value }) });
const at = (path) => 'http://' + location.hash.slice(1) + path;
addEventListener('error', ({ message }) => say('error', message));
addEventListener('unhandledrejection', ({ reason }) => say('error', String(reason)));
const source = new EventSource(at('/v1/sse?channel=c'));
source.onopen = () => say('sse open');
source.onmessage = ({ data }) => say('sse', JSON.parse(data).data);
source.addEventListener('gap', ({ data }) => say('sse gap', data));
const socket = new WebSocket(at('/v1/ws?channel=c').replace('http', 'ws'));
socket.onmessage = ({ data }) => say('ws', JSON.parse(data));
socket.onclose = ({ code }) => say('ws close', code);
const poll = async () => {
  const start = await fetch(at('/v1/poll?channel=c&timeout=0'));
  const { cursor } = await start.json();
  say('poll', { cursor, etag: start.headers.get('ETag') });
  const answer = await fetch(at('/v1/poll?channel=c&after=' + cursor));
  say('poll answer', (await answer.json()).messages.map(({ data }) => data));
};
const stream = async () => {
  const response = await fetch(at('/v1/stream?channel=c'));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ''; ; ) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (text += value).split('\\n');
    text = lines.pop();
    for (const line of lines) say('stream', JSON.parse(line));
  }
};
const publish = async () => {
  const body = JSON.stringify({ channel: 'from-page', data: 'ü' });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(at('/v1/publish'), { method: 'POST', headers, body });
  say('published', { status: answer.status, ...(await answer.json()) });
};
poll();
stream().catch(() => {});
publish();
`;

/** Serves the page, on another port and so of another origin, and collects what it says. */
async function servePage(): Promise<{ server: Server; port: number; said: Said[] }> {
  const said: Said[] = [];
  const server = createServer(async (request, response) => {
    if (request.url === '/said') {
      let body = '';
      for await (const chunk of request) body += chunk;
      said.push(JSON.parse(body) as Said);
      response.end();
    } else {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(request.url === '/' ? `<!doctype html><title>test</title><script>${SCRIPT}</script>` : '');
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, said };
}

function runBrowser(profile: string, url: string): ChildProcess {
  const quiet = ['--disable-quic', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
  const local = ['--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];
  const headless = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-sync'];
  // A port for a debugger that nobody uses keeps it running; otherwise headless Chromium ends with the page loaded.
  const args = [...headless, ...quiet, ...local, `--user-data-dir=${profile}`, '--remote-debugging-port=0', url];
  // It is killed, and leaves what it has in the directory of temporary files.
  return spawn(CHROMIUM!, args, { stdio: 'ignore', detached: true, env: { ...process.env, TMPDIR: profile } });
}

describe('a browser', {
  skip: CHROMIUM === undefined && 'there is no Chromium here (Debian: apt-get install chromium)',
}, () => {
  test('on a page of another origin uses every transport, and its EventSource resumes', async () => {
    const server = await startServer(['--client-publish', 'from-page']);
    const page = await servePage();
    const profile = await mkdtemp(join(tmpdir(), 'megacomet-browser-'));
    const { said } = page;
    const values = (what: string) => said.filter((one) => one.what === what).map(({ value }) => value);
    const browser = runBrowser(profile, `http://127.0.0.1:${page.port}/#127.0.0.1:${server.ports.client}`);
    const ended = once(browser, 'exit');
    const hears = (what: string, condition: () => boolean) =>
      waitFor(what, condition, 25_000).catch((error: Error) => {
        throw new Error(`${error.message}; the page said ${JSON.stringify(said)}`);
      });
    try {
      await hears('all to be open', () => {
        const isLive = (what: string) =>
          values(what).some((value) => (value as Said & { type: string }).type === 'subscribed');
        return values('sse open').length === 1 && isLive('ws') && isLive('stream') && values('poll').length === 1;
      });
      await hears('a publication by the page', () => values('published').length === 1);
      assert.equal((values('published')[0] as { status: number }).status, 200);
      const [{ cursor, etag }] = values('poll') as [{ cursor: string; etag: string }];
      assert.equal(etag, `"${cursor}"`, 'the page may read the ETag');

      await server.publish('c', 'grüße');
      const heard = (what: string) =>
        (values(what) as { type: string; data: unknown }[]).flatMap(({ type, data }) =>
          type === 'message' ? [data] : [],
        );
      await hears('the first', () => {
        return values('sse').length + heard('ws').length + heard('stream').length + values('poll answer').length === 4;
      });
      assert.deepEqual(
        [values('sse'), heard('ws'), heard('stream'), values('poll answer')],
        [['grüße'], ['grüße'], ['grüße'], [['grüße']]],
      );

      await killWorkers(server);
      await hears('the WebSocket to end', () => values('ws close').length === 1);
      await server.publish('c', 'missed');
      await hears('what was missed', () => values('sse').length === 2);
      assert.deepEqual(values('sse'), ['grüße', 'missed']);
      assert.deepEqual(values('sse gap'), []);
      assert.deepEqual(values('ws close'), [1006]);
      assert.deepEqual(values('error'), []);
    } finally {
      // Chromium is a group of processes.
      process.kill(-browser.pid!, 'SIGKILL');
      await ended;
      page.server.closeAllConnections();
      page.server.close();
      await server.stop();
      await rm(profile, { recursive: true, force: true, maxRetries: 10 });
    }
  });
});
