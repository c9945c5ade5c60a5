/**
 * Reports clients that come and go to the manager, for its webhooks: those that came with a token (identities.ts). Off unless the
 * policy asks for it.
 *
 * Changes are collected and sent a few times a second. A manager that is new, or whose link fell behind, is told of all connections
 * that there are, and goes on from there.
 */

import { CLIENT_CHANGES_MAX, LINK_FRAME_BYTES_MAX } from '../limits.js';
import { CHANGE_CHANNELS_MAX, type ClientChange, type ClientChanges } from '../link/client-changes.js';
import type { Identities, IdentityEvents } from './identities.js';
import type { Subscriptions } from './subscriptions.js';

export interface ChangeReports {
  /** There is a manager to tell. */
  readonly established: boolean;
  clientChanges(changes: ClientChanges): void;
}

/** A list of changes is sent in parts, about this large. */
const PART_BYTES = LINK_FRAME_BYTES_MAX / 4;

export class ClientReports implements IdentityEvents {
  readonly #tables: readonly Subscriptions[];
  readonly #identities: Identities;
  readonly #reports: ChangeReports;
  #on = false;
  #changes: ClientChange[] = [];
  /** Connections that have come since the last report: they get their channels when it is made. */
  readonly #newcomers = new Map<number, ClientChange>();
  /** More has changed than is collected, or nobody was there to tell: the next report is of all. */
  #lost = false;

  constructor(parts: {
    subscribers: Subscriptions;
    waiters: Subscriptions;
    identities: Identities;
    reports: ChangeReports;
  }) {
    this.#tables = [parts.subscribers, parts.waiters];
    this.#identities = parts.identities;
    this.#reports = parts.reports;
    parts.identities.listen(this);
  }

  /** Whether somebody wants to know. */
  set on(on: boolean) {
    if (on && !this.#on) this.#lost = true;
    this.#on = on;
    if (!on) this.#forget();
  }

  began(connection: number, client: string): void {
    if (!this.#on || this.#lost) return;
    const change: ClientChange = [1, client];
    this.#newcomers.set(connection, change);
    this.#add(change);
  }

  ended(connection: number, client: string): void {
    if (!this.#on || this.#lost) return;
    const channels = this.#channelsOf(connection);
    this.#newcomers.get(connection)?.push(...channels);
    this.#newcomers.delete(connection);
    this.#add([-1, client, ...channels]);
  }

  /** A manager is there that knows nothing yet. */
  managerFound(): void {
    this.#lost = true;
  }

  /** Called a few times a second. */
  flush(): void {
    if (!this.#on || !this.#reports.established) return;
    if (this.#lost) {
      this.#forget();
      this.#lost = false;
      this.#sendAll();
    } else if (this.#changes.length > 0) {
      for (const [connection, change] of this.#newcomers) change.push(...this.#channelsOf(connection));
      const changes = this.#changes;
      this.#forget();
      for (const part of partsOf(changes)) this.#reports.clientChanges({ changes: part });
    }
  }

  #add(change: ClientChange): void {
    this.#changes.push(change);
    if (this.#changes.length <= CLIENT_CHANGES_MAX) return;
    this.#lost = true;
    this.#forget();
  }

  #forget(): void {
    this.#changes = [];
    this.#newcomers.clear();
  }

  /** Of a million clients it takes a second or two: it happens when a manager comes back. */
  #sendAll(): void {
    const changes: ClientChange[] = [];
    for (let row = 0; row < this.#identities.size; row++) {
      const connection = this.#identities.connectionAt(row);
      const client = this.#identities.subjectOf(connection);
      if (client !== null) changes.push([1, client, ...this.#channelsOf(connection)]);
    }
    const parts = partsOf(changes);
    for (const [i, part] of parts.entries()) {
      const isLast = i === parts.length - 1;
      const all = i === 0 ? (isLast ? 'whole' : 'begin') : isLast ? 'end' : 'more';
      this.#reports.clientChanges({ all, changes: part });
    }
  }

  #channelsOf(connection: number): string[] {
    const channels: string[] = [];
    for (const table of this.#tables) {
      for (const channel of table.channelsOf(connection)) {
        if (channels.length === CHANGE_CHANNELS_MAX) return channels;
        channels.push(channel);
      }
    }
    return channels;
  }
}

/** Cuts a list so that no part is too large for a frame; one part at least. */
function partsOf(changes: readonly ClientChange[]): ClientChange[][] {
  const parts: ClientChange[][] = [[]];
  let bytes = 0;
  for (const change of changes) {
    // JSON may take six bytes for a character.
    for (const text of change.slice(1) as string[]) bytes += 6 * text.length + 3;
    if (bytes > PART_BYTES && parts.at(-1)!.length > 0) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(change);
  }
  return parts;
}
