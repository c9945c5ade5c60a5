/** A reactor for tests: it moves nothing, records what it is told, and sends result in what the test decides. */

import { type Reactor, SEND_DONE, SEND_PENDING } from '../../reactor/reactor.js';
import type { SendBuffers } from '../../reactor/send-buffers.js';

export class ScriptedReactor implements Reactor {
  readonly unfinished = false;
  readonly name = 'scripted';
  readonly capacity: number;
  open = 0;
  peerAddresses = false;
  /** Of the client that is accepted next. */
  peer: Uint8Array = new Uint8Array(28);
  /** Everything that was told, as text. */
  readonly told: string[] = [];
  /** What the next sends result in. */
  sendResult = SEND_DONE;
  /** Of every connection that `pendingOf` does not name. */
  pending = 0;
  readonly pendingOf = new Map<number, number>();
  /** Takes part in each send, if set: its result counts. */
  onSend: ((connection: number, bytes: Buffer) => number) | null = null;
  readonly #buffers: SendBuffers;
  readonly #sent = new Map<number, Buffer[]>();

  constructor(buffers: SendBuffers, capacity: number) {
    this.#buffers = buffers;
    this.capacity = capacity;
  }

  listen = (): number => 0;
  connect = (): number => -1;
  adopt = (): number => -1;
  turn = (): number => 0;
  destroy(): void {}
  stopListening(): void {
    this.told.push('stop listening');
  }
  pauseAccepting(): void {
    this.told.push('pause');
  }
  resumeAccepting(): void {
    this.told.push('resume');
  }
  send(connection: number, buffer: number): number {
    const bytes = Buffer.from(this.#buffers.bytes(buffer));
    this.told.push(`send ${connection} ${bytes}`);
    if (this.sendResult >= SEND_PENDING) {
      const sent = this.#sent.get(connection) ?? [];
      sent.push(bytes);
      this.#sent.set(connection, sent);
    }
    return this.onSend?.(connection, bytes) ?? this.sendResult;
  }
  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    let done = 0;
    for (let i = 0; i < count; i++) {
      results[i] = this.send(connections[i], buffer);
      if (results[i] === SEND_DONE) done++;
    }
    return done;
  }
  pendingBytes = (connection: number): number => this.pendingOf.get(connection) ?? this.pending;
  shutdown(connection: number): void {
    this.told.push(`shutdown ${connection}`);
  }
  close(connection: number): void {
    this.told.push(`close ${connection}`);
  }
  abort(connection: number): void {
    this.told.push(`abort ${connection}`);
  }
  /** What was told since the last call; responses are cut to their status and body. */
  take(): string[] {
    return this.told.splice(0).map((line) => line.replace(/HTTP\/1\.1 (\d+)[\s\S]*?\r\n\r\n/g, '$1 '));
  }
  /** What a connection was sent since the last call. */
  takeSent(connection: number): Buffer {
    const sent = Buffer.concat(this.#sent.get(connection) ?? []);
    this.#sent.delete(connection);
    return sent;
  }
}
