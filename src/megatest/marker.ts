/**
 * The text of a test message: which run sent it, its number, for whom it is, and when it was sent, filled up to the length
 * that was asked for. Whoever receives it can tell by itself whether it is its own and how long it took.
 *
 *     mt:1f0e33ab:1234:a77:86400000123:xxxxxx…
 *        run      sequence, id, microseconds of CLOCK_MONOTONIC (one clock for all processes of a machine)
 */

export interface Marker {
  /** Eight hexadecimal digits, drawn anew for each run: messages that an earlier run left in a queue are told apart. */
  run: string;
  sequence: number;
  /** The client id that the message was published to. */
  id: string;
  sentUs: number;
}

/** Sequences and client numbers have at most 8 digits, the clock 16. */
const MARKER_BYTES_MAX = 'mt:12345678:12345678::1234567890123456:'.length + 8;

/** The longest marker for ids that begin with a prefix: messages cannot be shorter than this. */
export function markerBytesMax(prefix: string): number {
  return MARKER_BYTES_MAX + prefix.length;
}

/** Microseconds of CLOCK_MONOTONIC. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** The text of a message, `bytes` long (ASCII). */
export function encodeMarker({ run, sequence, id, sentUs }: Marker, bytes: number): string {
  return `mt:${run}:${sequence}:${id}:${sentUs}:`.padEnd(bytes, 'x');
}

/** Reads a message of `bytes` bytes; null where it is another text, or damaged. */
export function decodeMarker(text: string, bytes: number): Marker | null {
  if (text.length !== bytes) return null;
  const match = /^mt:([0-9a-f]{8}):(\d{1,8}):([^:]+):(\d{1,16}):x*$/.exec(text);
  if (match === null) return null;
  return { run: match[1], sequence: Number(match[2]), id: match[3], sentUs: Number(match[4]) };
}
