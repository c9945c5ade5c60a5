/**
 * Where the kernel writes the addresses of clients while accepts are under way: one cell for each, in native memory, taken when the
 * accept is submitted and given back when it has completed. So there are as many as accepts that are under way, and none where nobody
 * asks for addresses.
 *
 *     | struct sockaddr, 28 bytes | length u32 |     accept(2): the length is that of the room, and then that of the address
 */

import { mapNative, type NativeMemory, unmapNative } from '../linux/native-memory.js';
import { PEER_BYTES } from './reactor.js';

const CELL_BYTES = 32;
const PAGE_BYTES = 4096;
const CELLS_PER_PAGE = PAGE_BYTES / CELL_BYTES;

export class PeerCells {
  readonly #pages: NativeMemory[] = [];
  readonly #free: number[] = [];
  /** By slot. */
  readonly #taken = new Map<number, number>();

  /** A cell for the accept into a slot. @returns the address of its sockaddr; its length lies PEER_BYTES behind */
  take(slot: number): number {
    if (this.#free.length === 0) this.#grow();
    const cell = this.#free.pop()!;
    this.#taken.set(slot, cell);
    const page = this.#pages[Math.floor(cell / CELLS_PER_PAGE)];
    const at = (cell % CELLS_PER_PAGE) * CELL_BYTES;
    page.bytes.fill(0, at, at + PEER_BYTES);
    page.bytes.set([PEER_BYTES, 0, 0, 0], at + PEER_BYTES);
    return page.address + at;
  }

  /** The accept into the slot has completed. @param peer gets the address; family 0 where the accept had no cell */
  give(slot: number, peer: Uint8Array): void {
    const cell = this.#taken.get(slot);
    peer[0] = 0;
    peer[1] = 0;
    if (cell === undefined) return;
    this.#taken.delete(slot);
    this.#free.push(cell);
    const at = (cell % CELLS_PER_PAGE) * CELL_BYTES;
    peer.set(this.#pages[Math.floor(cell / CELLS_PER_PAGE)].bytes.subarray(at, at + PEER_BYTES));
  }

  /** The kernel writes to none of them any more. */
  destroy(): void {
    for (const page of this.#pages) unmapNative(page);
    this.#pages.length = 0;
  }

  #grow(): void {
    const first = this.#pages.length * CELLS_PER_PAGE;
    this.#pages.push(mapNative(PAGE_BYTES));
    for (let cell = first; cell < first + CELLS_PER_PAGE; cell++) this.#free.push(cell);
  }
}
