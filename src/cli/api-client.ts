/** The HTTP API as the other commands use it: JSON in, JSON out, failures in the operator's words. */

import { OperatorError } from './errors.js';

const TIMEOUT_MS = 5_000;

/**
 * Calls the API: POST where there is a body, GET otherwise.
 *
 * @param api base address without a trailing slash
 * @param key to show, where the API needs one
 * @throws OperatorError where it cannot be reached or answers with an error
 */
export async function requestApi(
  api: string,
  path: string,
  { body, key }: { body?: unknown; key?: string | undefined } = {},
): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(api + path, {
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
      },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    throw new OperatorError(
      `cannot reach the API at ${api}: ${reason(error)}. Is the server running (megacomet status)?`,
    );
  }
  const answer = parseJson(text);
  if (!response.ok) {
    const cure = response.status === 401 ? ' (--api-key-file or MEGACOMET_API_KEY gives one)' : '';
    const message = (answer as { error?: { message?: unknown } } | undefined)?.error?.message;
    throw new OperatorError(
      `the API at ${api} answered ${response.status}: ${String(message ?? response.statusText)}${cure}`,
    );
  }
  if (answer === undefined) throw new OperatorError(`the API at ${api} did not answer with JSON: is it MegaComet's?`);
  return answer;
}

/** Whether the API answers, whatever it says: it may want a key. */
export async function isReachable(api: string): Promise<boolean> {
  try {
    const response = await fetch(`${api}/v1/status`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.arrayBuffer();
    return true;
  } catch {
    // Whatever the cause, the caller asks again until its own time is over.
    return false;
  }
}

/** The cause of a failed fetch: undici wraps the socket's error. */
function reason(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AggregateError && cause.errors.length > 0) return reason(cause.errors[0]);
  return cause instanceof Error ? cause.message : String(cause);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
