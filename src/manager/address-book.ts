/**
 * Connections of addresses over all workers, for the limit of connections for each address: each worker reports addresses of which it
 * has many (ADDRESSES), and hears what the others have of them together (ELSEWHERE), a moment later.
 *
 * So there is an entry for an address only while some worker has many connections of it, or several have any after that.
 */

import type { AddressCounts } from '../link/frames.js';

/** Changes are collected for so long. */
const COLLECT_MS = 20;
const ADDRESSES_PER_FRAME = 10_000;

export interface AddressTaker {
  elsewhere(counts: AddressCounts): void;
}

export class AddressBook {
  readonly #takers: ReadonlyMap<number, AddressTaker>;
  /** By address, by worker. */
  readonly #counts = new Map<string, Map<number, number>>();
  readonly #changed = new Set<string>();
  #timer: NodeJS.Timeout | null = null;

  /** @param takers links by worker number */
  constructor(takers: ReadonlyMap<number, AddressTaker>) {
    this.#takers = takers;
  }

  /** Addresses that are known. */
  get size(): number {
    return this.#counts.size;
  }

  /** A worker has reported. */
  reported(worker: number, counts: AddressCounts): void {
    for (const [address, connections] of counts) this.#set(address, worker, connections);
    this.#later();
  }

  /** A worker has lost its link: it reports all anew when it is back. */
  workerLeft(worker: number): void {
    for (const [address, byWorker] of this.#counts) if (byWorker.has(worker)) this.#set(address, worker, 0);
    this.#later();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #set(address: string, worker: number, connections: number): void {
    let byWorker = this.#counts.get(address);
    if (byWorker === undefined) {
      byWorker = new Map();
      this.#counts.set(address, byWorker);
    }
    if (connections === 0) byWorker.delete(worker);
    else byWorker.set(worker, connections);
    this.#changed.add(address);
  }

  #later(): void {
    if (this.#changed.size === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tell();
    }, COLLECT_MS);
  }

  /** Tells every worker what the others have of the addresses that have changed. */
  #tell(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    const totals = changed.map((address) => sumOf(this.#counts.get(address)!));
    for (const [worker, taker] of this.#takers) {
      for (let at = 0; at < changed.length; at += ADDRESSES_PER_FRAME) {
        const part = changed.slice(at, at + ADDRESSES_PER_FRAME);
        taker.elsewhere(
          part.map((address, i) => [address, totals[at + i] - (this.#counts.get(address)!.get(worker) ?? 0)]),
        );
      }
    }
    for (const [i, address] of changed.entries()) if (totals[i] === 0) this.#counts.delete(address);
  }
}

function sumOf(byWorker: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const connections of byWorker.values()) sum += connections;
  return sum;
}
