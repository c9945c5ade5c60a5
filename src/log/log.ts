/**
 * The log contract: one sequence for the node, retention for each channel. Pure bookkeeping: it knows neither sockets
 * nor workers. Implementations: memory.ts.
 */

export interface Publication {
  /** Position in the node's one sequence, from 1. */
  readonly sequence: number;
  readonly channel: string;
  /** KIND_TEXT, KIND_JSON or KIND_RAW of src/link/frames.ts. */
  readonly kind: number;
  readonly data: Buffer;
  /** Milliseconds of the clock that the log was given, for retention. */
  readonly timeMs: number;
}

export interface Retention {
  seconds: number;
  messages: number;
  bytes: number;
  /** Of all channels together. */
  totalBytes: number;
}

export interface LogCounters {
  publications: number;
  bytes: number;
  channels: number;
  /** Dropped because they grew too old. */
  expired: number;
  /** Dropped because a channel or the whole log was full. */
  evicted: number;
}

export interface Log {
  /** Changes only when history was lost. URL-safe, without '-'. */
  readonly epoch: string;

  /** Gives the publication its place. What retention pushes out goes first, oldest first. */
  append(channel: string, kind: number, data: Buffer): Publication;

  /** The oldest one retained on a channel, or undefined. */
  oldest(channel: string): Publication | undefined;

  /** Takes one out that has been consumed. False where it is no longer there. */
  remove(sequence: number): boolean;

  /** True while `sequence` is retained. */
  has(sequence: number): boolean;

  /** Drops what is too old. Called about once a second. */
  expire(): void;

  readonly counters: LogCounters;
}
