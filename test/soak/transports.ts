/**
 * Small clients of the five transports, written from docs/protocol.md. Each call makes one connection (the poll: one after the
 * other on one socket) and tells what comes over it until it ends; who comes back, and where, is decided elsewhere
 * (subscriber.ts).
 */

import { Agent, get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import WebSocket from 'ws';

/** What a connection tells. */
export interface Events {
  message(channel: string, cursor: string, data: unknown): void;
  /** Of a channel, up to `lost`. Without a channel: of all of them. */
  gap(channel: string | undefined, cursor: string, lost: string | undefined): void;
  /** The client has seen everything up to here. */
  position(cursor: string): void;
  /** The connection has ended, or the request has failed; nothing follows. */
  ended(why: string): void;
}

export interface Subscription {
  port: number;
  channels: string[];
  after: string;
}

/** A connection, while it lasts. */
export interface Connection {
  /** Ends it at once; `ended` follows. */
  cut(): void;
  /** Stops reading for a while. */
  pause(ms: number): void;
}

export type Transport = (subscription: Subscription, events: Events) => Connection;

interface Item {
  type?: string;
  channel?: string;
  lost?: string;
  cursor: string;
  data?: unknown;
}

function query({ channels, after }: Subscription, parameters: Record<string, string> = {}): string {
  const search = new URLSearchParams({ after, ...parameters });
  for (const channel of channels) search.append('channel', channel);
  return search.toString();
}

/** An HTTP response that ends with its connection, read piece by piece. */
function open(url: string, events: Events, headers: Record<string, string>, read: (text: string) => void): Connection {
  let response: IncomingMessage | undefined;
  let isOver = false;
  const end = (why: string) => {
    if (!isOver) events.ended(why);
    isOver = true;
  };
  const request = get(url, { headers, agent: false }, (incoming) => {
    response = incoming;
    if (incoming.statusCode !== 200) {
      end(`status ${incoming.statusCode}`);
      request.destroy();
      return;
    }
    incoming.setEncoding('utf8');
    incoming.on('data', (text: string) => !isOver && read(text));
    incoming.on('close', () => end('closed'));
    incoming.on('error', (error) => end(error.message));
  });
  request.on('error', (error) => end(error.message));
  return {
    cut() {
      end('cut');
      request.destroy();
    },
    pause(ms) {
      response?.pause();
      setTimeout(() => response?.resume(), ms).unref();
    },
  };
}

/** Server-Sent Events (HTML standard, section 9.2), as far as this server sends them. */
export const sse: Transport = (subscription, events) => {
  const { port, after } = subscription;
  let rest = '';
  const headers: Record<string, string> = after === 'start' ? {} : { 'last-event-id': after };
  return open(`http://127.0.0.1:${port}/v1/sse?${query(subscription)}`, events, headers, (text) => {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map<string, string>();
      for (const line of block.split('\n')) {
        const colon = line.indexOf(':');
        if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
      }
      const id = fields.get('id');
      const data = fields.get('data');
      if (id === undefined) continue;
      const name = fields.get('event');
      if (data === undefined || (name !== undefined && name !== 'gap')) {
        events.position(id);
        continue;
      }
      const item = JSON.parse(data) as Item;
      if (name === 'gap') events.gap(item.channel, id, item.lost);
      else events.message(item.channel!, id, item.data);
    }
  });
};

/** Lines of JSON, also those of the WebSocket. */
function tell(item: Item, events: Events): void {
  if (item.type === 'message') events.message(item.channel!, item.cursor, item.data);
  else if (item.type === 'gap') events.gap(item.channel, item.cursor, item.lost);
  else if (item.type === 'subscribed') events.position(item.cursor);
}

export const stream: Transport = (subscription, events) => {
  let rest = '';
  return open(`http://127.0.0.1:${subscription.port}/v1/stream?${query(subscription)}`, events, {}, (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) tell(JSON.parse(line), events);
  });
};

