/**
 * Work that ends with a time limit or with an outer signal, whichever comes first.
 *
 * `AbortSignal.any` holds the signals that it is made of weakly, so an `AbortSignal.timeout` that nobody else holds may be
 * collected before its time, and then never fires (seen on Node 20). Here a timer holds it.
 */

/**
 * @param outer ends the work, with its own reason
 * @param work gets a signal; when the time is over its reason is a DOMException named TimeoutError, as of AbortSignal.timeout
 * @returns what the work returns; the limit is over with it
 */
export async function withinTime<T>(
  limitMs: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new DOMException(`not within ${limitMs} ms`, 'TimeoutError')), limitMs);
  const end = () => limit.abort(outer.reason);
  outer.addEventListener('abort', end);
  if (outer.aborted) end();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', end);
  }
}
