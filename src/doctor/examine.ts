/** All checks, in the order in which they are told: what a connection meets first comes first. */

import type { Check } from './check.js';
import * as descriptors from './descriptor-checks.js';
import * as memory from './memory-checks.js';
import * as network from './network-checks.js';
import { makePlan, type Plan, type Request } from './plan.js';
import type { Reading } from './reading.js';

const CHECKS: ((reading: Reading, plan: Plan) => Check | null)[] = [
  descriptors.descriptorLimit,
  descriptors.filesOfOneProcess,
  descriptors.filesOfAllProcesses,
  descriptors.ioUring,
  descriptors.epollWatches,
  network.acceptQueue,
  network.handshakeQueue,
  network.tcpMemory,
  network.connectionTracking,
  network.trackingTimeout,
  network.localPorts,
  memory.machineMemory,
  memory.groupMemory,
  network.groupTcpMemory,
  memory.groupTasks,
  memory.overcommit,
];

/** What the machine says to so many connections. Checks of what it does not have at all are left out. */
export function examine(request: Request, reading: Reading): Check[] {
  const plan = makePlan(request, reading);
  return CHECKS.map((check) => check(reading, plan)).filter((check) => check !== null);
}
