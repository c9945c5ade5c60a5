/**
 * Connections that are being caught up with: what the log has for them after their cursor, and the moment at which they
 * become live.
 *
 *     request ──► READ of each channel that histories do not cover ──► HISTORY ──► what is after its position, in order ──┐
 *                  ▲                                                                                                      │
 *                  └──────────── a history that goes on, or that was dropped meanwhile ◄──────────────────────────────────┤
 *                                                                                                            live ◄───────┘
 *
 * A *catch-up* is one group of channels that a connection asked for together; a WebSocket may have several, one after the
 * other. Until it has ended, the fan-out leaves its channels out for the connection, and what arrives goes to the channels'
 * histories (histories.ts) instead. A connection that has been given all that they have, up to the worker's position, is
 * live, whatever was published meanwhile: nothing is lost, nothing comes twice, and all is in the order of the log.
 *
 * With `after=now` there is nothing to read; the catch-up only waits until the manager has said that it knows of the
 * subscription (READ_NOW). The response begins no earlier than that, so that a client to whom the stream is open misses
 * nothing from then on.
 *
 * A gap is told where the client has got to, before anything above it, with that cursor and with how far it reaches. So a client
 * that is cut off farther on has been told. Who begins at the start of the log has lost nothing by what was dropped before.
 *
 * A client may come from another worker and be *ahead* of this one's position. It waits until FAN_OUT or POSITION have
 * brought the worker there, once the manager has confirmed that its log goes so far (else the cursor is of a lost one). Or it
 * has a cursor of another epoch while there is no manager, who may come back with just that one: WELCOME decides.
 *
 * Objects here exist for connections that catch up, not for idle ones.
 */

import { CURSOR_NOW, CURSOR_START, formatCursor } from '../cursor.js';
import { CATCH_UP_BYTES, POLL_ANSWER_BYTES } from '../limits.js';
import { HISTORY_BEYOND, HISTORY_MORE, READ_NOW } from '../link/frames.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { FORMAT_POLL } from '../transports/formats.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_AT_ONCE, FLAG_CATCHING_UP, FORMAT_SHIFT, PHASE_POLLING } from './connections.js';
import { Histories } from './histories.js';
import { type CachedPublication, Gap } from './history.js';
import type { StreamReports, Streams } from './streams.js';
import type { SubscribeRequest, SubscriptionGroup } from './subscription-group.js';
import { NONE, type Subscriptions } from './subscriptions.js';
import type { Wire } from './wire.js';

/** A cursor of another epoch than that of the log that the worker knows. */
export interface ForeignCursor {
  readonly epoch: string;
  readonly position: number;
}

/** Numbers of READs that are inquiries begin here; those of histories are below. */
const INQUIRIES = 0x8000_0000;

interface CatchUp {
  readonly connection: number;
  /** The client has everything of these channels up to here, or CURSOR_NOW. */
  position: number;
  /** Empty when the connection has gone. */
  readonly channels: number[];
  /** The client's cursor is of a log that is lost: it is told first. Its position is 0. */
  lost: boolean;
  /** That cursor, where it is of no log that the worker has known; null once the client was told. */
  foreign: ForeignCursor | null;
  /** Nothing was given yet, and what is missing at the beginning of the log is no gap. */
  fromStart: boolean;
  /** How far the gaps reach of which the client was told, by channel. */
  told: Map<number, number> | null;
  /** The response up to the first message, while it is held back; null when it was sent. */
  opening: Uint8Array | null;
  readonly request: SubscribeRequest | null;
  /** The manager has confirmed the position: that it knows of the channels (CURSOR_NOW), that its log goes so far (else). */
  confirmed: boolean;
  /** … and was asked to. */
  asked: boolean;
}

/** A READ of which only the answer matters, not what is in it. */
interface Inquiry {
  readonly catchUp: CatchUp;
  /** As in READ. */
  readonly after: number;
}

