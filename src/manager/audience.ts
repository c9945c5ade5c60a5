/**
 * Who is on which channel, of all workers together: their answers merged, page by page. What a worker cannot answer in time is left
 * out, and the answer says that it is not complete.
 */

import type { Answer, ChannelOccupancy, Occupancy, Op, Question } from '../link/questions.js';
import type { LinkServer } from './link-server.js';

/** Walks over a million connections take a worker some tenths of a second, beside its clients. */
const TIMEOUT_MS = 5_000;

/** True where a worker did not answer: what it has is missing. */
interface MaybeIncomplete {
  incomplete: boolean;
}

export interface ChannelList extends MaybeIncomplete {
  channels: ChannelOccupancy[];
  /** Where the next page begins; null: this is the last one. */
  next: string | null;
}

export interface Presence extends MaybeIncomplete {
  clients: { client: string; connections: number }[];
  /** As of {@link ChannelList}. */
  next: string | null;
  connections: number;
}

export class Audience {
  readonly #server: Pick<LinkServer, 'askAll'>;

  constructor(server: Pick<LinkServer, 'askAll'>) {
    this.#server = server;
  }

  /** How many connections are on a channel. */
  async occupancy(channel: string): Promise<Occupancy & MaybeIncomplete> {
    const { answers, incomplete } = await this.#ask('occupancy', { channel });
    return { subscribers: sum(answers, 'subscribers'), waiting: sum(answers, 'waiting'), incomplete };
  }

  /** The first channels, by name, that somebody is on. */
  async channels(question: Question<'channels'>): Promise<ChannelList> {
    const { answers, incomplete } = await this.#ask('channels', question);
    const all = new Map<string, ChannelOccupancy>();
    for (const { channel, subscribers, waiting } of answers.flatMap(({ channels }) => channels)) {
      const others = all.get(channel) ?? { channel, subscribers: 0, waiting: 0 };
      all.set(channel, {
        channel,
        subscribers: others.subscribers + subscribers,
        waiting: others.waiting + waiting,
      });
    }
    const { names, next } = firstOf(all.keys(), question.limit, answers);
    const channels = names.map((name) => all.get(name)!);
    // Those that everybody has left while they were counted.
    return { channels: channels.filter((each) => each.subscribers + each.waiting > 0), next, incomplete };
  }

  /** The first clients, by name, that are on a channel. */
  async presence(question: Question<'presence'>): Promise<Presence> {
    const { answers, incomplete } = await this.#ask('presence', question);
    const all = new Map<string, number>();
    for (const { client, connections } of answers.flatMap(({ clients }) => clients)) {
      all.set(client, (all.get(client) ?? 0) + connections);
    }
    const { names, next } = firstOf(all.keys(), question.limit, answers);
    const clients = names.map((client) => ({ client, connections: all.get(client)! }));
    return { clients, next, connections: sum(answers, 'connections'), incomplete };
  }

  /** Ends connections. @returns how many */
  async disconnect(question: Question<'disconnect'>): Promise<{ connections: number } & MaybeIncomplete> {
    const { answers, incomplete } = await this.#ask('disconnect', question);
    return { connections: sum(answers, 'connections'), incomplete };
  }

  async #ask<O extends Op>(op: O, question: Question<O>): Promise<{ answers: Answer<O>[]; incomplete: boolean }> {
    const { answers, missing } = await this.#server.askAll(op, question, TIMEOUT_MS);
    return { answers: answers.map(({ answer }) => answer), incomplete: missing.length > 0 };
  }
}

/**
 * The first names of all pages together. A page that goes on has `limit` names itself, so the first `limit` of all of them are not
 * behind its end.
 */
function firstOf(
  all: Iterable<string>,
  limit: number,
  pages: readonly { more: boolean }[],
): { names: string[]; next: string | null } {
  const sorted = [...all].sort();
  const more = sorted.length > limit || pages.some((page) => page.more);
  const names = sorted.slice(0, limit);
  return { names, next: more ? (names.at(-1) ?? null) : null };
}

function sum<K extends string>(answers: readonly Record<K, number>[], figure: K): number {
  return answers.reduce((total, answer) => total + answer[figure], 0);
}
