/**
 * The bench's row of the reactor alone: what minimal-epoll.c does, in TypeScript. It holds whoever has sent anything,
 * without looking at it. Its distance to C is the price of calling the kernel from JavaScript; MegaComet's distance to
 * it is the price of ids, limits and HTTP.
 *
 * Like every server of the bench it prints its port, answers everybody who waits with what arrives on its standard
 * input, and ends when that ends. Its argument is the backend, epoll if there is none.
 */

import { openListener } from '../../src/linux/sockets.js';
import { makeReactor, sendBuffersFor } from '../../src/reactor/choose.js';
import { type ReactorEvents, type ReactorName, SEND_DONE } from '../../src/reactor/reactor.js';
import { runLoop } from '../../src/reactor/run-loop.js';

const CAPACITY = 20_000;
const TURN_WAIT_MS = 250;
const BACKEND = (process.argv[2] ?? 'epoll') as ReactorName;

class HoldingServer implements ReactorEvents {
  private readonly buffers = sendBuffersFor(BACKEND);
  private readonly reactor = makeReactor(BACKEND, { capacity: CAPACITY, events: this, buffers: this.buffers });
  /** Those that wait, the latest last, as minimal-epoll.c keeps them. */
  private readonly waiting = new Set<number>();
  /** The standard input, a socket of the bench. */
  private readonly control = this.reactor.adopt(0);

  start(): number {
    const { fd, port } = openListener({ host: '127.0.0.1', port: 0, backlog: 4096 });
    this.reactor.listen(fd);
    return port;
  }

  run(): Promise<void> {
    return runLoop(this.reactor, { turnWaitMs: TURN_WAIT_MS, afterTurn: () => undefined, stopped: () => false });
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    if (connection === this.control) this.fanOut(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
    else this.waiting.add(connection);
  }

  private fanOut(message: string): void {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${message.length}\r\n`;
    const response = Buffer.from(`${head}Connection: close\r\n\r\n${message}`, 'latin1');
    const buffer = this.buffers.copyOf(response);
    for (const connection of [...this.waiting].reverse()) {
      // A negative result means that the slot is already released; a pending one is closed when it has been sent.
      if (this.reactor.send(connection, buffer) === SEND_DONE) this.reactor.close(connection);
    }
    this.buffers.release(buffer);
    this.waiting.clear();
  }

  closed(connection: number): void {
    if (connection === this.control) process.exit(0);
    this.waiting.delete(connection);
  }

  accepted(): void {}
  connected(): void {}
  sent(connection: number): void {
    this.reactor.close(connection);
  }
  acceptingStopped(errno: number): void {
    throw new Error(`cannot accept: errno ${errno}`);
  }
  acceptingResumed(): void {}
}

const server = new HoldingServer();
console.log(server.start());

await server.run();
