/**
 * Frames on the Unix socket between manager and worker.
 *
 *     0        4      5
 *     ┌────────┬──────┬─────────────┐
 *     │ length │ type │ payload …   │   length: u32, little-endian, of type and payload together
 *     └────────┴──────┴─────────────┘
 *
 * Frames go both ways, many in one write. A worker dials and says HELLO; the manager says WELCOME. The worker announces every
 * channel that it has somebody on (WAITING for the classic queue, SUBSCRIBED for the other transports), says HELLO_END, and
 * then reports each change. The stream is ordered, which carries these guarantees:
 *
 * - a worker that hands a message to the last connection that waits on a channel sends NOT_WAITING before DELIVERED, so when
 *   the manager reads DELIVERED its index is right for the queue's next message;
 * - what was announced before HELLO_END is what the worker held before it dialled. Of the channels SUBSCRIBED there, the manager
 *   sends (GAP, FAN_OUT) what was published after the position that HELLO named, before anything newer;
 * - FAN_OUT frames come in the order of the log, and none is missing but those of which a GAP has told: a channel's begin
 *   with the first publication after its SUBSCRIBED was read. So when POSITION or FAN_OUT with sequence s has come, the worker has
 *   seen everything up to s of all channels whose SUBSCRIBED the manager had read by then; that a READ was answered tells
 *   that it had;
 * - GAP comes as soon as the loss is found, before any FAN_OUT above the place up to which everything was sent then. It moves
 *   no position: FAN_OUT frames of other channels at or below its sequence may follow.
 *
 * Numbers are little-endian. A sequence is a u48 in 6 bytes (Buffer.readUIntLE), enough for 89 years at 100,000 a second, and
 * so is a time (ms since 1970). Names are one or more names of channels, each behind a u8 with its length: clients come in floods.
 */

/** Changes whenever a frame changes its meaning; a manager refuses workers of another version (and replaces them). */
export const LINK_VERSION = 5;

// worker → manager
/** JSON {@link Hello}: the first frame. */
export const HELLO = 1;
/** Names: each of these channels has a first connection here that waits for a message of its queue (classic protocol). */
export const WAITING = 2;
/** Names: the last waiting connection of each has gone. */
export const NOT_WAITING = 3;
/** u48 sequence, u32 receivers: verdict on one DELIVER. Receivers counts connections that were handed it whole. */
export const DELIVERED = 4;
/** JSON WorkerStats (stats.ts): about once a second, of a worker at rest every five. */
export const STATS = 5;
/** Empty: the listening sockets have been passed over `listeners.sock` (SCM_RIGHTS, one datagram). */
export const LISTENERS_SENT = 6;
/** Empty: all channels held at the time of HELLO have been announced. */
export const HELLO_END = 7;

/** Names: each has a first subscriber here. */
export const SUBSCRIBED = 8;
/** Names: the last subscriber of each has gone. */
export const UNSUBSCRIBED = 9;
/** u48 sequence, u32 receivers: answer to a FAN_OUT with FAN_OUT_RECEIPT, when the publication was tried on everyone. */
export const RECEIVED = 10;
/**
 * u32 request, u48 after, name: asks for one page of what the log has of the channel after that sequence (READ_NOW: nothing, but
 * the place where the log ends). Answered by HISTORY.
 */
export const READ = 11;
/** u32 request, u8 kind, u8 length of id, id, u8 length of name, name, data: a client publishes. Answered by PUBLISHED. */
export const PUBLISH = 12;
/** u32 request, JSON: the answer to an ASK, or why there is none (questions.ts). */
export const ANSWER = 13;
/** JSON ClientChanges (client-changes.ts): clients have come and gone; only where the policy asks for it. */
export const EVENTS = 14;
/** Empty: a token names a key that the worker does not have, where keys come from an address. Answered by POLICY, new or as before. */
export const KEY_UNKNOWN = 15;
/** JSON {@link AddressCounts}: connections here of addresses that have many, or of which others have some. */
export const ADDRESSES = 16;
/** JSON {@link Tokens}: so many more clients will be accepted (src/manager/accept-rate.ts); answered by GRANTED, in parts and later perhaps. */
export const WANTED = 17;

