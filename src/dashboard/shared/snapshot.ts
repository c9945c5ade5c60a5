/**
 * What the server tells the dashboard, and the page understands: both import this file, which needs nothing of either side.
 *
 * GET /v1/events is a stream of server-sent events: `history` once, with what came before the viewer, then `snapshot` about
 * once a second. A figure that is not known is null, never 0.
 */

/** Ways in which a client listens, in the order in which they are shown. `other`: reading a request, publishing, between two. */
export const TRANSPORTS = ['websocket', 'sse', 'stream', 'poll', 'classic', 'other'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** What is kept for the last minutes and charted. Rates are for a second. */
export const SERIES = [
  'connections',
  ...TRANSPORTS,
  'opened',
  'closed',
  'messages',
  'publications',
  'deliveryP50Ms',
  'deliveryP99Ms',
  /** Share of one core: 1 is a whole one. */
  'managerCpu',
  'workersCpu',
  'busiestWorkerCpu',
  /** Of all processes. */
  'residentBytes',
  /** For each connection. */
  'userBytes',
  'kernelBytes',
] as const;
export type SeriesName = (typeof SERIES)[number];

/** All series at one time. */
export type Point = Record<SeriesName, number | null>;

/** Points of the past, oldest first, a column for each series. */
export interface History {
  timesMs: number[];
  series: Record<SeriesName, (number | null)[]>;
}

export interface WorkerRow {
  worker: number;
  pid: number;
  /** serving; full, which accepts nobody; lost, without a link to the manager. */
  state: 'serving' | 'full' | 'lost';
  capacity: number | null;
  connections: number | null;
  transports: Record<Transport, number | null>;
  opened: number | null;
  closed: number | null;
  messages: number | null;
  cpu: number | null;
  residentBytes: number | null;
  slowConsumers: number | null;
  catchingUp: number | null;
}

/** Something that an operator should look at. */
export interface Warning {
  /** doctor: found in this machine's settings at the start. kernel: complained about since. server: MegaComet itself. */
  source: 'doctor' | 'kernel' | 'server';
  what: string;
  /** How often, where that can be counted. */
  count: number | null;
  /** What to do; null where nobody knows. */
  cure: string | null;
}

export interface Snapshot {
  timeMs: number;
  version: string;
  pid: number;
  uptimeSeconds: number;
  point: Point;
  /** How many clients all workers together can hold. */
  capacity: number;
  /** Since the start of the manager, or of the workers that live. */
  totals: { accepted: number; messages: number; publications: number; slowConsumers: number; refused: number };
  /** Now. */
  subscriptions: number;
  catchingUp: number;
  linksBehind: number;
  log: {
    kind: string;
    publications: number;
    bytes: number;
    channels: number;
    queued: number;
    evicted: number;
    expired: number;
    pending: number;
  };
  manager: { cpu: number | null; residentBytes: number };
  workers: WorkerRow[];
  warnings: Warning[];
}

/** `message` of GET /v1/tail. */
export interface TailMessage {
  cursor: string;
  timeMs: number;
  /** Text, JSON, or bytes of the classic port that are not UTF-8 (as replacement characters). */
  kind: 'text' | 'json' | 'raw';
  /** The beginning, where it is long. */
  data: string;
  /** Length of the whole data. */
  bytes: number;
}

/** `gap` of GET /v1/tail: publications that this viewer does not get. */
export interface TailGap {
  /** The highest place that is missing. */
  cursor: string;
  /** retention: the log has dropped them. pace: more came than a viewer is shown. */
  reason: 'retention' | 'pace';
}
