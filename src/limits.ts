/**
 * Every maximum, with the sum that justifies it, and the memory budget of a connection.
 *
 * limits.test.ts holds the tables to the budget: a column added to a table without adding it here fails the test.
 */

/** Name of a channel, or client id of the classic protocol, in bytes of UTF-8 (a length must fit one byte). */
export const CHANNEL_NAME_BYTES_MAX = 128;

/** Channels of one connection. A GET names as many as fit its request line, a WebSocket subscribes to more. */
export const CHANNELS_PER_CONNECTION_MAX = 1024;

/** The epoch of a cursor: URL-safe, chosen by the log. */
export const EPOCH_BYTES_MAX = 32;

/** The `id` that makes publishing idempotent, in bytes of UTF-8 (a length must fit one byte). */
export const PUBLICATION_ID_BYTES_MAX = 128;

/** Data of one publication. */
export const MESSAGE_BYTES_MAX = 1 << 20;
/** Arrays and objects within each other in the data of one publication: most parsers that receive it take as much. */
export const DATA_NESTING_MAX = 1000;

/** Publications in one batch, and the size of an API request: a batch of small ones or a few large. */
export const BATCH_PUBLICATIONS_MAX = 10_000;
export const API_BODY_BYTES_MAX = 8 << 20;

/** Publications of one page that is read from the log, however small they are: holds the manager up for some 10 ms. */
export const PAGE_PUBLICATIONS_MAX = 10_000;

/** A frame on the link: a publication as JSON text with its name, and some room. */
export const LINK_FRAME_BYTES_MAX = MESSAGE_BYTES_MAX + 4096;

// HTTP/1.1 request heads. RFC 9112 section 3 asks for request lines of at least 8,000 bytes.
export const REQUEST_LINE_BYTES_MAX = 8192;
export const HEADER_LINE_BYTES_MAX = 8192;
export const HEADER_COUNT_MAX = 100;
export const REQUEST_HEAD_BYTES_MAX = 16384;

// Bodies of requests on the client port: one publication, or several small ones, as JSON.
export const CLIENT_BODY_BYTES_MAX = MESSAGE_BYTES_MAX + 4096;
/** Bodies of one worker that have not come whole, together. */
export const PARTIAL_BODIES_BYTES_MAX = 64 << 20;
/** A line of the chunked coding: a size of eight digits and an extension that nobody reads. */
export const CHUNK_LINE_BYTES_MAX = 256;
/** Extensions, and trailer fields, of one request: nobody needs any, and each costs its time (RFC 9112 section 7.1.1). */
export const CHUNK_EXTENSIONS_BYTES_MAX = 4096;
export const TRAILER_BYTES_MAX = 4096;

/** A client's mark on a message of a WebSocket, which its answer repeats, in UTF-16 units. */
export const REF_LENGTH_MAX = 64;

/** How long a poll is held, in seconds: unless it says otherwise, and at most. */
export const POLL_TIMEOUT_S = 25;
export const POLL_TIMEOUT_S_MAX = 300;

/** Name of a JSONP function. */
export const CALLBACK_BYTES_MAX = 120;

/** Half-read request heads of one worker together: a slow-header attack cannot take more than this. */
export const PARTIAL_HEADS_BYTES_MAX = 16 << 20;

/** What a client may send while its request waits for an answer, before it is cut off. */
export const EXCESS_BYTES_MAX = REQUEST_HEAD_BYTES_MAX;

/** Answers on a persistent connection that its client has not read when it is sent another, before it is cut off. */
export const UNREAD_ANSWERS_BYTES_MAX = 16384;

export const REQUEST_HEAD_TIMEOUT_MS = 10_000;
/** How long the body of a request may take, from its head on. */
export const REQUEST_BODY_TIMEOUT_MS = 30_000;
export const KEEP_ALIVE_IDLE_MS = 30_000;
/** How long a refused client may go on sending before the connection is cut (RFC 9112 section 9.6). */
export const LINGER_MS = 2_000;
/** How long a client may take to read a message that did not fit its socket buffer; it may go on while it takes some. */
export const SEND_TIMEOUT_MS = 30_000;
export const SEND_PROGRESS_BYTES_MIN = 4096;
export const SEND_TIMEOUTS_MAX = 4;
/** Send buffers of one worker; above it, clients that do not read are cut off. */
export const SEND_BYTES_MAX = 128 << 20;
/** What a subscriber that does not read may leave in this process, not counting the message that it is sent now. */
export const SLOW_CONSUMER_BYTES_MAX = 1 << 20;
/** Streams hear from the server this often, so that proxies with a time-out of a minute keep them. */
export const HEARTBEAT_MS = 45_000;
/** What a connection is sent at one time when it is caught up with; the next part follows when it has read that. */
export const CATCH_UP_BYTES = 64 << 10;
/** Messages in one answer of a long-poll, about; the rest is for the next one. */
export const POLL_ANSWER_BYTES = 1 << 20;
/** Subscriptions of a worker beyond the first of each connection. */
export const EXTRA_SUBSCRIPTIONS_MAX = 1 << 21;

