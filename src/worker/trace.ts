/**
 * What became of one publication in this worker, and why a given client did or did not get it here: the answer is put together from
 * what was noted at the time (deliveries.ts, trail.ts) and from where the client stands now.
 */

import type { Outcome, Question, Visit, WorkerTrace } from '../link/questions.js';
import { DELIVERIES, type Deliveries, type Delivery } from './deliveries.js';
import type { Asked, Left, Trail } from './trail.js';

/** The latest visits of a client that are told. */
const VISITS_MAX = 20;

export interface TraceParts {
  deliveries: Deliveries;
  trail: Trail;
  /** The worker has seen everything up to here. */
  position(): number;
  /** Up to which sequence a connection that is here was sent everything. */
  reached(connection: number): number;
  /** Bytes that wait in this process until its client reads. */
  unreadBytes(connection: number): number;
}

/** One stay of a connection: what it asked for, and its end. */
interface Stay {
  connection: number;
  asked: Asked[];
  /** Channels that it left early, and the position at that. */
  dropped: Map<string, number>;
  left: Left | null;
}

export function trace(parts: TraceParts, { sequence, channel, client }: Question<'trace'>): WorkerTrace {
  const delivery = parts.deliveries.find(sequence);
  const visits =
    client === null ? [] : staysOf(parts.trail, client).map((stay) => judge(parts, stay, channel, sequence, delivery));
  return {
    position: parts.position(),
    delivery,
    sinceMs: parts.trail.sinceMs,
    visits: visits.filter((visit) => visit !== null).slice(-VISITS_MAX),
  };
}

function staysOf(trail: Trail, client: string): Stay[] {
  const stays: Stay[] = [];
  const open = new Map<number, Stay>();
  for (const entry of trail.of(client)) {
    let stay = open.get(entry.connection);
    if (stay === undefined) {
      stay = { connection: entry.connection, asked: [], dropped: new Map(), left: null };
      stays.push(stay);
      open.set(entry.connection, stay);
    }
    if (entry.kind === 'asked') stay.asked.push(entry);
    else if (entry.kind === 'dropped') stay.dropped.set(entry.channel, entry.position);
    else {
      stay.left = entry;
      open.delete(entry.connection);
    }
  }
  return stays;
}

/** What a stay has to do with the publication; null: nothing, it was at another time. */
function judge(
  parts: TraceParts,
  { connection, asked, dropped, left }: Stay,
  channel: string,
  sequence: number,
  delivery: Delivery | null,
): Visit | null {
  const began = asked[0] ?? left!;
  const group = asked.findLast(({ channels, count }) => channels.includes(channel) || count > channels.length);
  const reached = left === null ? parts.reached(connection) : left.reached;
  const visit = (outcome: Outcome, rest: Partial<Visit> = {}): Visit => ({
    outcome,
    sinceMs: (group ?? began).atMs,
    ...(left !== null && { leftMs: left.atMs, reason: left.reason }),
    ...rest,
  });
  if (group === undefined) {
    const wasThere = began.position < sequence && (left === null || left.position >= sequence);
    return wasThere ? visit('not_subscribed') : null;
  }
  if (group.after === null) {
    // A worker that is a little behind moves past what it has nobody for: what comes by no fan-out was published before.
    const isRemembered = sequence > parts.position() - DELIVERIES;
    const isLater = delivery === null ? isRemembered : delivery.atMs < group.atMs;
    if (group.position >= sequence || (isLater && reached >= sequence)) return visit('asked_for_later');
  } else if (group.after >= sequence) {
    return visit('had_it');
  }
  const droppedAt = dropped.get(channel);
  if (droppedAt !== undefined && droppedAt < sequence) return visit('not_subscribed');
  if (reached < sequence) {
    if (left !== null) return left.position >= sequence ? visit('left_while_catching_up') : null;
    return visit(parts.position() < sequence ? 'on_its_way' : 'catching_up');
  }
  const unreadBytes = left === null ? parts.unreadBytes(connection) : 0;
  const isLive = group.position < sequence && delivery !== null;
  return visit('sent', {
    ...(isLive && { sentMs: delivery.atMs }),
    ...(unreadBytes > 0 && { unreadBytes }),
  });
}
