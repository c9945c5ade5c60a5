/**
 * The requests of all clients from a few native buffers: those whose number has as many digits, and that go to the same
 * target, differ in the digits only, which are written over before each one is sent.
 *
 *     GET /a17.js HTTP/1.1␍␊Host: 127.0.0.1:8000␍␊␍␊
 *           ▲▲ digits
 */

import { type Reactor, SEND_PENDING } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import { type Endpoint, formatEndpoint } from './addresses.js';

/** Digits of the largest client number. */
const DIGITS_MAX = 8;
const NO_BUFFER = -1;

export class RequestBuffers {
  private readonly buffers: SendBuffers;
  private readonly targets: Endpoint[];
  private readonly prefix: string;
  /** Buffer of each target and number of digits. */
  private readonly handles: Int32Array;

  constructor(buffers: SendBuffers, targets: Endpoint[], prefix: string) {
    this.buffers = buffers;
    this.targets = targets;
    this.prefix = prefix;
    this.handles = new Int32Array(targets.length * (DIGITS_MAX + 1)).fill(NO_BUFFER);
  }

  /** Sends the poll of a client. @returns what the reactor's `send` returned */
  send(reactor: Reactor, connection: number, client: number): number {
    const digits = String(client);
    const target = client % this.targets.length;
    const index = target * (DIGITS_MAX + 1) + digits.length;
    if (this.handles[index] === NO_BUFFER) this.handles[index] = this.create(target, digits.length);
    const handle = this.handles[index];
    const bytes = this.buffers.bytes(handle);
    const start = 'GET /'.length + this.prefix.length;
    for (let digit = 0; digit < digits.length; digit++) bytes[start + digit] = digits.charCodeAt(digit);
    const result = reactor.send(connection, handle);
    if (result === SEND_PENDING) {
      // The reactor still reads these bytes: the next request gets a buffer of its own.
      this.buffers.release(handle);
      this.handles[index] = NO_BUFFER;
    }
    return result;
  }

  private create(target: number, digits: number): number {
    const host = formatEndpoint(this.targets[target]);
    const request = `GET /${this.prefix}${'0'.repeat(digits)}.js HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    const handle = this.buffers.allocate(request.length);
    this.buffers.bytes(handle).set(Buffer.from(request, 'latin1'));
    return handle;
  }
}
