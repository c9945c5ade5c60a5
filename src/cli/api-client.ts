/** The HTTP API as the other commands use it: JSON in, JSON out, failures in the operator's words. */

import { OperatorError } from './errors.js';

const TIMEOUT_MS = 5_000;

/**
 * Calls the API: POST where there is a body, GET otherwise.
 *
 * @param api base address without a trailing slash
 * @throws OperatorError where it cannot be reached or answers with an error
 */
export async function requestApi(api: string, path: string, body?: unknown): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(
      api + path,
      body === undefined
        ? { signal: AbortSignal.timeout(TIMEOUT_MS) }
        : {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(body),
            signal: AbortSignal.timeout(TIMEOUT_MS),
          },
    );
    text = await response.text();
  } catch (error) {
    throw new OperatorError(
      `cannot reach the API at ${api}: ${reason(error)}. Is the server running (megacomet status)?`,
    );
  }
  const answer = parseJson(text);
  if (!response.ok) {
    const message = (answer as { error?: { message?: unknown } } | undefined)?.error?.message;
    throw new OperatorError(`the API at ${api} answered ${response.status}: ${String(message ?? response.statusText)}`);
  }
  if (answer === undefined) throw new OperatorError(`the API at ${api} did not answer with JSON: is it MegaComet's?`);
  return answer;
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
