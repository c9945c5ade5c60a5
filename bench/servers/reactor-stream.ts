/**
 * The reactor alone, in bench:fan-out: what minimal-stream.c does, in TypeScript. Its distance to C is the price of calling the
 * kernel from JavaScript; MegaComet's distance to it is the price of the log, the manager, limits and subscriptions.
 *
 * It prints its port, publishes each line `c<number> <data>` of its standard input, and ends when that ends. Its arguments
 * are the protocol, sse or websocket, and the backend.
 */

import { openListener } from '../../src/linux/sockets.js';
import { makeReactor, sendBuffersFor } from '../../src/reactor/choose.js';
import type { ReactorEvents, ReactorName } from '../../src/reactor/reactor.js';
import { runLoop } from '../../src/reactor/run-loop.js';

const CAPACITY = 20_000;
const TURN_WAIT_MS = 250;
const BATCH = 64;
const EPOCH = '0123456789ab';
const STREAM_HEAD =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n';
/** The answer to the key of RFC 6455 section 1.3, which is the bench's. */
const UPGRADE_HEAD =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

const [protocol, backend] = process.argv.slice(2);

class StreamingServer implements ReactorEvents {
  private readonly buffers = sendBuffersFor(backend as ReactorName);
  private readonly reactor = makeReactor(backend as ReactorName, {
    capacity: CAPACITY,
    events: this,
    buffers: this.buffers,
  });
  private readonly channelOf: (string | undefined)[] = new Array(CAPACITY);
  private readonly targets = new Int32Array(BATCH);
  private readonly results = new Int32Array(BATCH);
  private readonly listening = new Map<string, Set<number>>();
  /** The standard input, a socket of the bench. */
  private readonly control = this.reactor.adopt(0);
  private lines = '';
  private sequence = 0;

  start(): number {
    const { fd, port } = openListener({ host: '127.0.0.1', port: 0, backlog: 4096 });
    this.reactor.listen(fd);
    return port;
  }

  run(): Promise<void> {
    return runLoop(this.reactor, { turnWaitMs: TURN_WAIT_MS, afterTurn: () => undefined, stopped: () => false });
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
    if (connection === this.control) this.readLines(text);
    else if (this.channelOf[connection] === undefined) this.greet(connection, /channel=(c\d+)/.exec(text)![1]);
  }

  private greet(connection: number, channel: string): void {
    this.channelOf[connection] = channel;
    const others = this.listening.get(channel);
    if (others === undefined) this.listening.set(channel, new Set([connection]));
    else others.add(connection);
    const cursor = `${EPOCH}-${this.sequence}`;
    const opened = `event: subscribed\nid: ${cursor}\ndata: {"cursor":"${cursor}"}\n\n`;
    const subscribed = `{"type":"subscribed","channels":["${channel}"],"cursor":"${cursor}"}`;
    const websocket = protocol === 'websocket';
    this.sendTo([connection], websocket ? UPGRADE_HEAD + frame(subscribed) : `${STREAM_HEAD}retry: 3000\n\n${opened}`);
  }

  private readLines(text: string): void {
    const lines = (this.lines + text).split('\n');
    this.lines = lines.pop()!;
    for (const line of lines) {
      const space = line.indexOf(' ');
      this.publish(line.slice(0, space), line.slice(space + 1));
    }
  }

  private publish(channel: string, data: string): void {
    const cursor = `${EPOCH}-${++this.sequence}`;
    const publication = `"channel":"${channel}","data":"${data}","time":${Date.now()}}`;
    const websocket = protocol === 'websocket';
    this.sendTo(
      this.listening.get(channel) ?? [],
      websocket
        ? frame(`{"type":"message","cursor":"${cursor}",${publication}`)
        : `id: ${cursor}\ndata: {${publication}\n\n`,
    );
  }

  /** To each the same native buffer. */
  private sendTo(connections: Iterable<number>, text: string): void {
    const buffer = this.buffers.allocate(text.length);
    this.buffers.bytes(buffer).set(Buffer.from(text, 'latin1'));
    let count = 0;
    for (const connection of connections) {
      this.targets[count++] = connection;
      if (count < BATCH) continue;
      this.reactor.sendAll(this.targets, count, buffer, this.results);
      count = 0;
    }
    this.reactor.sendAll(this.targets, count, buffer, this.results);
    this.buffers.release(buffer);
  }

  closed(connection: number): void {
    if (connection === this.control) process.exit(0);
    const channel = this.channelOf[connection];
    if (channel !== undefined) this.listening.get(channel)!.delete(connection);
    this.channelOf[connection] = undefined;
  }

  accepted(): void {}
  connected(): void {}
  sent(): void {}
  acceptingStopped(errno: number): void {
    throw new Error(`cannot accept: errno ${errno}`);
  }
  acceptingResumed(): void {}
}

/** A text frame of less than 64 KiB (RFC 6455 section 5.2). */
function frame(text: string): string {
  const length = text.length < 126 ? [text.length] : [126, text.length >> 8, text.length & 255];
  return `\x81${String.fromCharCode(...length)}${text}`;
}

const server = new StreamingServer();
console.log(server.start());

await server.run();
