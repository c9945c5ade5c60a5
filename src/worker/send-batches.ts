/**
 * Connections that are to be sent the same publication, collected for each format, so that the reactor is given many at a
 * time (`Reactor.sendAll`). A connection is in one batch at most, and leaves it with the next `send`.
 */

import { type Reactor, SEND_DONE } from '../reactor/reactor.js';

/** A reactor saves little by more. */
const BATCH = 64;

export class SendBatches {
  readonly #reactor: Reactor;
  readonly #batches: Int32Array[];
  readonly #counts: Uint8Array;
  readonly #results = new Int32Array(BATCH);

  /** @param formats they are numbered from 0 */
  constructor(reactor: Reactor, formats: number) {
    this.#reactor = reactor;
    this.#batches = Array.from({ length: formats }, () => new Int32Array(BATCH));
    this.#counts = new Uint8Array(formats);
  }

  /** @returns whether the batch of the format is full now, and has to be sent */
  add(connection: number, format: number): boolean {
    this.#batches[format][this.#counts[format]++] = connection;
    return this.#counts[format] === BATCH;
  }

  isEmpty(format: number): boolean {
    return this.#counts[format] === 0;
  }

  /**
   * Sends a buffer to all that were added for a format.
   *
   * @param notDone hears of each that `send` had another result for than SEND_DONE; returns whether it may still get it
   * @returns how many got it, or may still
   */
  send(format: number, buffer: number, notDone: (connection: number, result: number) => boolean): number {
    const count = this.#counts[format];
    const batch = this.#batches[format];
    const results = this.#results;
    this.#counts[format] = 0;
    let receivers = this.#reactor.sendAll(batch, count, buffer, results);
    if (receivers === count) return count;
    for (let i = 0; i < count; i++) {
      if (results[i] !== SEND_DONE && notDone(batch[i], results[i])) receivers++;
    }
    return receivers;
  }
}
