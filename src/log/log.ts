/**
 * The log's contract: one sequence for the node, retention for each channel, resuming from a sequence. It knows neither
 * sockets nor workers. Implementations: memory.ts, lmdb.ts; both run the suite of log-suite.ts.
 *
 *     sequence   1 … 4     5    6     7    8    9
 *     channel    (gone)    a    b     a    a    b          last = 9
 *                ▲ retention has dropped these: what read() calls gaps
 *
 * Each channel loses its oldest publication first. So what a channel has lost lies below all that it retains, and one number,
 * the highest sequence dropped, tells a resuming client whether it has missed something.
 */

export interface NewPublication {
  /** A valid channel name (1 to 128 bytes of UTF-8, no control characters). Not checked here. */
  channel: string;
  /** KIND_TEXT, KIND_JSON or KIND_RAW of src/link/frames.ts; any byte is kept. */
  kind: number;
  /** Copied, or written, before `append` resolves; it must not change until then. */
  data: Buffer;
  /** Idempotency key, 1 to PUBLICATION_ID_BYTES_MAX bytes of UTF-8: the same one on the same channel is appended once. */
  id?: string;
}

export interface Publication {
  /** Position in the node's one sequence, from 1. */
  readonly sequence: number;
  readonly channel: string;
  readonly kind: number;
  /** Never changes. It may be a view of a larger buffer: copy it to keep it for long. */
  readonly data: Buffer;
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
}

export interface Appended {
  sequence: number;
  timeMs: number;
  /** The id was seen on this channel and its publication is still retained: sequence and time are that one's. */
  duplicate: boolean;
}

/** A channel has lost publications; the highest sequence lost. */
export interface Gap {
  channel: string;
  sequence: number;
}

export interface Page {
  /** In the order of their sequences. */
  publications: Publication[];
  /**
   * The page has every retained publication of these channels in (after, upTo]. Equals `last` when nothing more follows;
   * else read again after it.
   */
  upTo: number;
  /**
   * Channels that have lost publications above `after` to retention: the highest sequence lost, which may be above `upTo`. It
   * precedes every retained publication of that channel.
   */
  gaps: Gap[];
}

/** How much of a channel is kept. Whichever limit is reached first drops the oldest. */
export interface ChannelLimits {
  readonly seconds: number;
  /** At least 1: the newest publication of a channel is dropped by nothing but its age and `totalBytes`. */
  readonly messages: number;
  /** Of data. A single publication may exceed it. */
  readonly bytes: number;
}

/** Other limits for channels with a name that matches; see retention.ts. */
export interface RetentionRule extends Partial<ChannelLimits> {
  /** A channel's name, or a prefix followed by `*`. */
  readonly pattern: string;
}

export interface Retention extends ChannelLimits {
  /** Of all channels together: data and what keeping it costs. The oldest publications of the node go first. */
  readonly totalBytes: number;
  /** The rule with the longest pattern that matches a channel counts. */
  readonly rules?: readonly RetentionRule[];
}

export interface LogCounters {
  /** Retained now: publications, bytes of their data, channels that have any. */
  publications: number;
  bytes: number;
  channels: number;
  /** Of these publications, those that the classic queue still owes. */
  queued: number;
  /** Dropped since the start because they grew too old. */
  expired: number;
  /** Dropped since the start because a channel or the whole log was full. */
  evicted: number;
}

/** Wall clock for what people see, steady clock for ages; tests bring their own. Both in milliseconds. */
export interface LogClock {
  wallMs(): number;
  steadyMs(): number;
}

export const SYSTEM_CLOCK: LogClock = { wallMs: () => Date.now(), steadyMs: () => performance.now() };

export interface Log {
  /** Changes only when history was lost, or may have been. URL-safe, without '-'. */
  readonly epoch: string;

  /** The highest sequence that `append` has resolved, 0 before the first: all up to it can be read, nothing above. */
  readonly last: number;

  /**
   * Gives the batch its places, in order. Resolves when it is as durable as the implementation promises; calls resolve in
   * the order in which they were made. Then retention drops what has become too much, oldest first.
   *
   * @returns one for each publication, in the order of the batch
   * @throws LogError (as a rejection) when it could not be kept: then none of it is
   */
  append(batch: readonly NewPublication[]): Promise<Appended[]>;

  /**
   * One page of what was published on the channels after a sequence: at least one publication if there is one, then up to
   * `bytes` of data and `publications` of them: data may have no bytes at all.
   *
   * @param channels distinct names
   * @param after a sequence; one above `last` gives an empty page up to `last`
   * @param publications at least 1; PAGE_PUBLICATIONS_MAX without it, and at most
   * @throws LogError (as a rejection) when the data cannot be read
   */
  read(channels: readonly string[], after: number, bytes: number, publications?: number): Promise<Page>;

  /**
   * True when `read([channel], after)` would have a publication or a gap. Cheap (no allocation, no access to the disk):
   * it is asked for each of a million returning channels.
   */
  hasNews(channel: string, after: number): boolean;

  /** Publications that the classic queue still owes, on all channels together. Costs nothing to ask. */
  readonly queued: number;

  /**
   * The oldest publication of the channel that the classic queue still owes, or undefined.
   *
   * @throws LogError when the data cannot be read
   */
  oldestQueued(channel: string): Publication | undefined;

  /**
   * The classic queue has handed this one out: it and what is older on the channel leave the queue, not the log. Not waited
   * for; a durable log writes it with the next group, so after a crash it may be handed out again.
   */
  consumed(channel: string, sequence: number): void;

  /** Drops what is too old. Called about once a second; the work of one call is bounded. */
  expire(): void;

  /**
   * From now on this is retained. What is too much by count or size goes at once, what is too old with the next `expire`; what was
   * dropped before stays so.
   *
   * @throws Error where two rules have the same pattern; then nothing has changed
   */
  setRetention(retention: Retention): void;

  readonly counters: LogCounters;

  /** Resolves when everything appended is kept and the log may be opened again. Later appends are rejected. */
  close(): Promise<void>;
}

/** What the operator is told when the log cannot be opened or cannot keep a publication. */
export type LogErrorCode =
  /** Another manager has the data directory. */
  | 'ELOGLOCKED'
  /** The data directory cannot be made or used. */
  | 'ELOGDIR'
  /** The files are damaged, or not a log of this version. */
  | 'ELOGFORMAT'
  /** No room: on the disk, or in the largest size the database may have. */
  | 'ELOGFULL'
  /** The disk fails. */
  | 'ELOGIO'
  /** The log was closed. */
  | 'ELOGCLOSED'
  /** LMDB was not built for this machine, or this process may not load it. */
  | 'ELOGNATIVE';

/** A failure that the operator can do something about. The message says what failed and how to cure it. */
export class LogError extends Error {
  readonly code: LogErrorCode;
  /** What to do, in words. */
  readonly cure: string;

  constructor(code: LogErrorCode, problem: string, cure: string, cause?: unknown) {
    super(`${problem}; ${cure}`, cause === undefined ? {} : { cause });
    this.name = 'LogError';
    this.code = code;
    this.cure = cure;
  }
}
