import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINK_FRAME_BYTES_MAX } from '../limits.js';
import { QUESTIONS_PENDING_MAX } from '../link/questions.js';
import { type Handlers, Questions, RefusedError, WALK_SLICE_MS, type Walk } from './questions.js';

/** Questions whose steps take a millisecond, and what was answered. */
function rig(occupancy: Handlers['occupancy']) {
  let nowMs = 0;
  const answers: [number, unknown][] = [];
  const handler: Handlers['occupancy'] = (question) => {
    const answer = occupancy(question);
    return 'next' in answer ? timed(answer) : answer;
  };
  function* timed<T>(walk: Walk<T>): Walk<T> {
    for (let step = walk.next(); ; step = walk.next()) {
      nowMs++;
      if (step.done) return step.value;
      yield;
    }
  }
  const questions = new Questions(
    { occupancy: handler } as Handlers,
    (request, answer) => answers.push([request, answer]),
    () => nowMs,
  );
  const ask = (request: number, question: object) => {
    const bytes = Buffer.from(`..${JSON.stringify(question)}..`);
    questions.asked(request, bytes, 2, bytes.length - 2);
  };
  return { questions, answers, ask };
}

const ANSWER = { subscribers: 1, waiting: 0 };

function* walk(steps: number): Walk<typeof ANSWER> {
  for (let i = 0; i < steps; i++) yield;
  return ANSWER;
}

test('a handler that answers at once is answered at once', () => {
  const { questions, answers, ask } = rig(({ channel }) => ({ subscribers: channel.length, waiting: 0 }));
  ask(7, { op: 'occupancy', channel: 'ünï' });
  assert.deepEqual(answers, [[7, { subscribers: 3, waiting: 0 }]]);
  assert.equal(questions.work(), false);
});

test('walks go on between turns, for a slice each, in the order of their questions', () => {
  const { questions, answers, ask } = rig(({ channel }) => walk(Number(channel)));
  ask(1, { op: 'occupancy', channel: String(3 * WALK_SLICE_MS) });
  ask(2, { op: 'occupancy', channel: '1' });
  let turns = 1;
  while (questions.work()) turns++;
  assert.deepEqual(answers, [
    [1, ANSWER],
    [2, ANSWER],
  ]);
  assert.equal(turns, 5, '7 and 2 steps of a millisecond in slices of 2 ms');
});

test('a handler that refuses, an operation that is none, and too many questions are answered with the reason', () => {
  const { answers, ask } = rig(({ channel }) => {
    if (channel === 'no') throw new RefusedError('not now');
    return walk(1);
  });
  ask(1, { op: 'occupancy', channel: 'no' });
  ask(2, { op: 'toString' });
  for (let i = 0; i <= QUESTIONS_PENDING_MAX; i++) ask(3, { op: 'occupancy', channel: 'a' });
  assert.deepEqual(answers, [
    [1, { refused: { code: 'refused', message: 'not now' } }],
    [2, { refused: { code: 'unknown_op', message: "there is no 'toString' here" } }],
    [3, { refused: { code: 'busy', message: 'too many questions wait' } }],
  ]);
});

test('an answer that would not fit a frame is refused, and a walk that fails is a bug', () => {
  const { questions, answers, ask } = rig(({ channel }) => {
    if (channel === 'bug') throw new TypeError('a bug');
    return { ...ANSWER, text: 'm'.repeat(LINK_FRAME_BYTES_MAX) };
  });
  ask(1, { op: 'occupancy', channel: 'a' });
  assert.deepEqual(answers, [[1, { refused: { code: 'too_large', message: 'the answer is too large' } }]]);
  assert.throws(() => ask(2, { op: 'occupancy', channel: 'bug' }), TypeError);
  assert.equal(questions.work(), false);
});

test('without a manager nobody waits for answers', () => {
  const { questions, answers, ask } = rig(() => walk(1));
  ask(1, { op: 'occupancy', channel: 'a' });
  questions.forget();
  assert.equal(questions.work(), false);
  assert.deepEqual(answers, []);
});
