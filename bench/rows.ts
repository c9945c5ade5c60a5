/** The rows of `npm run bench` and the client's protocol for each. */

import { type BenchServer, type Encode, startC, startMegaComet, startNode } from './launch.js';
import type { Protocol } from './wires.js';

export interface Row {
  /** As in `--rows`. */
  key: string;
  title: string;
  protocol: Protocol;
  /** Starts a fresh server for so many connections. Rejects with Unavailable where it cannot run. */
  start(connections: number): Promise<BenchServer>;
}

/** The row that all others are compared with. */
export const REFERENCE = 'c';

/** MegaComet as it was: the build of another checkout (`--baseline`), with the same options. */
export function baselineRow(checkout: string): Row {
  const start = (connections: number): Promise<BenchServer> => startMegaComet(connections, 'auto', [], checkout);
  return { key: 'baseline', title: 'MegaComet, before', protocol: 'classic', start };
}

/** A server without channels reads the message as it is. */
const bare: Encode = ([{ data }]) => data;

export const ROWS: Row[] = [
  { key: 'megacomet', title: 'MegaComet', protocol: 'classic', start: (n) => startMegaComet(n, 'auto') },
  { key: 'megacomet-epoll', title: 'MegaComet, epoll', protocol: 'classic', start: (n) => startMegaComet(n, 'epoll') },
  {
    key: 'megacomet-portable',
    title: 'MegaComet, portable',
    protocol: 'classic',
    start: (n) => startMegaComet(n, 'portable'),
  },
  { key: REFERENCE, title: 'minimal C epoll', protocol: 'classic', start: () => startC('minimal-epoll', [], bare) },
  { key: 'http', title: 'node:http', protocol: 'classic', start: () => startNode('node-http.js', [], bare) },
  { key: 'reactor', title: 'the reactor alone', protocol: 'classic', start: () => startNode('reactor.js', [], bare) },
  {
    key: 'io-uring',
    title: 'io_uring alone',
    protocol: 'classic',
    start: () => startNode('reactor.js', ['io-uring'], bare),
  },
  { key: 'ws', title: 'ws', protocol: 'bare-websocket', start: () => startNode('ws.js', [], bare) },
];
