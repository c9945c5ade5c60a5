/** Entry point of a client process: runs `Clients` as the parent says (child-protocol.ts), and ends with the parent. */

import { platform } from '../platform/platform.js';
import { reactorOpener } from './backend.js';
import type { ChildMessage, ParentMessage } from './child-protocol.js';
import { Clients } from './clients.js';

const REPORT_INTERVAL_MS = 250;

let clients: Clients | null = null;
let running = false;

process.on('disconnect', () => {
  running = false;
  clients?.stop();
  process.exit(0);
});

process.on('message', (message: ParentMessage) => {
  switch (message.kind) {
    case 'prepare':
      platform.raiseDescriptorLimit();
      clients = new Clients(message.config, reactorOpener(message.config.reactor));
      tell({ kind: 'ready' });
      break;
    case 'go':
      running = true;
      setImmediate(turn);
      setInterval(report, REPORT_INTERVAL_MS);
      break;
    case 'reopen':
      clients?.setReopen(message.reopen);
      break;
    case 'stop':
      running = false;
      if (clients === null) process.exit(0);
      tell({ kind: 'report', report: clients.report() }, () => process.disconnect());
      break;
  }
});

/** Through setImmediate, so that messages, signals and timers of Node have their turn as well. */
function turn(): void {
  if (!running || clients === null) return;
  const waiting = clients.turn();
  if (waiting === undefined) setImmediate(turn);
  else void waiting.then(turn);
}

function report(): void {
  if (running && clients !== null) tell({ kind: 'report', report: clients.report() });
}

function tell(message: ChildMessage, done?: () => void): void {
  // A failure means that the parent is gone; 'disconnect' follows.
  process.send?.(message, undefined, {}, () => done?.());
}
