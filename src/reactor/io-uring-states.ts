/** The state of a slot of the io_uring reactor, as bits of a byte; io-uring-connections.ts says what they mean together. */

// The user's side of it:
export const OPEN = 1;
/** `shutdown` was called. */
export const SHUT = 2;
/** The end of stream was read while a send was pending, and is to be reported after it. */
export const READ_ENDED = 4;
/** Requests that are with the kernel, or wait for a buffer (RECEIVING): a slot that has one is not used again. */
export const ACCEPTING = 8;
export const CONNECTING = 16;
export const POLLING = 32;
export const RECEIVING = 64;
export const SENDING = 128;
export const REQUESTS = ACCEPTING | CONNECTING | POLLING | RECEIVING | SENDING;

export function misuse(method: string, connection: number, state: number): Error {
  return new Error(`${method} on connection ${connection}, whose state is ${state}: a bug of the caller`);
}
