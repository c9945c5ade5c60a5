/**
 * What a manager may ask a worker beside the path of publications (ASK), and what comes back (ANSWER): who is on a channel,
 * end these connections, and so on. Both are JSON. A question is `{"op": …}` with what the operation needs.
 *
 * To add an operation: its entry in {@link QuestionMap}, the check of its answer in src/manager/answers.ts, and its handler in
 * src/worker/worker.ts. The compiler demands all three.
 */

/** Questions of one link that have no answer yet: of more, the worker says that it is busy. */
export const QUESTIONS_PENDING_MAX = 64;

/** Connections of one worker on one channel. */
export interface Occupancy {
  /** Subscribers, of all transports with cursors. */
  subscribers: number;
  /** Connections that wait for a message of the classic queue. */
  waiting: number;
}

/** Each operation: what is asked, and what is answered. */
export interface QuestionMap {
  occupancy: { question: { channel: string }; answer: Occupancy };
}

export type Op = keyof QuestionMap;
/** What a question has beside its `op`. */
export type Question<O extends Op> = QuestionMap[O]['question'];
export type Answer<O extends Op> = QuestionMap[O]['answer'];

/** Why a worker does not answer. */
export type RefusalCode =
  /** Too many questions wait already. */
  | 'busy'
  /** The answer does not fit a frame. */
  | 'too_large'
  /** There is no such operation. */
  | 'unknown_op'
  /** The operation itself says why, in the message. */
  | 'refused';

/** What ANSWER carries in place of an answer: no answer has a field `refused`. */
export interface Refusal {
  refused: { code: RefusalCode; message: string };
}
