/**
 * Channels that retain something, as rows of numbers: 44 bytes each beside the name and its Map entry (some 100 bytes).
 *
 * A channel is a number while it retains a publication. Numbers are used again, the last freed first. first, last and queued are
 * rows of src/log/retained.ts, -1 for none.
 */

const CHANNELS_MIN = 64;

export class ChannelTable {
  readonly #numbers = new Map<string, number>();
  readonly #names: (string | undefined)[] = [];
  readonly #free: number[] = [];
  /** Oldest and newest publication, and the oldest that the classic queue owes. */
  first = new Int32Array(CHANNELS_MIN);
  last = new Int32Array(CHANNELS_MIN);
  queued = new Int32Array(CHANNELS_MIN);
  count = new Uint32Array(CHANNELS_MIN);
  /** Of data. */
  bytes = new Float64Array(CHANNELS_MIN);
  /** The highest sequence that retention has dropped, or may have. */
  lost = new Float64Array(CHANNELS_MIN);
  /** Number of the limits. */
  limits = new Uint16Array(CHANNELS_MIN);

  get size(): number {
    return this.#numbers.size;
  }

  /** Numbers in use are below. */
  get end(): number {
    return this.#names.length;
  }

  isUsed(number: number): boolean {
    return this.#names[number] !== undefined;
  }

  find(channel: string): number | undefined {
    return this.#numbers.get(channel);
  }

  name(number: number): string {
    return this.#names[number]!;
  }

  add(channel: string, lost: number, limits: number): number {
    const number = this.#free.pop() ?? this.#names.length;
    if (number === this.count.length) this.#grow();
    this.#names[number] = channel;
    this.#numbers.set(channel, number);
    this.first[number] = this.last[number] = this.queued[number] = -1;
    this.count[number] = this.bytes[number] = 0;
    this.lost[number] = lost;
    this.limits[number] = limits;
    return number;
  }

  delete(number: number): void {
    this.#numbers.delete(this.name(number));
    this.#names[number] = undefined;
    this.#free.push(number);
    if (this.#numbers.size === 0) this.#shrink();
  }

  #grow(): void {
    const length = 2 * this.count.length;
    this.first = extended(this.first, new Int32Array(length));
    this.last = extended(this.last, new Int32Array(length));
    this.queued = extended(this.queued, new Int32Array(length));
    this.count = extended(this.count, new Uint32Array(length));
    this.bytes = extended(this.bytes, new Float64Array(length));
    this.lost = extended(this.lost, new Float64Array(length));
    this.limits = extended(this.limits, new Uint16Array(length));
  }

  /** Nothing is retained: a crowd that came and went leaves no memory behind. */
  #shrink(): void {
    this.#names.length = 0;
    this.#free.length = 0;
    this.first = new Int32Array(CHANNELS_MIN);
    this.last = new Int32Array(CHANNELS_MIN);
    this.queued = new Int32Array(CHANNELS_MIN);
    this.count = new Uint32Array(CHANNELS_MIN);
    this.bytes = new Float64Array(CHANNELS_MIN);
    this.lost = new Float64Array(CHANNELS_MIN);
    this.limits = new Uint16Array(CHANNELS_MIN);
  }
}

function extended<T extends Int32Array | Uint32Array | Float64Array | Uint16Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
