/**
 * Where the client stands: on which channels, and up to which cursor it has them. docs/protocol.md ("Channels and cursors",
 * and how to resume at the end of each transport) has the rules; this file has nothing else.
 *
 * On a connection the channels that have caught up are live: one cursor moves for all of them. The others have their own, or
 * share it with those that were added or were live with them, until the server says that they are live too.
 */

import type { Gap, Message } from './types.js';

interface Group {
  /** A cursor, `now` or `start`. */
  at: string;
}

export interface Positions {
  channels(): string[];
  /** There are channels, and all are live. */
  isLive(): boolean;
  /**
   * Where all channels can go on from together: what is ahead of it on some of them is known by its cursor and dropped.
   * Undefined where there is no such place, and when there are no channels.
   */
  cursor(): string | undefined;
  /** @returns the channels that are new */
  add(channels: readonly string[], at: string): string[];
  /** @returns the channels that were there */
  remove(channels: readonly string[]): string[];
  /** A connection begins, on which nothing is live. @returns the channels by where they stand */
  begin(): Map<string, string[]>;
  /** Takes a message. @returns whether it is news */
  message(message: Message): boolean;
  /** Takes a gap. @returns whether it is news */
  gap(gap: Gap): boolean;
  /** These channels have everything up to the cursor, but what comes later has to be asked for. */
  reached(cursor: string, channels: readonly string[]): void;
  /** These channels have everything up to the cursor and are live. */
  live(cursor: string, channels: readonly string[]): void;
}

/** By how many sequences a is ahead of b; NaN where they cannot be compared: of two epochs, or no cursors. */
export function distance(a: string, b: string): number {
  const [epoch, sequence] = a.split('-');
  const [otherEpoch, otherSequence] = b.split('-');
  return epoch === otherEpoch ? +sequence! - +otherSequence! : NaN;
}

export function makePositions(): Positions {
  const groups = new Map<string, Group>();
  let live: Group | undefined;
  /** How far the gaps reach that were told, by channel. */
  const lostTo = new Map<string, string>();

  const isLive = () => groups.size > 0 && [...groups.values()].every((group) => group === live);

  const add = (channels: readonly string[], at: string) => {
    const group = { at };
    const added = [...new Set(channels)].filter((channel) => !groups.has(channel));
    for (const channel of added) groups.set(channel, group);
    return added;
  };

  const remove = (channels: readonly string[]) => channels.filter((channel) => groups.delete(channel));

  return {
    channels: () => [...groups.keys()],
    isLive,
    cursor() {
      const places = [...new Set([...groups.values()].map(({ at }) => at))];
      return places.find((place) => places.every((other) => place === other || distance(other, place) > 0));
    },
    add,
    remove,
    begin() {
      const places = new Map<string, string[]>();
      for (const [channel, { at }] of groups) places.set(at, [...(places.get(at) ?? []), channel]);
      live = undefined;
      return places;
    },
    message({ channel, cursor }) {
      const group = groups.get(channel);
      if (!group || distance(cursor, group.at) <= 0) return false;
      group.at = cursor;
      return true;
    },
    gap({ channel, cursor, lost }) {
      if (channel === undefined) {
        // Another epoch, or a log that ends before what the client has: its cursors mean nothing any more. While some channels
        // catch up it is about these, unless the live ones are of another epoch too.
        const kept = isLive() ? undefined : live;
        for (const group of groups.values()) {
          const ahead = distance(cursor, group.at);
          if (!(ahead >= 0 || (ahead < 0 && group === kept))) group.at = cursor;
        }
        lostTo.clear();
        return true;
      }
      const group = groups.get(channel);
      if (!group) return false;
      const isOld = [group.at, lostTo.get(channel)].some((known) => known && distance(lost!, known) <= 0);
      if (!(distance(cursor, group.at) <= 0)) group.at = cursor;
      if (!isOld) lostTo.set(channel, lost!);
      return !isOld;
    },
    reached(cursor, channels) {
      remove(channels);
      add(channels, cursor);
    },
    live(cursor, channels) {
      const now = (live ??= { at: cursor });
      for (const channel of channels) {
        const group = groups.get(channel);
        if (!group) continue;
        for (const at of [cursor, group.at]) if (distance(at, now.at) > 0) now.at = at;
        groups.set(channel, now);
      }
    },
  };
}
