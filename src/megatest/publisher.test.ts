import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './ledger.js';
import { decodeMarker } from './marker.js';
import { Publisher, type PublisherOptions } from './publisher.js';
import type { Message, Route } from './routes.js';

class FakeRoute implements Route {
  readonly batchMax = 10;
  readonly taken: Message[] = [];
  private readonly onTaken: (message: Message) => void;

  constructor(onTaken: (message: Message) => void = () => undefined) {
    this.onTaken = onTaken;
  }

  async publish(messages: Message[]): Promise<void> {
    this.taken.push(...messages);
    for (const message of messages) this.onTaken(message);
  }

  close(): void {}
}

function optionsFor(route: Route, changes: Partial<PublisherOptions> = {}): PublisherOptions {
  const recipient = (sequence: number) => `a${sequence}`;
  const numbers = { rate: Number.POSITIVE_INFINITY, count: 100, messageBytes: 100, firstSequence: 0 };
  return { run: '0123abcd', routes: [route], ...numbers, recipient, ...changes };
}

const SIGNAL = new AbortController().signal;

test('without a rate all messages go at once, numbered from where they should be', async () => {
  const route = new FakeRoute();
  const ledger = new Ledger(100, 500);
  await new Publisher(optionsFor(route, { firstSequence: 500, sentUs: 42 }), ledger).run(SIGNAL);
  assert.equal(ledger.sent, 100);
  assert.deepEqual([route.taken[0].id, route.taken[99].id], ['a500', 'a599']);
  assert.equal(decodeMarker(route.taken[99].text, 100)?.sentUs, 42);
});

test('no more messages are under way than may be missing', async () => {
  const ledger = new Ledger(100);
  let mostMissing = 0;
  const route = new FakeRoute(({ sequence }) => {
    mostMissing = Math.max(mostMissing, sequence + 1 - ledger.received);
    setTimeout(() => ledger.markReceived(sequence), 5);
  });
  await new Publisher(optionsFor(route, { missingMax: 20 }), ledger).run(SIGNAL);
  assert.equal(route.taken.length, 100);
  // The limit is looked at before each batch of 10.
  assert.ok(mostMissing > 10 && mostMissing < 30, `${mostMissing} were missing`);
});

test('the rate is kept', async () => {
  const route = new FakeRoute();
  const seconds = await new Publisher(optionsFor(route, { rate: 200, count: 41 }), new Ledger(41)).run(SIGNAL);
  assert.equal(route.taken.length, 41);
  assert.ok(seconds >= 0.19, `41 messages at 200 a second took ${seconds} s`);
});
