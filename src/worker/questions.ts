/**
 * Answers what the manager asks (ASK, src/link/questions.ts) without holding up the clients.
 *
 * A handler answers at once, or is a generator that yields now and then and returns its answer: a walk over all connections
 * takes a million steps. Walks are continued between turns, one after the other in the order of their questions, for
 * WALK_SLICE_MS a turn. What a walk looks at may have changed since its last step.
 */

import { LINK_FRAME_BYTES_MAX } from '../limits.js';
import { readJson } from '../link/frame-reader.js';
import { FRAME_HEADER_BYTES } from '../link/frames.js';
import { type Answer, type Op, QUESTIONS_PENDING_MAX, type Question, type RefusalCode } from '../link/questions.js';

/** For how long the walks of one turn go on. A step should take a tenth of that. */
export const WALK_SLICE_MS = 2;

/** Of a frame, and of the question's number. */
const HEADER_BYTES = FRAME_HEADER_BYTES + 4;

/** A walk: yields where it may be interrupted. */
export type Walk<T> = Generator<undefined, T, undefined>;

export type Handlers = { [O in Op]: (question: Question<O>) => Answer<O> | Walk<Answer<O>> };

/** A question that has no answer, in words for whoever asked. */
export class RefusedError extends Error {
  readonly code: RefusalCode;

  constructor(message: string, code: RefusalCode = 'refused') {
    super(message);
    this.code = code;
  }
}

interface Pending {
  readonly request: number;
  readonly walk: Walk<object>;
}

export class Questions {
  readonly #handlers: Handlers;
  readonly #answer: (request: number, answer: object) => void;
  readonly #clock: () => number;
  #pending: Pending[] = [];

  /**
   * @param answer sends the answer to a question
   * @param clock milliseconds; never goes back
   */
  constructor(handlers: Handlers, answer: (request: number, answer: object) => void, clock: () => number) {
    this.#handlers = handlers;
    this.#answer = answer;
    this.#clock = clock;
  }

  /** ASK: the question is the JSON bytes[start..end). */
  asked(request: number, bytes: Uint8Array, start: number, end: number): void {
    const { op, ...question } = readJson(bytes, start, end) as { op: Op };
    this.#settle(request, () => {
      if (!Object.hasOwn(this.#handlers, op)) throw new RefusedError(`there is no '${op}' here`, 'unknown_op');
      if (this.#pending.length >= QUESTIONS_PENDING_MAX) throw new RefusedError('too many questions wait', 'busy');
      const handle = this.#handlers[op] as (question: object) => object;
      const answer = handle(question);
      if (!isWalk(answer)) return answer;
      this.#pending.push({ request, walk: answer });
      return undefined;
    });
  }

  /** Goes on with the walks. Called after each turn. @returns true while there is something left to do */
  work(): boolean {
    if (this.#pending.length === 0) return false;
    const endMs = this.#clock() + WALK_SLICE_MS;
    do {
      const { request, walk } = this.#pending[0];
      this.#settle(request, () => {
        const step = walk.next();
        return step.done ? step.value : undefined;
      });
    } while (this.#pending.length > 0 && this.#clock() < endMs);
    return this.#pending.length > 0;
  }

  /** The manager has gone, and nobody waits for answers. */
  forget(): void {
    this.#pending = [];
  }

  /** Runs a step, and sends what came of it: nothing yet, an answer, or a refusal. */
  #settle(request: number, step: () => object | undefined): void {
    let answer: object | undefined;
    try {
      answer = step();
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      answer = { refused: { code: error.code, message: error.message } };
    }
    if (answer === undefined) return;
    if (this.#pending[0]?.request === request) this.#pending.shift();
    // Whoever asks bounds his pages; one who does not must not cost the link.
    if (Buffer.byteLength(JSON.stringify(answer)) > LINK_FRAME_BYTES_MAX - HEADER_BYTES) {
      answer = { refused: { code: 'too_large', message: 'the answer is too large' } };
    }
    this.#answer(request, answer);
  }
}

function isWalk(answer: object): answer is Walk<object> {
  return Symbol.iterator in answer && 'next' in answer;
}
