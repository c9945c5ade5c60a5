/**
 * Frames on the Unix socket between manager and worker.
 *
 *     0        4      5
 *     ┌────────┬──────┬─────────────┐
 *     │ length │ type │ payload …   │   length: u32, little-endian, of type and payload together
 *     └────────┴──────┴─────────────┘
 *
 * Frames go both ways, many in one write. A worker dials, says HELLO, announces every channel that it has waiting
 * (SUBSCRIBED), then reports each change. The stream is ordered, which carries two guarantees:
 *
 * - a worker that hands a message to the last connection of a channel sends UNSUBSCRIBED before DELIVERED, so when the
 *   manager reads DELIVERED its index is right for the next message of that channel;
 * - what was SUBSCRIBED before HELLO_END is what the worker held before it dialled.
 *
 * Numbers are little-endian. A sequence is a u48 in 6 bytes (Buffer.readUIntLE), enough for 89 years at 100,000 a second.
 */

/** Changes whenever a frame changes its meaning; a manager refuses workers of another version (and replaces them). */
export const LINK_VERSION = 1;

// worker → manager
/** JSON {@link Hello}: the first frame. */
export const HELLO = 1;
/** The channel's name: it has a first waiting connection here. */
export const SUBSCRIBED = 2;
/** The channel's name: its last waiting connection here has gone. */
export const UNSUBSCRIBED = 3;
/** u48 sequence, u32 receivers: verdict on one DELIVER. Receivers counts connections that were handed it whole. */
export const DELIVERED = 4;
/** JSON {@link WorkerStats}: about once a second. */
export const STATS = 5;
/** Empty: the listening sockets have been passed over `listeners.sock` (SCM_RIGHTS, one datagram). */
export const LISTENERS_SENT = 6;
/** Empty: all channels held at the time of HELLO have been announced. */
export const HELLO_END = 7;

// manager → worker
/** u48 sequence, u8 kind, u8 length of name, name, data: hand this to the connections waiting on the channel. */
export const DELIVER = 32;
/** Empty: stop accepting, finish what is being sent, exit 0. */
export const STOP = 33;
/** Empty: pass the listening sockets to `<run directory>/listeners.sock`, then say LISTENERS_SENT. */
export const SEND_LISTENERS = 34;

/** Kinds of data, for encoders that must tell text from JSON (JSONP). */
export const KIND_TEXT = 0;
/** Data is JSON text. */
export const KIND_JSON = 1;
/** Data came from the classic port: bytes that nobody has declared to be anything. */
export const KIND_RAW = 2;

export interface Hello {
  version: number;
  pid: number;
  /** The worker's number, from 0; unique among the living. */
  worker: number;
  /** How many client connections it can hold. */
  capacity: number;
  /** `host:port` of each listener, in the order in which the sockets are passed. */
  listeners: string[];
}

export interface WorkerStats {
  connections: number;
  waiting: number;
  channels: number;
  messagesSent: number;
  accepted: number;
  requests: number;
  /** Refused or malformed requests by status code. */
  rejected: Record<string, number>;
  accepting: boolean;
}

/** Length of the frame header: u32 length and u8 type. */
export const FRAME_HEADER_BYTES = 5;
