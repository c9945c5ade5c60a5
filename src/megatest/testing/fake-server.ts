/**
 * A small server for the tests of megatest: the classic protocol, its application port and the publishing API, in one
 * process, with `node:http`. It can be told to do wrong what a server can do wrong.
 */

import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** Each n-th message (or poll), from the first on, is treated wrongly; 0 or left out: none. */
export interface Faults {
  loseEach?: number;
  duplicateEach?: number;
  misdeliverEach?: number;
  /** Polls that get 503. */
  refuseEach?: number;
  /** Polls whose connection is closed at once. */
  dropEach?: number;
  /** Publications that the API refuses. */
  rejectEach?: number;
  /** Answers after which the connection stays open. */
  keepOpenEach?: number;
  /** Answers come in pieces of so many bytes. */
  pieceBytes?: number;
}

export interface FakeServer {
  port: number;
  classicPort: number;
  api: string;
  /** Polls that are waiting. */
  waiting(): number;
  /** Messages that came through each way. */
  readonly taken: { api: number; classic: number };
  /** Closes all waiting connections. */
  dropAll(): void;
  close(): Promise<void>;
}

export async function startFakeServer(faults: Faults = {}): Promise<FakeServer> {
  const waiting = new Map<string, ServerResponse>();
  const queues = new Map<string, string[]>();
  const taken = { api: 0, classic: 0 };
  let polls = 0;
  let messages = 0;
  let calls = 0;
  let answers = 0;

  const clients = createHttpServer((request, response) => {
    const id = /^\/([^.]+)\.js$/.exec(request.url ?? '')?.[1];
    polls++;
    if (id === undefined || hits(polls, faults.refuseEach)) {
      response.writeHead(503, { 'content-length': 2, connection: 'close' }).end('no');
      return;
    }
    if (hits(polls, faults.dropEach)) {
      response.destroy();
      return;
    }
    const queued = queues.get(id)?.shift();
    if (queued !== undefined) {
      void answer(response, queued);
      return;
    }
    waiting.set(id, response);
    response.on('close', () => {
      if (waiting.get(id) === response) waiting.delete(id);
    });
  });

  async function answer(response: ServerResponse, text: string): Promise<void> {
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n`;
    const { socket } = response;
    if (socket === null) return;
    const whole = head + text;
    const pieceBytes = faults.pieceBytes ?? whole.length;
    for (let start = 0; start < whole.length; start += pieceBytes) {
      socket.write(whole.slice(start, start + pieceBytes));
      if (pieceBytes < whole.length) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    if (!hits(++answers, faults.keepOpenEach)) socket.end();
  }

  function deliver(id: string, text: string): void {
    const response = waiting.get(id);
    if (response === undefined) {
      const queue = queues.get(id);
      if (queue === undefined) queues.set(id, [text]);
      else queue.push(text);
      return;
    }
    waiting.delete(id);
    void answer(response, text);
  }

  function publish(id: string, text: string): void {
    messages++;
    if (hits(messages, faults.loseEach)) return;
    if (hits(messages, faults.misdeliverEach)) {
      const other = [...waiting.keys()].find((each) => each !== id);
      if (other !== undefined) deliver(other, text);
      return;
    }
    deliver(id, text);
    if (hits(messages, faults.duplicateEach)) deliver(id, text);
  }

  const api = createHttpServer(async (request, response) => {
    const body = await readText(request);
    if (hits(++calls, faults.rejectEach)) {
      response.writeHead(503).end();
      return;
    }
    const publications = [JSON.parse(body)].flat() as { channel: string; data: string }[];
    taken.api += publications.length;
    for (const { channel, data } of publications) publish(channel, data);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });

  const classic = createServer((socket: Socket) => {
    let rest = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      const frames = (rest + chunk).split('\x02');
      rest = '';
      for (const frame of frames) {
        const [id, text, end] = frame.split('\0');
        if (end === '') {
          taken.classic++;
          publish(id, text);
        } else if (frame !== '') {
          rest = `\x02${frame}`;
        }
      }
    });
  });

  return {
    port: await listen(clients),
    classicPort: await listen(classic),
    api: `http://127.0.0.1:${await listen(api)}`,
    taken,
    waiting: () => waiting.size,
    dropAll: () => clients.closeAllConnections(),
    async close() {
      clients.closeAllConnections();
      api.closeAllConnections();
      await Promise.all([clients, api, classic].map((server) => once(server.close(), 'close')));
    },
  };
}

/** True for 1, n + 1, 2n + 1 … */
function hits(number: number, each = 0): boolean {
  return each > 0 && (number - 1) % each === 0;
}

async function listen(server: Server): Promise<number> {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function readText(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}
