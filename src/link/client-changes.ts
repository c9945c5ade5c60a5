/**
 * What EVENTS carries (frames.ts): clients of a worker that have come and gone, for webhooks. A client is the subject of a token; it
 * may have several connections, each of which comes and goes by itself. Who has no token is nobody in particular, and is not here.
 */

/** A connection of the client has come (1) or gone (-1), and channels that it was on, CHANGE_CHANNELS_MAX at most. */
export type ClientChange = [delta: 1 | -1, client: string, ...channels: string[]];

export interface ClientChanges {
  /**
   * `begin`: what was told before is void, and these are the first of all connections that there are now; `end`: the last of them.
   * One list may be both.
   */
  all?: 'begin' | 'end' | 'whole' | 'more';
  changes: ClientChange[];
}

/** Channels that are named with a change. */
export const CHANGE_CHANNELS_MAX = 32;
