/**
 * Requests to the API that this page came from. The key, where the server wants one, is kept in the tab's sessionStorage: it is
 * gone with the tab, no other tab or origin has it, and no request carries it that this code did not make.
 */

import { EventParser, type ServerEvent } from '../shared/event-parser.js';

const KEY = 'megacomet-api-key';

/** The server refused: `{"error": {"code", "message"}}`. */
export class ServerError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** There is no key, or it is wrong or has not the right. */
  get wantsKey(): boolean {
    return this.status === 401 || this.code === 'forbidden';
  }
}

export function hasKey(): boolean {
  return sessionStorage.getItem(KEY) !== null;
}

export function setKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

export function forgetKey(): void {
  sessionStorage.removeItem(KEY);
}

/** @throws ServerError where it is refused, TypeError where there is no server */
async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = sessionStorage.getItem(KEY);
  if (key !== null) headers.set('authorization', `Bearer ${key}`);
  const response = await fetch(path, { ...init, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  if (response.ok) return response;
  throw await toError(response);
}

async function toError(response: Response): Promise<ServerError> {
  const { status } = response;
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    return new ServerError(status, error.code, error.message);
  } catch {
    // A proxy's page, perhaps.
    return new ServerError(status, 'unknown', `the server answered ${status}`);
  }
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal === undefined ? {} : { signal })).json() as Promise<T>;
}

export async function postJson<T>(path: string, body: unknown): Promise<T> {
  const headers = { 'content-type': 'application/json' };
  return (await request(path, { method: 'POST', headers, body: JSON.stringify(body) })).json() as Promise<T>;
}

/**
 * Events of a stream until it ends.
 *
 * @throws as `request`, and TypeError or AbortError where the stream breaks
 */
export async function* events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  const response = await request(path, { signal, headers: { accept: 'text/event-stream' } });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    // Whoever stops listening ends the request too.
    void reader.cancel().catch(() => {});
  }
}