/** Those that wait for a page of a channel. */
interface Readers {
  /** From where it was asked for; -1 where it was not yet. */
  after: number;
  readonly catchUps: Set<CatchUp>;
}

export class CatchUps {
  readonly #connections: Connections;
  readonly #subscriptions: Subscriptions;
  readonly #control: ConnectionControl;
  readonly #reports: StreamReports;
  readonly #wire: Wire;
  readonly #streams: Streams;
  readonly #histories = new Histories();
  readonly #byConnection = new Map<number, CatchUp[]>();
  /** By channel. */
  readonly #readers = new Map<number, Readers>();
  /** By request. */
  readonly #inquiries = new Map<number, Inquiry>();
  /** Those that are ahead of the worker's position: they have seen what FAN_OUT is yet to bring. */
  readonly #ahead = new Set<CatchUp>();
  readonly #name = new Uint8Array(256);
  /** How far the gaps of channels reach that the worker was told of and has not passed. */
  readonly #openGaps = new Map<number, number>();
  #openGapsEnd = 0;
  readonly #collect = (channel: number, item: CachedPublication, reached: number): boolean =>
    this.#collectItem(channel, item, reached);
  /** For whom. */
  #collecting!: CatchUp;
  #collected = 0;
  /** Of these, gaps of channels. */
  #collectedGaps = 0;
  /** How far they reach. */
  #collectedEnd = 0;
  #lastInquiry = INQUIRIES;
  /** There is a manager, and its log is known. */
  #ready = false;

  constructor(parts: {
    connections: Connections;
    subscriptions: Subscriptions;
    control: ConnectionControl;
    reports: StreamReports;
    wire: Wire;
    streams: Streams;
  }) {
    this.#connections = parts.connections;
    this.#subscriptions = parts.subscriptions;
    this.#control = parts.control;
    this.#reports = parts.reports;
    this.#wire = parts.wire;
    this.#streams = parts.streams;
  }

  /** Connections that are being caught up with. */
  get size(): number {
    return this.#byConnection.size;
  }

  // ── Connections ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Begins to catch up with channels that the connection has just been put on.
   *
   * @param after sequence after which the client wants everything, or CURSOR_NOW, or CURSOR_START
   * @param foreign the client's cursor, where it is of another log: it is told so, and gets all there is
   * @param opening see CatchUp; a copy
   */
  begin(
    connection: number,
    { channels, fresh, request }: SubscriptionGroup,
    after: number,
    foreign: ForeignCursor | null,
    opening: Uint8Array | null,
  ): void {
    const others = this.#byConnection.get(connection);
    const lost = foreign !== null;
    const fromStart = lost || after === CURSOR_START;
    const position = fromStart ? 0 : after;
    // Of a channel that somebody is on who is not catching up, the manager knows.
    const confirmed = position === CURSOR_NOW && this.#ready && !fresh && this.#isAlone(connection);
    const catchUp: CatchUp = {
      connection,
      position,
      channels,
      lost,
      foreign,
      fromStart,
      told: null,
      opening,
      request,
      confirmed,
      asked: false,
    };
    if (others === undefined) this.#byConnection.set(connection, [catchUp]);
    else others.push(catchUp);
    this.#connections.flags[connection] |= FLAG_CATCHING_UP;
    if (position === CURSOR_NOW && !confirmed) this.#inquireNow(catchUp);
    else if (others === undefined) this.#advance(catchUp);
    if (!this.#ready) this.#answerAtOnce(connection);
  }

  /** Whether no other connection is being caught up with. */
  #isAlone(connection: number): boolean {
    return this.#byConnection.size === (this.#byConnection.has(connection) ? 1 : 0);
  }

  /** Whether the fan-out has to leave the connection out on this channel. */
  has(connection: number, channel: number): boolean {
    return this.#byConnection.get(connection)!.some(({ channels }) => channels.includes(channel));
  }

