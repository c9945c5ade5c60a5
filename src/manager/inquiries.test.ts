/** Questions over a real Unix socket, with workers played by the test. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FakeWorker } from '../../test/fakes/worker.js';
import { ANSWER, ASK } from '../link/frames.js';
import { QUESTIONS_PENDING_MAX } from '../link/questions.js';
import { MemoryLog } from '../log/memory.js';
import { LinkRig } from './testing/link-rig.js';

const QUESTION = { channel: 'ünï' };

describe('questions to workers', () => {
  let rig: LinkRig;

  beforeEach(async () => {
    rig = new LinkRig(new MemoryLog({ seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 26 }));
    await rig.listen();
  });
  afterEach(() => rig.close());

  const ask = (worker: number, timeoutMs = 5000) => rig.server.ask(worker, 'occupancy', QUESTION, timeoutMs);
  const answer = (fake: FakeWorker, request: number, value: object) =>
    fake.say((writer) => writer.numberedJson(ANSWER, request, value));

  async function dial(worker: number): Promise<FakeWorker> {
    const fake = await FakeWorker.dial(rig.path, worker);
    fake.wait('here');
    while (!rig.server.links.has(worker)) await new Promise(setImmediate);
    return fake;
  }

  test('each is answered by its number, in whatever order', async () => {
    const fake = await dial(0);
    const [first, second] = [ask(0), ask(0)];
    const asked = [await fake.next(), await fake.next()];
    for (const told of asked) {
      assert.deepEqual([told.type, JSON.parse(told.data)], [ASK, { op: 'occupancy', ...QUESTION }]);
    }
    answer(fake, asked[1].request!, { subscribers: 2, waiting: 0 });
    answer(fake, asked[0].request!, { subscribers: 1, waiting: 0 });
    assert.deepEqual(
      [await first, await second],
      [
        { subscribers: 1, waiting: 0 },
        { subscribers: 2, waiting: 0 },
      ],
    );
  });

  test('all are asked, and those who do not answer are named with the reason', async () => {
    const fakes = [await dial(0), await dial(1), await dial(2), await dial(3)];
    const asking = rig.server.askAll('occupancy', QUESTION, 300);
    const requests = await Promise.all(fakes.map(async (fake) => (await fake.next()).request!));
    answer(fakes[0], requests[0], { subscribers: 5, waiting: 1 });
    answer(fakes[1], requests[1], { refused: { code: 'busy', message: 'later' } });
    fakes[2].end();
    const { answers, missing } = await asking;
    assert.deepEqual(answers, [{ worker: 0, answer: { subscribers: 5, waiting: 1 } }]);
    assert.deepEqual(Object.fromEntries(missing.map(({ worker, error }) => [worker, error.code])), {
      1: 'busy',
      2: 'gone',
      3: 'timeout',
    });
    // An answer that comes too late is nobody's.
    answer(fakes[3], requests[3], { subscribers: 1, waiting: 0 });
    const again = ask(3);
    answer(fakes[3], (await fakes[3].next()).request!, { subscribers: 2, waiting: 0 });
    assert.equal((await again).subscribers, 2);
  });

  test('a worker without a link is not waited for, and one has only so many questions at a time', async () => {
    await assert.rejects(ask(7), { code: 'gone' });
    const fake = await dial(0);
    const asking = Array.from({ length: QUESTIONS_PENDING_MAX }, () => ask(0));
    await assert.rejects(ask(0), { code: 'busy' });
    fake.end();
    for (const { status } of await Promise.allSettled(asking)) assert.equal(status, 'rejected');
  });

  test('what is no answer to the question costs the link', async () => {
    for (const value of [{}, { subscribers: -1, waiting: 0 }, { refused: null }, [], 7]) {
      const fake = await dial(0);
      const asking = ask(0);
      answer(fake, (await fake.next()).request!, value as object);
      await assert.rejects(asking, { code: 'gone' });
      if (!fake.socket.closed) await once(fake.socket, 'close');
    }
    assert.equal(rig.lines.length, 5);
    assert.match(rig.lines[0], /link refused reason="an ANSWER that is none to 'occupancy'"/);
  });
});
