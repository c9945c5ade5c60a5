/** The two ways of an application to publish: the HTTP API and the classic application port. */

import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Endpoint } from './addresses.js';

export interface Message {
  sequence: number;
  id: string;
  text: string;
}

export interface Route {
  /** How many messages may go in one `publish`. */
  readonly batchMax: number;

  /** Resolves when the server has taken all of them. @throws Error with a `code`, where it has not or nobody knows */
  publish(messages: Message[]): Promise<void>;

  /** Ends the connections. */
  close(): void;
}

/** Requests at a time, each on a connection of its own that is kept open. */
const API_CONNECTIONS = 32;
const API_TIMEOUT_MS = 30_000;
/** Well below the largest body that the API takes (8 MiB). */
const API_BATCH_BYTES = 1 << 20;
const API_BATCH_MESSAGES = 1000;
const CLASSIC_BATCH_MESSAGES = 1000;

/** `POST /v1/publish`: an object for one message, an array for several. */
export class ApiRoute implements Route {
  readonly batchMax: number;
  private readonly url: URL;
  private readonly authorization: { authorization?: string };
  private readonly agent = new Agent({ keepAlive: true, maxSockets: API_CONNECTIONS });

  /**
   * @param api base address without a trailing slash
   * @param key to show, where the API needs one
   */
  constructor(api: string, messageBytes: number, key?: string) {
    this.authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
    this.url = new URL(`${api}/v1/publish`);
    this.batchMax = Math.max(1, Math.min(API_BATCH_MESSAGES, Math.floor(API_BATCH_BYTES / messageBytes)));
  }

  publish(messages: Message[]): Promise<void> {
    const publications = messages.map(({ id, text }) => ({ channel: id, data: text }));
    const body = JSON.stringify(publications.length === 1 ? publications[0] : publications);
    return new Promise((resolve, reject) => {
      const headers = {
        ...this.authorization,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      };
      const post = request(this.url, { method: 'POST', agent: this.agent, headers, timeout: API_TIMEOUT_MS });
      post.on('timeout', () => post.destroy(failure('ETIMEDOUT')));
      post.on('error', reject);
      post.on('response', (response) => {
        const { statusCode = 0 } = response;
        response.on('error', reject);
        response.on('end', () => (statusCode === 200 ? resolve() : reject(failure(`HTTP ${statusCode}`))));
        response.resume();
      });
      post.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/**
 * Frames `0x02 id 0x00 text 0x00` on one TCP connection. The port never answers, so a message counts as taken once the
 * kernel has it; what was lost with a broken connection shows as lost messages. A broken connection is replaced.
 */
export class ClassicRoute implements Route {
  readonly batchMax = CLASSIC_BATCH_MESSAGES;
  private readonly endpoint: Endpoint;
  private socket: Socket | null = null;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  publish(messages: Message[]): Promise<void> {
    const socket = (this.socket ??= this.open());
    const frames = messages.map(({ id, text }) => `\x02${id}\0${text}\0`).join('');
    return new Promise((resolve, reject) => {
      // An error that closes the socket is told to the callback of every write that it has stopped.
      socket.write(frames, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    // All has been written. A peer that never closes its side must not keep this process alive.
    this.socket?.end().unref();
    this.socket = null;
  }

  private open(): Socket {
    const socket = connect({ ...this.endpoint, noDelay: true });
    const lost = () => {
      if (this.socket === socket) this.socket = null;
    };
    socket.on('error', lost).on('close', lost).resume();
    return socket;
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
