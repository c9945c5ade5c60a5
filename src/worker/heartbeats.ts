/**
 * Heartbeats of streams: each gets one in HEARTBEAT_MS, which keeps it open through proxies that close what is idle. They go round the
 * connection table, so that no connection needs a timer.
 */

import { HEARTBEAT_MS } from '../limits.js';
import { type Reactor, SEND_PENDING } from '../reactor/reactor.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FORMAT_SHIFT, PHASE_STREAMING } from './connections.js';
import type { Streams } from './streams.js';
import type { Wire } from './wire.js';

export class Heartbeats {
  readonly #reactor: Reactor;
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #streams: Streams;
  readonly #wire: Wire;
  /** The next row. */
  #row = 0;
  /** When the rows before it were due. */
  #doneMs = Number.NaN;

  constructor(parts: {
    reactor: Reactor;
    connections: Connections;
    control: ConnectionControl;
    streams: Streams;
    wire: Wire;
  }) {
    this.#reactor = parts.reactor;
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#streams = parts.streams;
    this.#wire = parts.wire;
  }

  /** Sends heartbeats to as many streams as fall into the time since the last call. */
  beat(nowMs: number): void {
    const { capacity, phase, flags } = this.#connections;
    if (Number.isNaN(this.#doneMs)) this.#doneMs = nowMs;
    const rows = Math.min(capacity, Math.floor(((nowMs - this.#doneMs) / HEARTBEAT_MS) * capacity));
    if (rows === 0) return;
    this.#doneMs += (rows / capacity) * HEARTBEAT_MS;
    if (nowMs - this.#doneMs > HEARTBEAT_MS) this.#doneMs = nowMs;
    let connection = this.#row;
    for (let i = 0; i < rows; i++) {
      if (phase[connection] === PHASE_STREAMING && this.#streams.isOpen(connection)) {
        const result = this.#reactor.send(connection, this.#wire.heartbeat(flags[connection] >> FORMAT_SHIFT));
        if (result < 0) this.#control.gone(connection);
        else if (result === SEND_PENDING) this.#streams.checkPace(connection, 0);
      }
      connection = connection + 1 === capacity ? 0 : connection + 1;
    }
    this.#row = connection;
  }
}