/** In READ: the end of the log. */
export const READ_NOW = 0xffff_ffff_ffff;

// manager → worker
/** u48 sequence, u8 kind, u8 length of name, name, data: hand this to the connections waiting on the channel. */
export const DELIVER = 32;
/** Empty: stop accepting, finish what is being sent, exit 0. */
export const STOP = 33;
/** Empty: pass the listening sockets to `<run directory>/listeners.sock`, then say LISTENERS_SENT. */
export const SEND_LISTENERS = 34;

/** u48 last sequence of the log, then its epoch in ASCII: the first frame, in answer to HELLO. */
export const WELCOME = 35;
/** u48 sequence, u48 time, u8 kind, u8 flags, u8 length of name, name, data: hand this to all subscribers of the channel. */
export const FAN_OUT = 36;
/**
 * u32 request, u48 upTo, u48 gap, u8 rest, then publications: u48 sequence, u48 time, u8 kind, u32 length of data, data. All that
 * the log retains of the channel above `after` and up to `upTo`. gap: the highest sequence above `after` that retention has
 * dropped, 0 for none; it may be above `upTo`. rest: HISTORY_…. `upTo` is never above what was sent on this link (FAN_OUT, POSITION): what is
 * newer comes by FAN_OUT. So it may be below `after`, which then was seen on another worker.
 */
export const HISTORY = 37;
/** u48 sequence, name: publications of the channel up to this one, and above the position, were dropped before they could be sent here. */
export const GAP = 38;
/** u32 request, u8 result (PUBLISHED_…), u48 sequence: answer to PUBLISH. */
export const PUBLISHED = 39;
/** u48 sequence: everything up to here has been sent. About once a second, while it changes. */
export const POSITION = 40;
/** JSON ClientPolicy (policy.ts): behind WELCOME, at each change, and in answer to KEY_UNKNOWN. A worker accepts nobody before its first. */
export const POLICY = 41;
/** u32 request, JSON `{op, …}`: a question off the path of publications (questions.ts). Answered by ANSWER, perhaps many turns later. */
export const ASK = 42;
/** JSON {@link AddressCounts}: what the other workers have of these addresses together. */
export const ELSEWHERE = 43;
/** JSON {@link Tokens}: so many may be. */
export const GRANTED = 44;

/** In HISTORY: nothing follows above `upTo` but what FAN_OUT brings. */
export const HISTORY_COMPLETE = 0;
/** The page is full: ask again from `upTo`. */
export const HISTORY_MORE = 1;
/** `after` is above the end of the log: it is of a history that is lost. There are no publications in this one. */
export const HISTORY_BEYOND = 2;

/** In the flags of FAN_OUT: the publisher waits to hear how many got it. */
export const FAN_OUT_RECEIPT = 1;

/** Results of PUBLISHED. */
export const PUBLISHED_NEW = 0;
/** The id was known: the sequence is the first one's. */
export const PUBLISHED_DUPLICATE = 1;
/** The log could not keep it. */
export const PUBLISHED_FAILED = 2;

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
  /** Its clients are being ended, and it listens no more. */
  draining?: boolean;
  /** Of the log that the worker knew last; absent before it knew one. */
  epoch?: string;
  /** Up to where it has seen everything, in that epoch. */
  position?: number;
}

/** For each a client may be accepted (--accept-rate). */
export interface Tokens {
  tokens: number;
}

/** Connections by address: 16 hex digits for an IPv4 address or a network of IPv6 (src/worker/addresses.ts). */
export type AddressCounts = [key: string, connections: number][];

/** Length of the length field, which does not count itself. */
export const LENGTH_BYTES = 4;
/** Length of the frame header: u32 length and u8 type. */
export const FRAME_HEADER_BYTES = 5;
