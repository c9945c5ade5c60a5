/**
 * Ends the connections of a client, of everybody on a channel, or of a client on a channel, at the word of an administrator. In
 * pieces between turns, as all walks (questions.ts): each ending sends something.
 */

import type { Question } from '../link/questions.js';
import type { Absences } from './absences.js';
import { isOn, membersOf } from './audience.js';
import type { Connections } from './connections.js';
import type { Disconnects } from './disconnects.js';
import type { Identities } from './identities.js';
import type { Walk } from './questions.js';
import type { Subscriptions } from './subscriptions.js';

/** Connections that are ended in one go: some 10 µs each. */
const ENDINGS = 32;
/** Rows that are looked at in one go. */
const ROWS = 512;

export interface DisconnectWalkParts {
  connections: Connections;
  subscribers: Subscriptions;
  waiters: Subscriptions;
  identities: Identities;
  absences: Absences;
  disconnects: Pick<Disconnects, 'disconnect'>;
  /** From 0 to 1. */
  random(): number;
}

/** @returns how many were ended */
export function* disconnectWalk(
  parts: DisconnectWalkParts,
  { client, channel, reason, reconnect, afterMs }: Question<'disconnect'>,
): Walk<{ connections: number }> {
  const { absences, disconnects, random } = parts;
  let ended = 0;
  const found = client === null ? onChannel(parts, channel!) : ofClient(parts, client, channel);
  for (const connection of found) {
    if (connection === null) {
      yield;
      continue;
    }
    const after = afterMs === null ? {} : { afterMs: Math.round(afterMs * (1 + random())) };
    disconnects.disconnect(connection, { code: 'disconnected', reason, reconnect, ...after });
    if (++ended % ENDINGS === 0) yield;
  }
  // They were sent away, and are not waited for.
  if (client !== null) absences.forget(client, channel);
  else absences.forgetChannel(channel!);
  return { connections: ended };
}

/** Connections of a client; null where the walk may be interrupted. Those that end meanwhile move others, downwards. */
function* ofClient(
  { identities, subscribers, waiters }: DisconnectWalkParts,
  client: string,
  channel: string | null,
): Generator<number | null, void, undefined> {
  for (let row = identities.size - 1; row >= 0; row--) {
    if (row % ROWS === 0) yield null;
    if (row >= identities.size) continue;
    const connection = identities.connectionAt(row);
    if (identities.subjectOf(connection) !== client) continue;
    if (channel === null || isOn(subscribers, connection, channel) || isOn(waiters, connection, channel)) {
      yield connection;
    }
  }
}

/** Everybody on a channel, with a token or without. */
function* onChannel(
  { connections, subscribers, waiters }: DisconnectWalkParts,
  channel: string,
): Generator<number | null, void, undefined> {
  for (const table of [subscribers, waiters]) {
    const members = membersOf(table, channel);
    // Of a short list some may have gone, or be somebody else, when their turn comes.
    if (members !== null) {
      for (const connection of members) if (isOn(table, connection, channel)) yield connection;
      continue;
    }
    for (let connection = 0; connection < connections.capacity; connection++) {
      if (connection % ROWS === ROWS - 1) yield null;
      if (isOn(table, connection, channel)) yield connection;
    }
  }
}
