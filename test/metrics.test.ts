/** GET /metrics of a real server. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lint, parseExposition } from '../src/metrics/testing/exposition.js';
import { rawClient, runCommand, startServer, type TestServer, waitFor } from './helpers.js';

let server: TestServer;
before(async () => {
  server = await startServer(['--log', 'memory']);
});
after(() => server.stop());

async function series(): Promise<Map<string, number>> {
  const response = await fetch(`${server.api}/metrics`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  assert.deepEqual(lint(text), []);
  const sums = new Map<string, number>();
  for (const { series: all } of parseExposition(text)) {
    for (const { name, labels, value } of all) {
      const { worker: _, ...rest } = labels;
      const key = `${name}${JSON.stringify(rest)}`;
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
  }
  return sums;
}

test('a message is in the histograms of fan-out and delivery, and its receiver among the connections', async () => {
  const client = await rawClient(server.ports.client, 'GET /v1/sse?channel=a HTTP/1.1\r\nHost: test\r\n\r\n');
  await client.until('event: subscribed');
  assert.equal((await server.publish('a', 'x')).receivers, 1);
  await client.until('"x"');
  const scraped = await waitFor('the workers to report', async () => {
    const now = await series();
    return now.get('megacomet_delivery_seconds_count{}') === 1 ? now : null;
  });
  assert.equal(scraped.get('megacomet_connections{"transport":"sse"}'), 1);
  assert.equal(scraped.get('megacomet_messages_sent_total{}'), 1);
  assert.equal(scraped.get('megacomet_publications_total{}'), 1);
  assert.equal(scraped.get('megacomet_fan_out_seconds_count{}'), 1);
  assert.equal(scraped.get('megacomet_api_requests_total{"route":"/v1/publish","status":"200"}'), 1);
  assert.equal(scraped.get('megacomet_workers{}'), 2);
  assert.equal(scraped.get('megacomet_worker_linked{}'), 2);
  assert.ok(scraped.get('megacomet_delivery_seconds_bucket{"le":"5"}') === 1);
  client.socket.destroy();
});

test('what a worker counted stays when it is killed', async () => {
  const client = await rawClient(server.ports.client, 'GET /v1/sse?channel=b HTTP/1.1\r\nHost: test\r\n\r\n');
  await client.until('200 OK');
  await server.publish('b', 'x');
  const before = await waitFor('the report', async () => {
    const now = await series();
    return now.get('megacomet_delivery_seconds_count{}') === 2 ? now : null;
  });
  for (const pid of await server.workerPids()) process.kill(pid, 'SIGKILL');
  await waitFor('other workers', async () => {
    const now = await series();
    assert.equal(now.get('megacomet_delivery_seconds_count{}'), 2);
    return now.get('megacomet_workers_ended_total{}') === before.get('megacomet_workers_ended_total{}')! + 2
      ? now
      : null;
  });
  client.socket.destroy();
});

test('a scrape needs a key with the right to it, where the API has keys', async () => {
  const keys = `${server.runDirectory}-keys`;
  const make = async (rights: string) =>
    (
      await runCommand(['key', '--name', rights, '--rights', rights, '--channels', '*', '--append', keys])
    ).stdout.trim();
  const [monitor, publish] = [await make('monitor'), await make('publish')];
  const guarded = await startServer(['--log', 'memory', '--api-keys', keys]);
  try {
    const status = async (key?: string) => {
      const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
      return (await fetch(`${guarded.api}/metrics`, { headers })).status;
    };
    assert.deepEqual([await status(), await status(publish), await status(monitor)], [401, 403, 200]);
  } finally {
    await guarded.stop();
  }
});
