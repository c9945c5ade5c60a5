/**
 * An echo server made of the modules here and node:net, for tests: each message goes back as it came, compressed where that
 * was agreed upon.
 */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { HEAD_PARTIAL, parseRequestHead, RequestHead } from '../../http/request-head.js';
import { refusal } from '../../http/response.js';
import { COMPRESSION_BYTES_MIN, deflateMessage } from '../deflate.js';
import { closeFrame, frame, OPCODE_PONG } from '../frame.js';
import { NO_DEFLATE, openHandshake } from '../handshake.js';
import { type ReaderState, WebSocketReader } from '../reader.js';

export interface EchoOptions {
  messageBytesMax?: number;
  /** Compresses from this size on. */
  compressionBytesMin?: number;
}

/** Listens on a free port of the loopback address. */
export async function listenEcho({
  messageBytesMax = 16 << 20,
  compressionBytesMin = COMPRESSION_BYTES_MIN,
}: EchoOptions = {}): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => {
    const connection = new EchoConnection(socket, messageBytesMax, compressionBytesMin);
    socket.on('data', (bytes) => connection.received(bytes));
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, server };
}

class EchoConnection {
  readonly #socket: Socket;
  readonly #reader: WebSocketReader;
  readonly #compressionBytesMin: number;
  readonly #head = new RequestHead();
  #partialHead: Buffer = Buffer.alloc(0);
  #isOpen = false;
  #windowBits = NO_DEFLATE;
  #state: ReaderState | undefined;

  constructor(socket: Socket, messageBytesMax: number, compressionBytesMin: number) {
    this.#socket = socket;
    this.#compressionBytesMin = compressionBytesMin;
    this.#reader = new WebSocketReader(
      {
        message: (_, opcode, bytes, start, end) => {
          const compress = this.#windowBits !== NO_DEFLATE && end - start >= this.#compressionBytesMin;
          if (!compress) return this.#send(frame(opcode, bytes, start, end));
          const deflated = deflateMessage(bytes.subarray(start, end), this.#windowBits);
          return this.#send(frame(opcode, deflated, 0, deflated.length, true));
        },
        ping: (_, bytes, start, end) => this.#send(frame(OPCODE_PONG, bytes, start, end)),
        pong: () => true,
        close: (_, code) => this.#end(closeFrame(code)),
        failed: (_, code, why) => this.#end(closeFrame(code, why)),
      },
      messageBytesMax,
    );
  }

  received(bytes: Buffer): void {
    if (this.#socket.writableEnded) return;
    if (!this.#isOpen) {
      bytes = Buffer.concat([this.#partialHead, bytes]);
      const length = parseRequestHead(bytes, 0, bytes.length, this.#head, 0);
      if (length === HEAD_PARTIAL) {
        this.#partialHead = bytes;
        return;
      }
      const handshake = length < 0 ? length : openHandshake(bytes, this.#head);
      if (typeof handshake === 'number') {
        this.#end(Buffer.from(refusal(-handshake, Date.now())));
        return;
      }
      this.#isOpen = true;
      this.#windowBits = handshake.windowBits;
      this.#send(handshake.answer);
      bytes = bytes.subarray(length);
    }
    const deflate = this.#windowBits !== NO_DEFLATE;
    this.#state = this.#reader.read(0, this.#state, deflate, bytes, 0, bytes.length);
  }

  #send(bytes: Buffer): boolean {
    this.#socket.write(bytes);
    return true;
  }

  #end(bytes: Buffer): void {
    this.#socket.end(bytes);
  }
}
