/**
 * Histories between a model of the manager and a model of a worker, under random interleavings of everything that the link
 * allows: answers that were read before and after live publications, a link that falls behind or ends, retention that drops
 * what is being asked for, readers that are slow, leave, and return with their cursors.
 *
 * Each reader must end with every publication of its channels, once and in order, or with a gap where one was dropped.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KIND_TEXT } from '../link/frames.js';
import { Histories } from './histories.js';
import { type CachedPublication, Gap } from './history.js';
import { ADDED_FIRST, NONE, Subscriptions } from './subscriptions.js';

const CHANNELS = ['a', 'b', 'c', 'd'];
const READERS = 6;

/** Numbers from 0 to `below`, the same ones for the same seed (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

interface LogItem {
  sequence: number;
  channel: string;
}

interface LogPage {
  publications: LogItem[];
  upTo: number;
  gaps: LogItem[];
}

/** Keeps the last few of each channel. */
class ModelLog {
  last = 0;
  readonly all: LogItem[] = [];
  readonly retained = new Map<string, LogItem[]>(CHANNELS.map((name) => [name, []]));
  readonly dropped = new Map<string, number>(CHANNELS.map((name) => [name, 0]));
  readonly #keep: number;

  constructor(keep: number) {
    this.#keep = keep;
  }

  append(channel: string): number {
    const item = { sequence: ++this.last, channel };
    this.all.push(item);
    const retained = this.retained.get(channel)!;
    retained.push(item);
    if (retained.length > this.#keep) this.dropped.set(channel, retained.shift()!.sequence);
    return this.last;
  }

  read(channels: string[], after: number, count: number): LogPage {
    const found = channels.flatMap((name) => this.retained.get(name)!).filter((item) => item.sequence > after);
    found.sort((a, b) => a.sequence - b.sequence);
    const upTo = found.length > count ? found[count - 1].sequence : this.last;
    const gaps = channels.map((channel) => ({ channel, sequence: this.dropped.get(channel)! }));
    return {
      publications: found.slice(0, count),
      upTo,
      gaps: gaps.filter(({ sequence }) => sequence > after),
    };
  }
}

type ToManager =
  | { type: 'hello'; position: number; channels: string[] }
  | { type: 'subscribed'; channel: string }
  | { type: 'unsubscribed'; channel: string }
  | { type: 'read'; request: number; channel: string; after: number };
type ToWorker =
  | { type: 'fanOut'; channel: string; sequence: number }
  | { type: 'gap'; channel: string; sequence: number }
  | { type: 'position'; sequence: number }
  | { type: 'history'; request: number; upTo: number; gap: number; more: boolean; sequences: number[] };

/** The manager's end of the link (frames.ts). */
class ModelManager {
  readonly log: ModelLog;
  readonly out: ToWorker[] = [];
  readonly #random: (below: number) => number;
  readonly #index = new Set<string>();
  #linked = true;
  #behind: { after: number; channels: Set<string> } | null = null;
  #reads: { request: number; channel: string; after: number; page: LogPage | null }[] = [];

  constructor(log: ModelLog, random: (below: number) => number) {
    this.log = log;
    this.#random = random;
  }

  receive(frame: ToManager): void {
    if (frame.type === 'read') {
      this.#reads.push({ ...frame, page: null });
    } else if (frame.type === 'subscribed') {
      this.#index.add(frame.channel);
    } else if (frame.type === 'unsubscribed') {
      this.#index.delete(frame.channel);
    } else {
      this.#linked = true;
      for (const channel of frame.channels) this.#index.add(channel);
      this.#behind = { after: frame.position, channels: new Set(frame.channels) };
    }
  }

