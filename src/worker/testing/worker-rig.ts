/**
 * A worker's clients without kernel and manager: the test plays both. Requests go in as bytes, what was sent comes out as
 * bytes or events, and what the manager would be told comes out as frames.
 */

import { setImmediate as nodesTurn } from 'node:timers/promises';
import { type ClientPolicy, OPEN_POLICY } from '../../link/policy.js';
import { SendBuffers } from '../../reactor/send-buffers.js';
import { TimerWheel } from '../../reactor/timer-wheel.js';
import { OPCODE_TEXT } from '../../websocket/frame.js';
import { clientFrame } from '../../websocket/testing/client-frame.js';
import { type ClientReports, Clients } from '../clients.js';
import { Connections } from '../connections.js';
import type { CachedPublication } from '../history.js';
import { Subscriptions } from '../subscriptions.js';
import { type ClientEvent, readSse, readStream, readWebSocket, splitHead } from './client-events.js';
import { ScriptedReactor } from './scripted-reactor.js';

/** What the manager is told. */
export interface ReportedFrame {
  type: 'subscribed' | 'unsubscribed' | 'read' | 'publish' | 'received';
  channel: string;
  /** Of READ and PUBLISH; of RECEIVED the sequence. */
  request: number;
  /** Of READ; of RECEIVED the number of receivers. */
  after: number;
  id: string;
  data: string;
}

export interface RigOptions {
  capacity?: number;
  /** Subscriptions beyond the first of each connection. */
  extraSubscriptions?: number;
  policy?: Partial<ClientPolicy>;
  testEcho?: boolean;
}

const text = (bytes: Uint8Array, start = 0, end = bytes.length) => Buffer.from(bytes.slice(start, end)).toString();

/** The opening handshake of RFC 6455 section 1.2. */
export const HANDSHAKE =
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

export class WorkerRig {
  readonly buffers = new SendBuffers();
  readonly reactor: ScriptedReactor;
  readonly connections: Connections;
  readonly subscribers: Subscriptions;
  readonly clients: Clients;
  /** Frames to the manager that were not taken yet. */
  readonly reported: ReportedFrame[] = [];
  established = true;
  nowMs = 0;
  wallMs = 1_769_947_200_000;
  /** Wrong tokens that were counted, by connection; and whether there were too many. */
  readonly failures = {
    counted: [] as number[],
    exhausted: false,
    isExhausted: () => this.failures.exhausted,
    failed: (connection: number) => void this.failures.counted.push(connection),
  };
  /** Questions for keys. */
  keysAsked = 0;
  /** Buffers that the worker keeps: heartbeats. */
  readonly ownBytes: number;

  constructor({ capacity = 16, extraSubscriptions = 32, policy = {}, testEcho = false }: RigOptions = {}) {
    this.reactor = new ScriptedReactor(this.buffers, capacity);
    this.connections = new Connections(capacity);
    this.subscribers = new Subscriptions(capacity, extraSubscriptions, [1, 2]);
    const report = (type: ReportedFrame['type'], channel: string, rest: Partial<ReportedFrame> = {}) =>
      this.reported.push({ type, channel, request: 0, after: 0, id: '', data: '', ...rest });
    const rig = this;
    const reports: ClientReports = {
      keyUnknown: () => {
        this.keysAsked++;
        return this.established;
      },
      get established() {
        return rig.established;
      },
      waiting: () => {},
      notWaiting: () => {},
      delivered: () => {},
      subscribed: (...name) => report('subscribed', text(...name)),
      unsubscribed: (...name) => report('unsubscribed', text(...name)),
      received: (request, after) => report('received', '', { request, after }),
      read: (request, after, ...name) => report('read', text(...name), { request, after }),
      publish: (request, _kind, id, name, data) =>
        report('publish', text(name), { request, id: text(id), data: text(data) }),
    };
    const parts = {
      reactor: this.reactor,
      buffers: this.buffers,
      connections: this.connections,
      waiters: new Subscriptions(capacity, 0, [1, 2] as const),
      subscribers: this.subscribers,
      timers: new TimerWheel(),
      maxConnections: capacity,
      testEcho,
      clock: () => this.nowMs,
      wallClock: () => this.wallMs,
      failures: this.failures,
      reports,
    };
    this.clients = new Clients(parts);
    this.setPolicy(policy);
    this.ownBytes = this.buffers.liveBytes;
  }

  /** What the manager says that clients may do from now on. */
  setPolicy(policy: Partial<ClientPolicy>): void {
    this.clients.applyPolicy({ ...OPEN_POLICY, ...policy });
  }

  // ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Bytes from a client; views are borrowed, so they come within others. */
  receive(connection: number, bytes: string | Uint8Array): void {
    const view = Buffer.concat([Buffer.from('xx'), Buffer.from(bytes as string), Buffer.from('yy')]);
    this.clients.received(connection, view, 2, view.length - 2);
    view.fill(0x21);
  }

  /** A request of a new connection, or of one that persists. */
  get(connection: number, target: string, fields = ''): void {
    if (this.connections.phase[connection] === 0) this.clients.accepted(connection);
    this.receive(connection, `GET ${target} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`);
  }

  /** Opens a WebSocket. */
  openWebSocket(connection: number, target = '/v1/ws', fields = ''): void {
    this.get(connection, target, `${HANDSHAKE}${fields}`);
  }

  /** A message of a WebSocket's client. */
  say(connection: number, message: unknown): void {
    const data = typeof message === 'string' ? message : JSON.stringify(message);
    this.receive(connection, clientFrame({ opcode: OPCODE_TEXT, data }));
  }

  /** What a connection was sent since the last call. */
  sent(connection: number): string {
    return this.reactor.takeSent(connection).toString();
  }

  /** The events that a connection was sent since the last call, without heartbeats; heads are passed over. */
  events(connection: number, transport: 'sse' | 'stream' | 'ws'): ClientEvent[] {
    const bytes = this.reactor.takeSent(connection);
    const rest = bytes.toString('latin1').startsWith('HTTP/') ? splitHead(bytes)!.rest : bytes;
    const read = { sse: readSse, stream: (stream: Buffer) => readStream(stream, true), ws: readWebSocket }[transport];
    const quiet = ['heartbeat', 'retry'];
    return read(rest).events.filter(({ type }) => !quiet.includes(type));
  }

  tick(nowMs: number): void {
    this.nowMs = nowMs;
    this.clients.tick();
  }

  /** Lets all verifications of tokens end, and tells what came of them. */
  async verified(): Promise<void> {
    while (this.clients.verifying) {
      await nodesTurn();
      this.tick(this.nowMs);
    }
  }

  // ── The manager ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Frames since the last call, in short: `subscribed a`, `read 1 7 a`. */
  reports(): string {
    return this.reported
      .splice(0)
      .map(({ type, channel, request, after, data }) => {
        if (type === 'read') return `read ${request} ${after} ${channel}`;
        if (type === 'publish') return `publish ${request} ${channel} ${data}`;
        return type === 'received' ? `received ${request}:${after}` : `${type} ${channel}`;
      })
      .join(', ');
  }

  welcome(epoch = 'e', last = 0): void {
    this.established = true;
    this.clients.managerFound(epoch, last);
  }

  lose(): void {
    this.established = false;
    this.clients.managerLost();
  }

  fanOut(sequence: number, channel: string, data: string, kind = 0, flags = 0, timeMs = 1000): void {
    const bytes = Buffer.from(`..${channel}${data}`);
    const nameEnd = 2 + Buffer.byteLength(channel);
    this.clients.streams.fanOut(sequence, timeMs, kind, flags, bytes, 2, nameEnd, bytes.length);
    bytes.fill(0x21);
  }

  gap(sequence: number, channel: string): void {
    const bytes = Buffer.from(channel);
    this.clients.streams.gap(sequence, bytes, 0, bytes.length);
  }

  /** Answers a READ. */
  history(request: number, upTo: number, items: [number, string][] = [], gap = 0, rest = 0): void {
    const publications: CachedPublication[] = items.map(([sequence, data]) => ({
      sequence,
      timeMs: 1000,
      kind: 0,
      data: Buffer.from(data),
      encodings: null,
    }));
    this.clients.streams.catchUps.history(request, upTo, gap, rest, publications);
  }

  /** Answers all READs that are outstanding with nothing new, up to the sequence. Other frames are thrown away. */
  confirm(upTo: number): void {
    for (const { type, request } of this.reported.splice(0)) if (type === 'read') this.history(request, upTo);
  }

  /** What is left when all connections have gone: nothing. */
  leftovers(): Record<string, number> {
    return {
      held: this.connections.held,
      subscriptions: this.subscribers.size,
      channels: this.subscribers.channels,
      catchUps: this.clients.streams.catchUps.size,
      partialHeads: this.connections.partialHeads,
      identities: this.clients.access.identities.size,
      bytes: this.buffers.liveBytes - this.ownBytes,
    };
  }
}

export const NOTHING_LEFT = {
  held: 0,
  subscriptions: 0,
  channels: 0,
  catchUps: 0,
  partialHeads: 0,
  identities: 0,
  bytes: 0,
};
