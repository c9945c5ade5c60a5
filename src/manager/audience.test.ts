import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Audience } from './audience.js';
import type { Answers } from './link-server.js';

/** Channels by name, with the connections that a worker has on each. */
type Worker = Record<string, number>;

/** Answers as the workers would, each with the first of its own. */
function audienceOf(workers: Worker[]): Audience {
  const askAll = async (op: string, question: { after: string; limit: number }): Promise<Answers<never>> => {
    const answers = workers.map((worker, i) => {
      const names = Object.keys(worker)
        .filter((name) => name > question.after)
        .sort();
      const page = names.slice(0, question.limit);
      const more = names.length > page.length;
      const channels = page.map((channel) => ({ channel, subscribers: worker[channel], waiting: 1 }));
      const clients = page.map((client) => ({ client, connections: worker[client] }));
      const answer = op === 'channels' ? { channels, more } : { clients, more, connections: names.length };
      return { worker: i, answer: answer as never };
    });
    return { answers, missing: [] };
  };
  return new Audience({ askAll: askAll as never });
}

test('page by page all channels and clients of all workers are met once, in order, with their sums', async () => {
  const name = fc.constantFrom('a', 'aa', 'b', 'c', 'ca', 'd', 'é', '😀', '\uffff');
  const worker = fc.dictionary(name, fc.integer({ min: 1, max: 5 }), { maxKeys: 8 });
  await fc.assert(
    fc.asyncProperty(fc.array(worker, { maxLength: 4 }), fc.integer({ min: 1, max: 4 }), async (workers, limit) => {
      const audience = audienceOf(workers);
      const names = [...new Set(workers.flatMap((each) => Object.keys(each)))].sort();
      const sum = (key: string) => workers.reduce((total, each) => total + (each[key] ?? 0), 0);
      const expected = names.map((key) => [key, sum(key)]);

      const channels: unknown[] = [];
      const clients: unknown[] = [];
      for (let after = ''; ; ) {
        const page = await audience.channels({ within: ['*'], pattern: '*', after, limit });
        assert.ok(page.channels.length <= limit);
        channels.push(...page.channels.map(({ channel, subscribers }) => [channel, subscribers]));
        const presence = await audience.presence({ channel: 'x', after, limit });
        clients.push(...presence.clients.map(({ client, connections }) => [client, connections]));
        assert.equal(presence.next, page.next);
        if (page.next === null) break;
        after = page.next;
      }
      assert.deepEqual(channels, expected);
      assert.deepEqual(clients, expected);
    }),
  );
});

test('a channel that everybody has left while it was counted is not listed, and the page goes on behind it', async () => {
  const channels = ['a', 'b'].map((channel) => ({ channel, subscribers: channel === 'a' ? 1 : 0, waiting: 0 }));
  const askAll = async () => ({ answers: [{ worker: 0, answer: { channels, more: true } }], missing: [] });
  const audience = new Audience({ askAll: askAll as never });
  const page = await audience.channels({ within: ['*'], pattern: '*', after: '', limit: 2 });
  assert.deepEqual([page.channels.map(({ channel }) => channel), page.next], [['a'], 'b']);
});
