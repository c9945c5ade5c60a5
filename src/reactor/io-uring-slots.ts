/** How many direct descriptors a ring has, which also the doctor computes with. */

/** Places in the table behind those of the connections, for listeners. */
export const LISTENER_FILES = 16;
export const SLOTS_PER_RING_MAX = 1 << 14;

/**
 * Connections of one ring: a power of two.
 *
 * @param descriptorLimit RLIMIT_NOFILE, which a table may not exceed (io_uring_register(2))
 */
export function slotsPerRing(descriptorLimit: number): number {
  const places = Math.max(descriptorLimit - LISTENER_FILES, 1);
  return Math.min(SLOTS_PER_RING_MAX, 2 ** Math.floor(Math.log2(places)));
}