// What clients send.
/** A WebSocket's message: a publication as JSON. */
export const CLIENT_MESSAGE_BYTES_MAX = CLIENT_BODY_BYTES_MAX;
/** WebSocket messages of one worker that have not come whole, together. */
export const PARTIAL_MESSAGES_BYTES_MAX = 64 << 20;
/** --test-echo: as large as conformance suites send. */
export const ECHO_BYTES_MAX = 16 << 20;
/** Requests of one WebSocket to subscribe that have no answer yet: one for each channel that it may have. */
export const SUBSCRIBES_PENDING_MAX = CHANNELS_PER_CONNECTION_MAX;
/** Requests of one connection to publish that have no answer yet. */
export const PUBLISHES_PENDING_MAX = 1000;

// Tokens of clients.
/** A JSON Web Token: as much as fits a request line beside the channels, or a field of a head beside others. */
export const TOKEN_BYTES_MAX = 4096;
/** Keys that verify tokens; and keys that are tried on one token which does not say whose it is. */
export const TOKEN_KEYS_MAX = 64;
export const TOKEN_KEYS_TRIED_MAX = 4;
/** A file of keys, or what an address answers. */
export const TOKEN_KEYS_BYTES_MAX = 256 << 10;
/** A secret for HS256 has as many bits as its hash (RFC 7518 section 3.2). */
export const TOKEN_SECRET_BYTES_MIN = 32;
/** RFC 7518 section 3.3. */
export const TOKEN_RSA_BITS_MIN = 2048;
/** Tokens whose verdict a worker remembers, good and bad ones apart, so that bad ones push out no good one. */
export const TOKENS_KNOWN_MAX = 8192;
export const TOKENS_REFUSED_MAX = 1024;
/** Verifications under way at one time: enough for Node's thread through a turn of 20 ms. More wait in order. */
export const VERIFICATIONS_AT_ONCE = 256;
/** Tokens that wait for their verification. */
export const VERIFICATIONS_WAITING_MAX = 16_384;
/** … of which so many at most wait for keys that may come: strangers can make up names of keys, and others have known ones. */
export const TOKENS_KEYLESS_MAX = VERIFICATIONS_WAITING_MAX / 2;
/** Requests of one worker that wait for a verdict, as they came, together. */
export const VERIFYING_BYTES_MAX = 64 << 20;
/** How long a request waits for a verdict: new keys may have to be fetched meanwhile. */
export const VERIFY_TIMEOUT_MS = 10_000;
/** How often a worker asks for new keys at most. */
export const KEY_UNKNOWN_MS = 2_000;
/** What a worker keeps of each client that came with a token, on average: cells of 16 bytes for its subject and its rights. */
export const IDENTITY_CELLS = 16;
/** All tokens are looked at once in this time: one that has expired ends its connection within twice this. */
export const EXPIRY_ROUND_MS = 500;
/** Connections that one sweep ends for that: 25,000 a second of a worker. */
export const EXPIRIES_PER_SWEEP_MAX = 5000;

/** How long clients that read slowly may delay the verdict on a message that others already have: once to twice this. */
export const SWEEP_MS = 200;

// A dead peer is found by TCP keep-alive: after 5 minutes of silence, 5 probes 60 s apart. The options are set on the
// listening socket and inherited, so they cost no system call for each connection (tcp(7)).
export const TCP_KEEPALIVE_IDLE_S = 300;
export const TCP_KEEPALIVE_INTERVAL_S = 60;
export const TCP_KEEPALIVE_PROBES = 5;

/** The longest wait of a worker's turn, and so the longest that Node's own events wait; signals end it. */
export const TURN_WAIT_MS = 1000;
/** … while some connection has a timer, or the worker is about to end. */
export const TURN_WAIT_TIMED_MS = 250;

/** How often a worker without a manager looks for one. */
export const LINK_RETRY_MS = 200;
/** A worker reports to its manager in batches: not oftener than this, unless somebody waits for it or there is much. */
export const LINK_BATCH_MS = 10;
export const LINK_BATCH_BYTES = 32 << 10;
/** … or a pause comes with so much: some hundred clients. The figures of a worker are less. */
export const LINK_MUCH_BYTES = 1024;
/** What a worker keeps for a manager that does not read: about a million changes of 20 bytes, with room. */
export const LINK_PENDING_BYTES_MAX = 64 << 20;
/** How long a stopping worker may take to finish what it is sending. */
export const STOP_MS = 1_000;

/** A drain: what a server uses unless it is told, and the longest, in seconds. */
export const DRAIN_SECONDS = 30;
export const DRAIN_SECONDS_MAX = 24 * 3600;
/** What a client may take to finish a request that it has begun, beyond the time of the drain. */
export const DRAIN_GRACE_MS = 5000;
/** A client that is back within so long was never gone, unless the operator says otherwise: a poll comes back within a second or two. */
export const PRESENCE_GRACE_SECONDS = 10;