  publish(channel: string): void {
    const sequence = this.log.append(channel);
    if (!this.#index.has(channel)) return;
    if (this.#behind === null) this.out.push({ type: 'fanOut', channel, sequence });
    else this.#behind.channels.add(channel);
  }

  /** One of the things that it may do now. */
  step(): void {
    const choice = this.#random(3);
    if (choice === 0) this.#catchUp();
    else if (choice === 1) this.#read();
    else if (this.#linked && this.#behind === null) this.out.push({ type: 'position', sequence: this.log.last });
  }

  fallBehind(): void {
    if (this.#linked) this.#behind ??= { after: this.log.last, channels: new Set() };
  }

  linkLost(): void {
    this.#linked = false;
    this.out.length = 0;
    this.#index.clear();
    this.#reads = [];
    this.#behind = null;
  }

  #catchUp(): void {
    const behind = this.#behind;
    if (behind === null) return;
    const channels = [...behind.channels].filter((channel) => this.#index.has(channel));
    const page = this.log.read(channels, behind.after, 1 + this.#random(3));
    const gaps = page.gaps.map((gap) => ({ type: 'gap' as const, ...gap }));
    const fanOuts = page.publications.map((publication) => ({ type: 'fanOut' as const, ...publication }));
    this.out.push(...gaps, ...fanOuts);
    behind.after = page.upTo;
    if (page.upTo === this.log.last) this.#behind = null;
  }

  /** Reads for one that is asked for, or sends what was read for one; both some time after the other things. */
  #read(): void {
    if (this.#reads.length === 0) return;
    const at = this.#random(this.#reads.length);
    const { request, channel, after, page } = this.#reads[at];
    if (page === null) {
      this.#reads[at].page = this.log.read([channel], after, 1 + this.#random(3));
      return;
    }
    this.#reads.splice(at, 1);
    const sequences = page.publications.map(({ sequence }) => sequence);
    const gap = page.gaps[0]?.sequence ?? 0;
    // `more` by what is known when it is sent would be wrong where live ones came since: by what was read.
    const more = sequences.length > 0 && page.upTo === sequences.at(-1) && this.log.last > page.upTo;
    this.out.push({ type: 'history', request, upTo: page.upTo, gap, more, sequences });
  }
}

/** A publication, or what is lost up to a sequence; `after` is where the reader was, or is with a gap. */
interface Item {
  channel: string;
  sequence: number;
  isGap: boolean;
  after: number;
}

interface Reader {
  number: number;
  channels: string[];
  connected: boolean;
  live: boolean;
  /** Where it is, unless it is live: then it is where the worker is. */
  position: number;
  got: Item[];
}

class ModelWorker {
  readonly histories: Histories;
  readonly readers: Reader[];
  out: ToManager[] = [];
  position = 0;
  readonly #random: (below: number) => number;
  readonly #subscriptions = new Subscriptions(READERS, READERS * CHANNELS.length, [1, 2]);

  constructor(random: (below: number) => number) {
    this.#random = random;
    // At the least there is room for what nobody can do without: each channel with a gap, and one publication.
    this.histories = new Histories([CHANNELS.length * 750 + 250, 6000, 1e6][random(3)]);
    this.readers = Array.from({ length: READERS }, (_, number) => {
      const first = random(CHANNELS.length);
      const channels = CHANNELS.filter((_, i) => i === first || random(3) === 0);
      return { number, channels, connected: false, live: false, position: 0, got: [] };
    });
  }

  connect(reader: Reader): void {
    reader.connected = true;
    for (const channel of reader.channels) {
      const bytes = Buffer.from(channel);
      const result = this.#subscriptions.add(reader.number, bytes, 0, bytes.length);
      if (result === ADDED_FIRST) this.out.push({ type: 'subscribed', channel });
    }
    this.pump(reader);
  }

  disconnect(reader: Reader): void {
    if (reader.live) reader.position = this.position;
    reader.connected = false;
    reader.live = false;
    this.#subscriptions.removeAll(reader.number, (channel) => {
      this.histories.drop(channel);
      this.out.push({ type: 'unsubscribed', channel: this.#subscriptions.nameOf(channel) });
    });
  }

  linkLost(): void {
    this.histories.abandonReads();
    const channels: string[] = [];
    this.#subscriptions.forEachChannel((channel) => channels.push(this.#subscriptions.nameOf(channel)));
    this.out = [{ type: 'hello', position: this.position, channels }];
    for (const reader of this.readers) this.pump(reader);
  }

  receive(frame: ToWorker): void {
    if (frame.type === 'history') {
      const { request, upTo, gap, more, sequences } = frame;
      if (this.histories.page(request, upTo, gap, more, sequences.map(publication)) === NONE) return;
    } else {
      if (frame.type !== 'position') this.#fanOut(frame.channel, frame.sequence, frame.type === 'gap');
      if (frame.type !== 'gap') {
        assert(frame.sequence >= this.position);
        this.position = frame.sequence;
      }
    }
    for (const reader of this.readers) if (this.#random(3) > 0) this.pump(reader);
  }

  /** Gives a reader what there is, and asks for more; all of it, or as much as a slow one takes. */
  pump(reader: Reader): void {
    if (!reader.connected || reader.live) return;
    const { histories } = this;
    const channels = reader.channels.map((name) => this.#numberOf(name));
    const unknown = channels.filter((channel) => !histories.covers(channel, reader.position));
    if (unknown.length === 0) {
      const room = this.#random(3) * 300;
      reader.position = histories.merge(channels, reader.position, this.position, room, (channel, item, reached) => {
        const isGap = item instanceof Gap;
        this.#give(reader, this.#subscriptions.nameOf(channel), isGap ? item.lost : item.sequence, isGap, reached);
        return this.#random(10) > 0;
      });
      reader.live = histories.isLevel(channels, reader.position, this.position);
      return;
    }
    for (const channel of unknown) {
      if (histories.isReading(channel)) continue;
      const request = histories.beginReading(channel, reader.position);
      this.out.push({ type: 'read', request, channel: this.#subscriptions.nameOf(channel), after: reader.position });
    }
  }

  #fanOut(name: string, sequence: number, isGap: boolean): void {
    const channel = this.#numberOf(name);
    // Its last subscriber may have gone meanwhile.
    if (channel === NONE) return;
    const item = isGap ? new Gap(this.position, sequence) : publication(sequence);
    const liveReaders = this.readers.filter((reader) => reader.live && reader.channels.includes(name));
    if (!isGap && liveReaders.length > 0 && this.#random(3) === 0) this.histories.noteLive(channel, item);
    else if (this.histories.wants(channel)) this.histories.live(channel, item);
    for (const reader of liveReaders) this.#give(reader, name, sequence, isGap, this.position);
  }

  #give(reader: Reader, channel: string, sequence: number, isGap: boolean, after: number): void {
    reader.got.push({ channel, sequence, isGap, after });
  }

  #numberOf(name: string): number {
    return this.#subscriptions.find(Buffer.from(name), 0, name.length);
  }
}

function publication(sequence: number): CachedPublication {
  return { sequence, timeMs: 0, kind: KIND_TEXT, data: Buffer.alloc(0), encodings: null };
}

/** What a reader got, against all that was published. */
function judge(reader: Reader, log: ModelLog): void {
  let last = 0;
  for (const { sequence, isGap, after } of reader.got) {
    const place = isGap ? after : sequence;
    assert(place >= last, `${place} after ${last}`);
    last = place;
  }
  for (const channel of reader.channels) {
    const got = reader.got.filter((item) => item.channel === channel);
    const seen = got.filter(({ isGap }) => !isGap).map(({ sequence }) => sequence);
    assert.equal(new Set(seen).size, seen.length, `twice in ${seen}`);
    const gaps = got.filter(({ isGap }) => isGap);
    for (const { sequence } of log.all.filter((item) => item.channel === channel)) {
      if (seen.includes(sequence)) continue;
      // Told before anything of whatever channel came with a cursor that hides it.
      const passed = reader.got.findIndex((item) => (item.isGap ? item.after : item.sequence) >= sequence);
      const before = passed < 0 ? reader.got : reader.got.slice(0, passed);
      const isTold = before.some((item) => item.isGap && item.channel === channel && item.sequence >= sequence);
      assert(isTold, `reader ${reader.number} has neither ${sequence} of ${channel} nor a gap before it`);
      assert(sequence <= log.dropped.get(channel)!, `reader ${reader.number} lacks ${sequence}, which was not dropped`);
    }
    for (const gap of gaps) assert(gap.after < log.dropped.get(channel)!, `a gap at ${gap.sequence} where none is`);
  }
}

function simulate(seed: number): void {
  const random = randomFrom(seed);
  const log = new ModelLog([2, 5, 1000][random(3)]);
  const manager = new ModelManager(log, random);
  const worker = new ModelWorker(random);
  let toManager = worker.out;
  const cut = () => {
    manager.linkLost();
    worker.linkLost();
    toManager = worker.out;
  };
  const pass = (): boolean => {
    if (random(2) === 0 && toManager.length > 0) manager.receive(toManager.shift()!);
    else if (manager.out.length > 0) worker.receive(manager.out.shift()!);
    else return false;
    return true;
  };
  const rates = { append: 1 + random(40), visit: 1 + random(10) };
  for (let step = 0; step < 600; step++) {
    const choice = random(100);
    const reader = worker.readers[random(READERS)];
    if (choice < rates.append) manager.publish(CHANNELS[random(CHANNELS.length)]);
    else if (choice < rates.append + rates.visit) {
      if (reader.connected) worker.disconnect(reader);
      else worker.connect(reader);
    } else if (choice === 98) manager.fallBehind();
    else if (choice === 99) cut();
    else if (choice < 70) pass();
    else manager.step();
  }
  for (const reader of worker.readers) if (!reader.connected) worker.connect(reader);
  // Until everyone has everything.
  for (let step = 0; ; step++) {
    if (worker.readers.every(({ live }) => live) && worker.position === log.last) break;
    if (step > 50_000) assert.fail(`does not come to rest: ${JSON.stringify(worker.readers)}`);
    while (pass());
    manager.step();
    for (const reader of worker.readers) worker.pump(reader);
  }
  for (const reader of worker.readers) judge(reader, log);
}

test('a reader ends with every publication once and in order, or with a gap where one was dropped', (context) => {
  const seed = Number(process.env['MEGACOMET_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const count = Number(process.env['MEGACOMET_TEST_SIMULATIONS'] ?? 300);
  context.diagnostic(`seed ${seed}`);
  for (let i = 0; i < count; i++) {
    try {
      simulate(seed + i);
    } catch (error) {
      throw new Error(`with MEGACOMET_TEST_SEED=${seed + i}: ${(error as Error).stack}`);
    }
  }
});
