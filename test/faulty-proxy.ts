/**
 * A proxy between a client and a server, with the faults of the proxies and networks of this world. It speaks HTTP, as those
 * do: upgrades may be refused, event streams held back, requests answered by itself. Faults can be changed at any time and
 * hold for what comes then; `cut` and `stall` are for the connections that are there.
 */

import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface Faults {
  /**
   * - `refuse`: answered with 403, as by a proxy that knows no WebSockets
   * - `strip`: passed on without its Upgrade field, which a proxy need not understand
   * - `swallow`: let through, but nothing after the handshake
   */
  upgrades: 'pass' | 'refuse' | 'strip' | 'swallow';
  /** Event streams are kept until they end: for ever. */
  buffersStreams: boolean;
  /** Polls that wait are answered with 504 after this time. */
  pollTimeoutMs: number;
  /** New connections are reset. */
  isDown: boolean;
  /** Requests, but not upgrades, are answered with this instead. */
  answer: { status: number; headers?: Record<string, string>; body?: string } | null;
}

/** What was asked of it, by path and whether it was an upgrade. */
export interface Seen {
  path: string;
  query: string;
  isUpgrade: boolean;
  authorization: string | undefined;
  protocol: string | undefined;
}

export class FaultyProxy {
  readonly faults: Faults = {
    upgrades: 'pass',
    buffersStreams: false,
    pollTimeoutMs: Number.POSITIVE_INFINITY,
    isDown: false,
    answer: null,
  };
  readonly seen: Seen[] = [];
  /** Port of the server; may be changed. */
  target: number;
  readonly #server = createServer((request, response) => this.#pass(request, response));
  readonly #sockets = new Set<Socket>();
  #cutting: NodeJS.Timeout | undefined;

  private constructor(target: number) {
    this.target = target;
    this.#server.on('upgrade', (request, socket: Socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('connection', (socket) => {
      if (this.faults.isDown) socket.resetAndDestroy();
      else this.#hold(socket);
    });
  }

  /** A proxy for the server at a port of 127.0.0.1. */
  static async start(target: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** How many connections there are now, clients' and the server's. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Ends all connections, as a reset or in order. */
  cut(how: 'reset' | 'end' = 'reset'): void {
    for (const socket of this.#sockets) how === 'reset' ? socket.resetAndDestroy() : socket.destroySoon();
  }

  /** Cuts again and again, each time after a random part of `meanMs` to twice of it. */
  cutEvery(meanMs: number, random: () => number): void {
    this.#cutting = setTimeout(
      () => {
        this.cut(random() < 0.5 ? 'reset' : 'end');
        this.cutEvery(meanMs, random);
      },
      meanMs * 2 * random(),
    );
  }

  stopCutting(): void {
    clearTimeout(this.#cutting);
  }

  /** Passes nothing more on the connections that are there, and leaves them open. */
  stall(): void {
    for (const socket of this.#sockets) {
      socket.pause();
      socket.removeAllListeners('data');
      socket.unpipe();
    }
  }

  async stop(): Promise<void> {
    this.stopCutting();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #hold(socket: Socket): void {
    socket.setNoDelay();
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Resets are what it is for.
    socket.on('error', () => {});
  }

  #note({ url, headers }: IncomingMessage, isUpgrade: boolean): void {
    const [path, query = ''] = url!.split('?') as [string, string?];
    const { authorization } = headers;
    this.seen.push({ path, query, isUpgrade, authorization, protocol: headers['sec-websocket-protocol'] });
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request, false);
    const { answer } = this.faults;
    if (answer !== null) {
      response.writeHead(answer.status, answer.headers).end(answer.body);
      return;
    }
    const { method, url, headers } = request;
    const options: RequestOptions = { host: '127.0.0.1', port: this.target, path: url!, method: method!, headers };
    const passed = httpRequest({ ...options, agent: false }, (answer) => this.#answer(request, response, answer));
    passed.on('socket', (socket) => this.#hold(socket));
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
    if (!url!.startsWith('/v1/poll')) return;
    const { pollTimeoutMs } = this.faults;
    if (pollTimeoutMs === Number.POSITIVE_INFINITY) return;
    const timer = setTimeout(() => {
      passed.destroy();
      response.writeHead(504).end('<h1>Gateway Timeout</h1>');
    }, pollTimeoutMs);
    response.on('close', () => clearTimeout(timer));
  }

  #answer(request: IncomingMessage, response: ServerResponse, answer: IncomingMessage): void {
    const isStream = answer.headers['content-type']?.startsWith('text/event-stream') === true;
    if (isStream && this.faults.buffersStreams) {
      answer.resume();
      answer.on('close', () => response.destroy());
      return;
    }
    const { connection: _, ...headers } = answer.headers;
    response.writeHead(answer.statusCode!, headers);
    if (isStream) response.flushHeaders();
    answer.pipe(response);
    answer.on('close', () => {
      // One that did not come whole must not look as if it had.
      if (!answer.complete) request.socket.destroy();
    });
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#note(request, true);
    const { upgrades } = this.faults;
    if (upgrades === 'refuse') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    const server = connect({ port: this.target, host: '127.0.0.1' });
    this.#hold(server);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const name = request.rawHeaders[i]!;
      const stripped = upgrades === 'strip' && /^(upgrade|connection)$/i.test(name);
      if (!stripped) lines.push(`${name}: ${request.rawHeaders[i + 1]}`);
    }
    server.write(`${lines.join('\r\n')}\r\n\r\n`);
    server.write(head);
    socket.on('close', () => server.destroy());
    server.on('close', () => socket.destroy());
    if (upgrades !== 'swallow') {
      server.pipe(socket);
      socket.pipe(server);
      return;
    }
    server.once('data', (bytes: Buffer) => {
      const end = bytes.indexOf('\r\n\r\n');
      assertHandshake(end);
      socket.write(bytes.subarray(0, end + 4));
      server.resume();
    });
    socket.resume();
  }
}

function assertHandshake(end: number): void {
  if (end < 0) throw new Error('the handshake did not come in one piece');
}