/** Clients that come and go in a worker between two reports (webhooks); of more it reports all that it has. */
export const CLIENT_CHANGES_MAX = 1 << 16;
/** Events that wait for the receiver of webhooks: some 300 bytes each. Of more the oldest are dropped, and it is told how many. */
export const WEBHOOK_EVENTS_MAX = 100_000;
/** Events in one request, and how long the first of them waits for others. */
export const WEBHOOK_BATCH_EVENTS = 500;
export const WEBHOOK_BATCH_MS = 1000;
/** What the receiver may take for an answer. */
export const WEBHOOK_TIMEOUT_MS = 10_000;
/** Between two attempts: about the first, doubled up to the second. */
export const WEBHOOK_RETRY_MS = 1000;
export const WEBHOOK_RETRY_MS_MAX = 60_000;

// Publications that a worker keeps for clients that catch up, each counted with what it costs beside its data.
/** Of one channel: several pages of the manager's, so that readers at different places share them. */
export const HISTORY_CHANNEL_BYTES_MAX = 4 << 20;
/** Live ones of a channel, kept until the manager has answered what was asked. */
export const HISTORY_ASIDE_BYTES_MAX = 1 << 20;
/** Of all channels of a worker. */
export const HISTORIES_BYTES_MAX = 32 << 20;
/** How long a history is kept that nobody uses, at least. */
export const HISTORY_IDLE_MS = 30_000;
/** An object, a Buffer, a place in an array. */
export const CACHED_PUBLICATION_OVERHEAD_BYTES = 250;
/** The history of a channel without publications: objects and entries of maps. */
export const HISTORY_OVERHEAD_BYTES = 500;

export const WORKERS_MAX = 250;
/** Descriptors of a process that are not clients: Node's own, the link, listeners, the reactor's. */
export const RESERVED_DESCRIPTORS = 64;

// Defaults of retention: what the log keeps of each channel (the original: one minute), and of all together.
export const RETAIN_SECONDS = 60;
export const RETAIN_MESSAGES = 100;
export const RETAIN_BYTES = 1 << 20;
export const RETAIN_TOTAL_BYTES = 256 << 20;

/**
 * Memory of one idle long-poll, bytes in user space, by column; `limits.test.ts` measures each and fails when one has
 * grown. The hash table has 1.5 to 3 entries for each connection, by the power of two above.
 */
export const CONNECTION_BYTES = {
  /** src/reactor/epoll.ts: state u8, generation u16. */
  reactor: 3,
  /** src/reactor/timer-wheel.ts: who waits for a message has no timer. */
  timer: 0,
  /** src/worker/connections.ts: phase, flags, excess u8; hand-out, callback i32. */
  row: 11,
  /** src/worker/subscriptions.ts: six columns of i32; a seventh is touched only by connections with a second channel. */
  subscription: 24,
  /** src/worker/subscriptions.ts: the hash table, two entries of i32. */
  table: 8,
  /** src/worker/byte-cells.ts: a name of up to 11 bytes. */
  name: 16,
};

/** Memory of a client's address, where addresses are looked at: its connection's i32, eight columns, and two entries of a hash table. */
export const ADDRESS_BYTES = 4 + 29 + 8;
/** Addresses of which a worker remembers failures when nobody is there from them any more. */
export const REMEMBERED_ADDRESSES_MAX = 1 << 16;
/** Wrong tokens of one address, each of which counts half after 30 s, at which no more of its tokens are verified. */
export const FAILED_TOKENS_MAX = 20;
/** Clients that one worker refuses with an answer in a second; of more, connections are just reset. */
export const REFUSALS_PER_SECOND = 1000;

/** What an idle client may cost in user space. The C original took 272 bytes, uWebSockets takes 377. */
export const CONNECTION_BYTES_MAX = 64;

/**
 * Memory of each further subscription of a connection, in the same way (worker/subscription-memory.test.ts). On a channel that
 * exists it is the row alone, on one of its own all of it.
 */
export const SUBSCRIPTION_BYTES = {
  /** src/worker/subscriptions.ts: five columns of i32. */
  row: 20,
  /** src/worker/subscriptions.ts: three columns of i32. */
  channel: 12,
  table: 8,
  name: 16,
};

/** Memory of a connection that came with a token, in the same way (worker/identities.test.ts); one that did not has none. */
export const IDENTITY_BYTES = {
  /** src/worker/identities.ts: place i32, by connection. */
  place: 4,
  /** src/worker/identities.ts: connection, text i32, expiry f64, two lengths u16; up to twice that, since rows grow by doubling. */
  row: 20,
  /** src/worker/long-texts.ts: a subject and rights of up to 71 bytes together. */
  text: 96,
};

// The log.
/**
 * Channels without anything retained of which the log knows exactly what they lost: at 24 to 64 bytes each, 64 MiB at most.
 * Where more channels have lost all, a client that was away longer than the latest half of these marks may be told of a gap on
 * a quiet channel that had none.
 */
export const GAP_MARKS_MAX = 1 << 20;
/** Publications that one `expire` drops: some 10 ms. An append also drops what is too old, twice what it adds. */
export const EXPIRE_PUBLICATIONS_MAX = 20_000;
