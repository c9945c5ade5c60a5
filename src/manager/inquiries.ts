/**
 * Questions to one worker that wait for their answers (ASK, ANSWER): each has a number, a time limit, and ends once, by
 * the answer, the end of its time or the end of the link. Their number is bounded by what a worker takes.
 */

import { readJson, readUint32 } from '../link/frame-reader.js';
import { ASK } from '../link/frames.js';
import { type Answer, type Op, QUESTIONS_PENDING_MAX, type Question, type RefusalCode } from '../link/questions.js';
import { checkAnswer, isRefusal } from './answers.js';
import type { LinkOutlet } from './link-outlet.js';
import { LinkError } from './worker-frames.js';

/** Bytes that a worker has not read, above which it is asked nothing more: it would answer too late. */
const BACKLOG_BYTES = 1 << 20;

/** Why there is no answer. */
export type UnansweredCode = RefusalCode | 'timeout' | 'gone';

/** A question without an answer. */
export class UnansweredError extends Error {
  readonly code: UnansweredCode;

  constructor(code: UnansweredCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface Inquiry {
  readonly op: Op;
  readonly timer: NodeJS.Timeout;
  resolve(answer: object): void;
  reject(error: UnansweredError): void;
}

export class Inquiries {
  readonly #outlet: LinkOutlet;
  readonly #waiting = new Map<number, Inquiry>();
  #latest = 0;
  #ended = false;

  constructor(outlet: LinkOutlet) {
    this.#outlet = outlet;
  }

  /** @throws UnansweredError (as a rejection) */
  ask<O extends Op>(op: O, question: Question<O>, timeoutMs: number): Promise<Answer<O>> {
    if (this.#ended) return Promise.reject(new UnansweredError('gone', 'the worker has no link'));
    if (this.#waiting.size >= QUESTIONS_PENDING_MAX || this.#outlet.backlogBytes > BACKLOG_BYTES) {
      return Promise.reject(new UnansweredError('busy', 'the worker has too much to do'));
    }
    this.#latest = (this.#latest + 1) >>> 0;
    const request = this.#latest;
    this.#outlet.frames.numberedJson(ASK, request, { op, ...question });
    this.#outlet.flushLater();
    return new Promise((resolve, reject) => {
      const late = () => {
        this.#waiting.delete(request);
        reject(new UnansweredError('timeout', `the worker did not answer within ${timeoutMs} ms`));
      };
      const timer = setTimeout(late, timeoutMs);
      this.#waiting.set(request, { op, timer, resolve: (answer) => resolve(answer as Answer<O>), reject });
    });
  }

  /**
   * ANSWER. One that comes too late is passed over.
   *
   * @throws LinkError where it is none
   */
  answered(bytes: Uint8Array, start: number, end: number): void {
    if (end - start < 4) throw new LinkError('an ANSWER that is too short');
    const request = readUint32(bytes, start);
    const inquiry = this.#waiting.get(request);
    if (inquiry === undefined) return;
    const answer = checkAnswer(inquiry.op, readAnswer(bytes, start + 4, end));
    this.#waiting.delete(request);
    clearTimeout(inquiry.timer);
    if (isRefusal(answer)) inquiry.reject(new UnansweredError(answer.refused.code, answer.refused.message));
    else inquiry.resolve(answer);
  }

  /** The link has ended. */
  end(): void {
    this.#ended = true;
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new UnansweredError('gone', 'the worker ended, or lost its link, before it answered'));
    }
    this.#waiting.clear();
  }
}

function readAnswer(bytes: Uint8Array, start: number, end: number): unknown {
  try {
    return readJson(bytes, start, end);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new LinkError('an ANSWER that is no JSON');
  }
}