/** @param byMessage subscribes by a message; else by the address */
export function webSocket(byMessage: boolean): Transport {
  return (subscription, events) => {
    const path = byMessage ? '' : `?${query(subscription)}`;
    const socket = new WebSocket(`ws://127.0.0.1:${subscription.port}/v1/ws${path}`);
    let isOver = false;
    const end = (why: string) => {
      if (!isOver) events.ended(why);
      isOver = true;
    };
    socket.on('open', () => {
      if (!byMessage) return;
      const { channels, after } = subscription;
      socket.send(JSON.stringify({ type: 'subscribe', channels, after, ref: 1 }));
    });
    socket.on('message', (data) => !isOver && tell(JSON.parse(String(data)), events));
    socket.on('error', (error) => end(error.message));
    socket.on('close', (code) => end(`close code ${code}`));
    return {
      cut() {
        end('cut');
        socket.terminate();
      },
      pause(ms) {
        if (socket.readyState !== WebSocket.OPEN) return;
        socket.pause();
        setTimeout(() => socket.resume(), ms).unref();
      },
    };
  };
}

/**
 * Polls one after the other on one connection, with the cursor of the last answer, until one fails.
 *
 * @param pauseMs between an answer and the next poll
 */
export function longPoll(pauseMs: () => number): Transport {
  return (subscription, events) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let { after } = subscription;
    let isOver = false;
    const end = (why: string) => {
      if (!isOver) events.ended(why);
      isOver = true;
      agent.destroy();
    };
    const poll = () => {
      if (isOver) return;
      const url = `http://127.0.0.1:${subscription.port}/v1/poll?${query({ ...subscription, after }, { timeout: '5' })}`;
      const request = get(url, { agent }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', (error) => end(error.message));
        response.on('end', () => {
          if (isOver) return;
          if (response.statusCode !== 200) {
            end(`status ${response.statusCode}`);
            return;
          }
          const answer = JSON.parse(text) as { cursor: string; messages: Item[]; gap?: Item[] };
          tellAnswer(answer, events);
          after = answer.cursor;
          setTimeout(poll, pauseMs());
        });
      });
      request.on('error', (error) => end(error.message));
    };
    poll();
    return { cut: () => end('cut'), pause: () => {} };
  };
}

/** A gap comes before the messages above its cursor. */
function tellAnswer(answer: { cursor: string; messages: Item[]; gap?: Item[] }, events: Events): void {
  const sequence = (item: Item) => Number(item.cursor.slice(item.cursor.lastIndexOf('-') + 1));
  const gaps = [...(answer.gap ?? [])];
  for (const message of answer.messages) {
    while (gaps.length > 0 && sequence(gaps[0]) < sequence(message)) {
      const gap = gaps.shift()!;
      events.gap(gap.channel, gap.cursor, gap.lost);
    }
    events.message(message.channel!, message.cursor, message.data);
  }
  for (const gap of gaps) events.gap(gap.channel, gap.cursor, gap.lost);
  events.position(answer.cursor);
}

/**
 * The long-poll of 2011: one answer, then the end. Its queue has no cursor: what the kernel has taken for a connection counts as
 * delivered, so a client that leaves says so by FIN alone and takes what is on its way.
 */
export function classic(port: number, id: string, events: { body(text: string): void; ended(): void }): Connection {
  const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let received = '';
  socket.setEncoding('utf8');
  socket.on('connect', () => socket.write(`GET /${id}.js HTTP/1.1\r\nHost: soak\r\n\r\n`));
  socket.on('data', (text: string) => (received += text));
  socket.on('end', () => socket.end());
  // A connection that failed tells no more than one that ended: what came counts.
  socket.on('error', () => {});
  socket.on('close', () => {
    const head = received.indexOf('\r\n\r\n');
    const length = Number(/\r\nContent-Length: (\d+)/.exec(received)?.[1] ?? Number.NaN);
    if (received.startsWith('HTTP/1.1 200 ') && received.length === head + 4 + length)
      events.body(received.slice(head + 4));
    events.ended();
  });
  return { cut: () => socket.end(), pause: () => {} };
}
