/** What the process of a drain's clients (herd.ts) and its parent (evacuation.ts) tell each other. */

export type Transport = 'sse' | 'stream' | 'ws' | 'poll';

export interface HerdConfig {
  /** Clients of this process, and the number of its first one among all. */
  clients: number;
  first: number;
  transports: readonly Transport[];
  channels: number;
  /** Port of the server that they begin at, and of the one that takes over. */
  from: number;
  to: number;
  reactor: 'auto' | 'io-uring' | 'epoll';
}

/** Counts over all clients of a process, and what went wrong. */
export interface HerdReport {
  /** They listen at the first server, or at the second. */
  atFirst: number;
  atSecond: number;
  /** By second since the first of them: clients that were told to come back. */
  told: Record<string, number>;
  /** Connections that ended without advice, by why. */
  unadvised: Record<string, number>;
  received: number;
  duplicates: number;
  /** Numbers that a client did not get, although it got a higher one of the channel. */
  lost: number;
  /** The lowest of the last numbers that the clients of a channel have, by channel. */
  lowest: Record<string, number>;
  /** Times between being told and listening again, in ms: the longest. */
  awayMsMax: number;
}

export type ToHerd = { kind: 'open'; config: HerdConfig } | { kind: 'report' };
export type FromHerd = { kind: 'opened' } | { kind: 'report'; report: HerdReport };

/** The channel of a client. */
export function channelOf(client: number, channels: number): string {
  return `drain/${client % channels}`;
}
