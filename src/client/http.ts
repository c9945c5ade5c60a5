/** `/v1/sse` and `/v1/poll`, with fetch: unlike EventSource it takes a token and shows what the server refuses. */

import type { Context, Transport, Wire } from './context.js';
import { makeBlockReader } from './event-stream.js';
import { POLL_S } from './limits.js';
import { distance } from './positions.js';
import { type Gap, MegaCometError, type Message } from './types.js';

interface PollAnswer {
  cursor: string;
  messages: Message[];
  gap?: Gap[];
  disconnect?: object;
}

/**
 * Sends a request to `/v1/<path>` with the token: a POST where there is a body.
 *
 * @param body JSON
 * @throws MegaCometError for any status that is not 2xx; whatever fetch throws where there is no answer
 */
export async function request(
  { platform, token, url }: Context,
  signal: AbortSignal | undefined,
  path: string,
  channels: readonly string[] = [],
  body?: string,
): Promise<Response> {
  const address = new URL(`v1/${path}`, url);
  for (const channel of channels) address.searchParams.append('channel', channel);
  const bearer = await token.get();
  const { fetch, random } = platform;
  const response = await fetch(address, {
    signal,
    cache: 'no-store',
    headers: {
      ...(bearer && { authorization: `Bearer ${bearer}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body, method: 'POST' }),
  } as RequestInit);
  const { status, headers } = response;
  if (response.ok) return response;
  const retryAfterS = Number(headers.get('retry-after'));
  // What a proxy says is no JSON of the server's.
  const { error } = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string } };
  const code = error?.code ?? (status === 401 ? 'token_invalid' : 'unavailable');
  throw new MegaCometError(code, error?.message ?? `HTTP ${status}`, {
    reconnect: code !== 'forbidden',
    // Whole seconds: spread those who were given the same.
    afterMs: retryAfterS ? (retryAfterS + random()) * 1000 : undefined,
  });
}

async function poll(
  context: Context,
  { signal, heard, event }: Wire,
  after: string,
  channels: readonly string[],
  timeoutS: number,
): Promise<PollAnswer> {
  const response = await request(context, signal, `poll?after=${after}&timeout=${timeoutS}`, channels);
  const answer = (await response.json()) as PollAnswer;
  heard();
  // A gap comes before the messages above its cursor.
  [
    ...answer.messages.map((message) => ({ ...message, type: 'message' })),
    ...(answer.gap ?? []).map((gap) => ({ ...gap, type: 'gap' })),
  ]
    .sort((a, b) => distance(a.cursor, b.cursor))
    .forEach(event);
  return answer;
}

/**
 * One address names one cursor. Where the channels stand at places that cannot be compared (`now` and a cursor, for
 * instance) each place is polled at once, which gives it a cursor.
 */
async function align(context: Context, wire: Wire): Promise<void> {
  const { positions } = context;
  const places = positions.begin();
  if (positions.cursor()) return;
  for (const [after, channels] of places) {
    const { cursor } = await poll(context, wire, after, channels, 0);
    positions.reached(cursor, channels);
  }
}

export const eventStream: Transport = async (context, wire) => {
  await align(context, wire);
  const { channels, cursor } = context.positions;
  const { headers, body } = await request(context, wire.signal, `sse?after=${cursor()}`, channels());
  if (!/event-stream/.test(headers.get('content-type')!)) throw new Error('no stream');
  let afterMs: number | undefined;
  const read = makeBlockReader(({ event = 'message', id, data, retry }) => {
    if (retry) afterMs = Number(retry);
    if (data) wire.event({ cursor: id, ...JSON.parse(data), type: event });
  });
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new MegaCometError('unavailable', 'stream ended', { afterMs });
    wire.heard();
    read(value);
  }
};

export const longPoll: Transport = async (context, wire) => {
  const { platform, positions } = context;
  await align(context, wire);
  // The first one is answered at once: it gives a cursor and shows that this transport works.
  for (let timeoutS: number = 0; ; timeoutS = POLL_S) {
    const askedMs = platform.now();
    const answer = await poll(context, wire, positions.cursor()!, positions.channels(), timeoutS);
    const { cursor, messages, gap, disconnect } = answer;
    wire.event({ type: 'subscribed', cursor });
    if (disconnect) wire.event({ ...disconnect, type: 'disconnect' });
    // A cache, or a proxy that does not wait: asking on and on would be of no use.
    if (!messages.length && !gap && platform.now() - askedMs < timeoutS * 500) throw new Error('early answer');
  }
};
