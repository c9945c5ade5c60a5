/** The library's times and numbers. In a file of their own, without imports: only so does the bundler write them in place. */

/** A random time up to this passes before the client connects again; doubled with each failure… */
export const BACKOFF_FIRST_MS = 10_000;
/** …up to this. */
export const BACKOFF_MAX_MS = 60_000;
/** Within this time a transport must have shown that it works. */
export const OPEN_MS = 10_000;
/**
 * Silence after which a connection by HTTP is dead: streams have a heartbeat every 45 s at least, polls are held for 25 s. And
 * after which a WebSocket, whose heartbeats no script sees, is asked whether it lives.
 */
export const SILENCE_MS = 60_000;
/** Within which a ping is answered. */
export const PONG_MS = 10_000;
/** A timer that is so late has slept, with the machine or with the page. */
export const LATE_MS = 15_000;
/** How long a poll is held, in seconds. */
export const POLL_S = 25;
/** After which better transports than the one that works are tried again; doubled each time… */
export const BETTER_MS = 300_000;
/** …up to this. */
export const BETTER_MAX_MS = 3_600_000;
/** After which a connection that outlives the time for another token tries again to get it. */
export const TOKEN_RETRY_MS = 30_000;
/** Messages that may wait for an iterator. */
export const QUEUE_MAX = 1_000;
/** Publications that may wait for their answers. */
export const PUBLICATIONS_MAX = 1_000;
/** Close codes of the server. The message that went before says more, unless it was lost. */
export const CLOSE_TOKEN_EXPIRED = 4401;
export const CLOSE_FORBIDDEN = 4403;
