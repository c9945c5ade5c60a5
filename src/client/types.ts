/** What the client library's users see: options, events and errors. docs/client.md is the reference. */

/** A publication that came on one of the client's channels. */
export interface Message<Data = unknown> {
  type: 'message';
  channel: string;
  /** Its place in the server's log, `<epoch>-<sequence>`. */
  cursor: string;
  data: Data;
  /** When the log took it, in milliseconds since 1970, UTC. */
  time: number;
}

/** The server no longer has something that the client has not seen. A client that keeps a state fetches it anew. */
export interface Gap {
  type: 'gap';
  /** Of this channel; absent: of all. */
  channel?: string;
  /** What is lost lies above this cursor… */
  cursor: string;
  /** …and not above this one. Absent without `channel`. */
  lost?: string;
}

/** The server ended the connection, and says when to come back. The client obeys by itself. */
export interface Disconnect {
  /** `drain`, `token_expired`, `disconnected`, … */
  code: string;
  reason: string;
  reconnect: boolean;
  /** How long to stay away, in milliseconds. */
  afterMs?: number;
}

export type TransportName = 'websocket' | 'sse' | 'poll';

/**
 * | state | |
 * |---|---|
 * | `connecting` | on its way, or catching up with what was missed |
 * | `live` | all channels get what is published as it is published |
 * | `waiting` | before the next attempt to connect |
 * | `idle` | not connected, since there is nothing to do: no channels, a page that is hidden or frozen, a full queue |
 * | `closed` | for good |
 */
export type State = 'connecting' | 'live' | 'waiting' | 'idle' | 'closed';

export interface StateChange {
  state: State;
  /** By which the client is connected, or was last. */
  transport: TransportName;
  /** How long `waiting` lasts at most, in milliseconds. */
  delayMs?: number | undefined;
}

export interface ClientEvents<Data = unknown> {
  message: Message<Data>;
  gap: Gap;
  state: StateChange;
  /** Said by the server; what follows is the client's business. */
  disconnect: Disconnect;
  /** Something failed. The client goes on, unless its state is `closed`. */
  error: MegaCometError;
}

/** A token, or what fetches one: called before the first connection, when a token is about to expire and when it was refused. */
export type TokenSource = string | (() => string | null | Promise<string | null>);

/** What the library uses of a WebSocket; that of browsers, of Node 22 and of npm's `ws` have it. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface ConnectOptions {
  /** The channels to begin with, 1,024 at most. */
  channels?: readonly string[];
  /** Where to begin: a cursor, `now` (default), or `start`, the oldest message that the server has. */
  after?: string;
  /** JWT that the server demands. */
  token?: TokenSource;
  /** Which to use, the preferred one first. Default: websocket, sse, poll. */
  transports?: readonly TransportName[];
  /** Ends the client, as `close` does. */
  signal?: AbortSignal;
  /** Messages that may wait for an iterator before the client stops taking more; default 1,000. */
  queueMax?: number;
  /** A random time up to `firstMs` (10,000) passes before the client connects again; doubled with each failure up to `maxMs` (60,000). */
  backoff?: { firstMs?: number; maxMs?: number };
  /** Within this time a transport must have shown that it works, else the next one is tried; default 10,000. */
  openMs?: number;
  /** For Node 20, which has none: npm's `ws`, for instance. */
  WebSocket?: new (
    url: string,
    protocols?: string[],
  ) => WebSocketLike;
}

export interface PublishOptions {
  /** Makes it idempotent; made up by the client where it is absent. */
  id?: string;
}

export interface Published {
  cursor: string;
  /** The id was known: this is the place of the first publication. */
  duplicate?: true | undefined;
}

/** Stays connected until it is closed. An async iterable of its messages. */
export interface Client<Data = unknown> extends AsyncIterable<Message<Data>> {
  readonly state: State;
  /** By which it is connected, was last, or tries to be. */
  readonly transport: TransportName;
  readonly channels: string[];
  /**
   * `after` of a client that is to go on where this one is: everything up to here was handed to the listeners or taken by the
   * iterator. Undefined in the rare case that the channels have no such place in common.
   */
  readonly cursor: string | undefined;

  /** Calls the listener for each event of the type, until the function that is returned is called. */
  on<Type extends keyof ClientEvents<Data>>(
    type: Type,
    listener: (event: ClientEvents<Data>[Type]) => void,
  ): () => void;

  /**
   * Messages, in order. Ends when the client is closed, and fails where it was closed by an error. Leaving the loop does not
   * close the client: the next one goes on from there.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Message<Data>, void>;

  /** Messages and gaps, in order, each gap where something is missing. */
  events(): AsyncIterable<Message<Data> | Gap>;

  /**
   * Follows more channels; those that are followed already stay as they are. Where the server refuses some, an `error` event
   * names them.
   *
   * @param options.after as in `connect`
   */
  subscribe(channels: string | readonly string[], options?: { after?: string }): void;

  /** Follows these channels no more. */
  unsubscribe(channels: string | readonly string[]): void;

  /**
   * Publishes, if the server allows it. What cannot be sent now is sent again until the server has it or refuses it, or the
   * client is closed; it is published once, whatever happens on the way.
   *
   * @param data anything that JSON can express
   * @returns where it stands in the log. Fails with a MegaCometError
   */
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Published>;

  /** Ends the connection and all iterators, for good. What waits for an iterator can still be taken. */
  close(): void;
}

/**
 * | code | |
 * |---|---|
 * | those of the server | `forbidden`, `token_required`, `token_invalid`, `token_expired`, `invalid`, `too_large`, … |
 * | `unavailable` | the server cannot be reached, or cannot do it now; the client tries again |
 * | `token_failed` | the token callback threw; `cause` is its error |
 * | `queue_full` | 1,000 publications are waiting |
 * | `closed` | the client was closed before |
 */
export class MegaCometError extends Error {
  declare readonly code: string;
  /** The channels that were refused, where only some were. */
  declare readonly channels?: readonly string[];
  /** When the server will have the client back, in milliseconds. */
  declare readonly afterMs?: number;
  /** False: the server will not have it back. */
  declare readonly reconnect?: boolean;

  constructor(
    code: string,
    message: string,
    more?: { cause?: unknown; channels?: readonly string[]; afterMs?: number | undefined; reconnect?: boolean },
  ) {
    super(message);
    Object.assign(this, { ...more, code });
  }
}