  /** Whether the response has not begun. */
  isOpening(connection: number): boolean {
    return this.#byConnection.get(connection)!.some(({ opening }) => opening !== null);
  }

  /** The cursor up to which the connection has been given everything; its own where no manager has judged that. */
  cursorOf(connection: number): string {
    const catchUp = this.#byConnection.get(connection)?.[0];
    if (catchUp === undefined || catchUp.position === CURSOR_NOW) return this.#wire.cursor(this.#streams.position);
    const { foreign, position } = catchUp;
    return foreign !== null && !this.#ready
      ? formatCursor(foreign.epoch, foreign.position)
      : this.#wire.cursor(position);
  }

  /** As `cursorOf`, for a connection that is being caught up with: the sequence; 0 where its cursor is of another log. */
  reached(connection: number): number {
    const [{ position, foreign }] = this.#byConnection.get(connection)!;
    if (position === CURSOR_NOW) return this.#streams.position;
    return foreign === null ? position : 0;
  }

  /** Whether the connection is to be told first that its cursor is of a log that is lost. */
  isLost(connection: number): boolean {
    const catchUp = this.#byConnection.get(connection)?.[0];
    return catchUp !== undefined && this.#isJudged(catchUp) && catchUp.lost;
  }

  /** Whether it is known which log the client's cursor is of. */
  #isJudged({ foreign }: CatchUp): boolean {
    return foreign === null || this.#ready;
  }

  /** How many groups of the connection are being caught up with, or have yet to be. */
  groupsOf(connection: number): number {
    return this.#byConnection.get(connection)?.length ?? 0;
  }

  /** How many of the connection's channels are being caught up with. */
  countOf(connection: number): number {
    let count = 0;
    for (const { channels } of this.#byConnection.get(connection) ?? []) count += channels.length;
    return count;
  }

  /** A connection is about to be taken off one channel. */
  leave(connection: number, channel: number): void {
    for (const catchUp of this.#byConnection.get(connection) ?? []) {
      const at = catchUp.channels.indexOf(channel);
      if (at < 0) continue;
      catchUp.channels.splice(at, 1);
      // It may have waited for this one alone, whose page nobody may wait for any more: any answer makes it look again.
      if (this.#ready) this.#inquire(catchUp, channel, READ_NOW);
    }
  }

  /** A connection departs. */
  left(connection: number): void {
    if ((this.#connections.flags[connection] & FLAG_CATCHING_UP) === 0) return;
    this.#connections.flags[connection] &= ~FLAG_CATCHING_UP;
    // Whatever list still has one of these finds that it is over.
    for (const catchUp of this.#byConnection.get(connection)!) this.#ahead.delete(catchUp);
    this.#byConnection.delete(connection);
  }

  /** What was pending on the connection is with the kernel: more may follow. */
  sent(connection: number): void {
    const catchUp = this.#byConnection.get(connection)?.[0];
    if (catchUp !== undefined && catchUp.position !== CURSOR_NOW) this.#advance(catchUp);
  }

  // ── Channels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The last subscriber of a channel has gone; its number is dead. */
  drop(channel: number): void {
    this.#histories.drop(channel);
    this.#readers.delete(channel);
    this.#openGaps.delete(channel);
  }

  /** `wire` has a publication of the channel. */
  published(channel: number): void {
    if (this.#histories.wants(channel)) this.#histories.live(channel, this.#wire.publication());
  }

  /** Somebody takes this publication and will come back with its cursor: keep it, so that he need not ask the manager. */
  keep(channel: number): void {
    if (!this.#histories.wants(channel)) this.#histories.noteLive(channel, this.#wire.publication());
  }

  /** The manager tells of a gap in a channel, above the worker's position. */
  gap(channel: number, lost: number): void {
    this.#openGaps.set(channel, lost);
    this.#openGapsEnd = Math.max(this.#openGapsEnd, lost);
    if (this.#histories.wants(channel)) this.#histories.live(channel, new Gap(this.#streams.position, lost));
  }

  /** The worker's position has moved. */
  moved(): void {
    if (this.#openGaps.size > 0 && this.#streams.position >= this.#openGapsEnd) this.#openGaps.clear();
    if (this.#ahead.size === 0) return;
    const ahead = [...this.#ahead];
    this.#ahead.clear();
    for (const catchUp of ahead) if (this.#isFirst(catchUp)) this.#advance(catchUp);
  }

  /** Called now and then: lets go of histories that nobody has used for a while. */
  expire(nowMs: number): void {
    this.#histories.expire(nowMs);
  }

  // ── The manager ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A page of the log (HISTORY in frames.ts). */
  history(request: number, upTo: number, gap: number, rest: number, publications: CachedPublication[]): void {
    if (rest !== HISTORY_BEYOND) this.#streams.moveTo(upTo);
    const inquiry = this.#inquiries.get(request);
    if (inquiry !== undefined) {
      this.#inquiries.delete(request);
      this.#answered(inquiry.catchUp, inquiry.after, rest);
      return;
    }
    const channel = this.#histories.page(request, upTo, gap, rest === HISTORY_MORE, publications);
    const readers = this.#readers.get(channel);
    if (channel === NONE || readers === undefined) return;
    this.#readers.delete(channel);
    for (const catchUp of readers.catchUps) this.#answered(catchUp, readers.after, rest);
  }

  /** The manager has answered a READ. */
  #answered(catchUp: CatchUp, after: number, rest: number): void {
    const { position } = catchUp;
    if (rest !== HISTORY_BEYOND) {
      if (position <= after && (after !== READ_NOW || position === CURSOR_NOW)) catchUp.confirmed = true;
    } else if (position >= after) {
      this.#lose(catchUp);
    }
    if (this.#isFirst(catchUp)) this.#advance(catchUp);
  }

  /** The log that is known from now on is another one: some may have been there already. */
  epochChanged(): void {
    this.#histories.clear();
    this.#openGaps.clear();
    this.#openGapsEnd = 0;
    for (const catchUp of [...this.#byConnection.values()].flat()) {
      const { foreign, position } = catchUp;
      if (foreign?.epoch === this.#wire.epoch) {
        catchUp.position = foreign.position;
        catchUp.foreign = null;
        catchUp.lost = false;
        catchUp.fromStart = false;
      } else if (position !== CURSOR_NOW) {
        this.#lose(catchUp);
      }
    }
  }

  /** The client's cursor is of a log that is lost. */
  #lose(catchUp: CatchUp): void {
    catchUp.position = 0;
    catchUp.lost = true;
    catchUp.fromStart = true;
    catchUp.told = null;
  }

  /** The manager is gone, and with it what it was asked. */
  pause(): void {
    this.#ready = false;
    this.#histories.abandonReads();
    this.#readers.clear();
    this.#inquiries.clear();
    this.#ahead.clear();
    for (const catchUps of [...this.#byConnection.values()]) {
      const [first] = catchUps;
      for (const catchUp of catchUps) catchUp.asked = false;
      // Nothing is published before there is another.
      if (this.#open(first)) this.#answerAtOnce(first.connection);
    }
  }

  /** A manager is there: whatever waits is asked for. */
  resume(): void {
    this.#ready = true;
    for (const catchUp of [...this.#byConnection.values()].flat()) {
      const isWanted = this.#byConnection.get(catchUp.connection)?.includes(catchUp) ?? false;
      if (isWanted && catchUp.position === CURSOR_NOW && !catchUp.confirmed) this.#inquireNow(catchUp);
      else if (this.#isFirst(catchUp)) this.#advance(catchUp);
    }
  }

  /** Asks whether the manager knows of the channels. */
  #inquireNow(catchUp: CatchUp): void {
    const [channel] = catchUp.channels;
    if (channel === undefined) {
      catchUp.confirmed = true;
      if (this.#isFirst(catchUp)) this.#advance(catchUp);
    } else if (this.#ready) {
      this.#inquire(catchUp, channel, READ_NOW);
    } else {
      this.#open(catchUp);
    }
  }

  #inquire(catchUp: CatchUp, channel: number, after: number): void {
    this.#lastInquiry = this.#lastInquiry === 0xffff_ffff ? INQUIRIES : this.#lastInquiry + 1;
    this.#inquiries.set(this.#lastInquiry, { catchUp, after });
    this.#ask(this.#lastInquiry, channel, after);
  }

  #read(channel: number, catchUp: CatchUp): void {
    let readers = this.#readers.get(channel);
    if (readers === undefined) {
      readers = { after: -1, catchUps: new Set() };
      this.#readers.set(channel, readers);
    }
    readers.catchUps.add(catchUp);
    if (this.#ready && !this.#histories.isReading(channel)) {
      readers.after = catchUp.position;
      this.#ask(this.#histories.beginReading(channel, catchUp.position), channel, catchUp.position);
    }
  }

  #ask(request: number, channel: number, after: number): void {
    this.#reports.read(request, after, this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
  }

  // ── Progress ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the catch-up is still wanted, and has its turn. */
  #isFirst(catchUp: CatchUp): boolean {
    return this.#byConnection.get(catchUp.connection)?.[0] === catchUp;
  }

  /** A poll that must not wait is answered with what it knew, where it would have to. */
  #answerAtOnce(connection: number): void {
    if (this.#connections.phase[connection] !== PHASE_POLLING || !this.#byConnection.has(connection)) return;
    if (this.#connections.flags[connection] & FLAG_AT_ONCE) this.#streams.pollTimedOut(connection);
  }

  /** Sends what was held back. @returns false where the connection has gone */
  #open(catchUp: CatchUp): boolean {
    const { opening, connection } = catchUp;
    if (opening === null) return true;
    catchUp.opening = null;
    return this.#control.sendCopy(connection, opening) >= 0;
  }

  /** Gives a connection what is there for it, until it is live or has to wait: for the log, or for its own reading. */
  #advance(catchUp: CatchUp): void {
    this.#ahead.delete(catchUp);
    if (catchUp.position === CURSOR_NOW || catchUp.channels.length === 0) {
      if (catchUp.confirmed || catchUp.channels.length === 0) this.#end(catchUp);
      return;
    }
    if (!this.#isJudged(catchUp)) return;
    const { connection, channels } = catchUp;
    const polls = this.#connections.phase[connection] === PHASE_POLLING;
    const format = polls ? FORMAT_POLL : this.#connections.flags[connection] >> FORMAT_SHIFT;
    for (;;) {
      const { position } = catchUp;
      const unknown = channels.filter((channel) => !this.#histories.covers(channel, position));
      if (unknown.length > 0) {
        for (const channel of unknown) this.#read(channel, catchUp);
        return;
      }
      this.#wire.collect(format);
      this.#collecting = catchUp;
      this.#collected = 0;
      this.#collectedGaps = 0;
      this.#collectedEnd = 0;
      if (catchUp.lost) this.#collectLost(catchUp);
      const bytes = polls ? POLL_ANSWER_BYTES : CATCH_UP_BYTES;
      const reached = this.#histories.merge(channels, position, this.#streams.position, bytes, this.#collect);
      if (polls && this.#mayWait(catchUp, reached)) return;
      catchUp.position = reached;
      if (this.#collected > 0) {
        if (polls) {
          this.#streams.answerCollected(connection, this.#wire.cursor(reached));
          return;
        }
        const result = this.#streams.sendCollected(connection);
        if (result < 0 || result === SEND_PENDING) return;
      }
      if (this.#histories.isLevel(channels, reached, this.#streams.position)) break;
      if (reached === position && this.#collected === 0) {
        this.#waitAhead(catchUp);
        return;
      }
    }
    this.#end(catchUp);
  }

  /**
   * A poll that has got into a gap, and has nothing but that to be told, is answered when it has come out of it. Else it would be
   * told the same again and again, at whatever rate it asks.
   */
  #mayWait(catchUp: CatchUp, reached: number): boolean {
    if (this.#collected === 0 || this.#collected > this.#collectedGaps || reached >= this.#collectedEnd) return false;
    if (this.#connections.flags[catchUp.connection] & FLAG_AT_ONCE) return false;
    catchUp.told = null;
    this.#ahead.add(catchUp);
    return true;
  }

  /** The client has seen more than this worker. */
  #waitAhead(catchUp: CatchUp): void {
    const { connection, channels, position, confirmed, asked } = catchUp;
    if (confirmed) {
      this.#answerAtOnce(connection);
    } else if (this.#ready && !asked) {
      catchUp.asked = true;
      this.#inquire(catchUp, channels[0], position);
    }
    if (this.#isFirst(catchUp)) this.#ahead.add(catchUp);
  }

  #collectLost(catchUp: CatchUp): void {
    catchUp.lost = false;
    catchUp.foreign = null;
    this.#wire.collectLost();
    this.#collected++;
  }

  #collectItem(channel: number, item: CachedPublication, reached: number): boolean {
    if (item instanceof Gap) {
      this.#collectGap(channel, item.lost, reached);
    } else {
      this.#wire.collectMessage(item, this.#nameOf(channel));
      this.#collected++;
    }
    return true;
  }

  #collectGap(channel: number, lost: number, reached: number): void {
    const catchUp = this.#collecting;
    if (lost <= (catchUp.told?.get(channel) ?? 0)) return;
    catchUp.told ??= new Map();
    catchUp.told.set(channel, lost);
    if (catchUp.fromStart && reached === 0) return;
    this.#wire.collectGap(reached, this.#nameOf(channel), lost);
    this.#collected++;
    this.#collectedGaps++;
    this.#collectedEnd = Math.max(this.#collectedEnd, lost);
  }

  /** Who is live at the worker's position has been told of the gaps that reach beyond it: it may come back with that cursor. */
  #collectOpenGaps(channels: readonly number[]): void {
    const { position } = this.#streams;
    for (const channel of channels) {
      const lost = this.#openGaps.get(channel) ?? 0;
      if (lost > position) this.#wire.collectGap(position, this.#nameOf(channel), lost);
    }
  }

  /** Good until the next call. */
  #nameOf(channel: number): Buffer {
    return Buffer.from(this.#name.buffer, 0, this.#subscriptions.copyName(channel, this.#name, 0));
  }

  /** The channels are live for the connection. */
  #end(catchUp: CatchUp): void {
    const { connection, channels, request } = catchUp;
    const catchUps = this.#byConnection.get(connection)!;
    catchUps.shift();
    if (catchUps.length === 0) {
      this.#byConnection.delete(connection);
      this.#connections.flags[connection] &= ~FLAG_CATCHING_UP;
    }
    // What nobody else can have a use for.
    for (const channel of channels) {
      if (this.#subscriptions.next(this.#subscriptions.first(channel)) === NONE) this.#histories.drop(channel);
    }
    if (this.#connections.phase[connection] === PHASE_POLLING) {
      if (this.#connections.flags[connection] & FLAG_AT_ONCE) this.#streams.pollTimedOut(connection);
      return;
    }
    if (!this.#open(catchUp)) return;
    this.#wire.collect(this.#connections.flags[connection] >> FORMAT_SHIFT);
    if (catchUp.position === CURSOR_NOW) this.#collectOpenGaps(channels);
    this.#wire.collectSubscribed(this.#streams.position, request);
    if (this.#streams.sendCollected(connection) < 0) return;
    const next = this.#byConnection.get(connection)?.[0];
    if (next !== undefined) this.#advance(next);
  }
}
