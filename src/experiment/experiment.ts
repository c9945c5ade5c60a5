/**
 * An experiment from beginning to end:
 *
 *     remove what killed ones left ─▶ check the machine ─▶ namespaces ─▶ server ─▶ clients ─▶ phases ─▶ remove everything
 *
 * This process publishes, observes and keeps the books; client processes of megatest hold the connections.
 */

import { randomInt } from 'node:crypto';
import { cureOf, findComplaints } from '../kernel/complaints.js';
import { enterNetwork } from '../linux/network-namespace.js';
import { raiseDescriptorLimit } from '../linux/sockets.js';
import { Crew, type Load } from '../megatest/crew.js';
import { processesNeeded } from '../megatest/options.js';
import { Progress, type ProgressOutput } from '../megatest/progress.js';
import { Books, MESSAGE_BYTES } from './books.js';
import { describeMachine, describeVersions } from './environment.js';
import { removeExperiment, removeLeftovers } from './leftovers.js';
import { loopbackNetwork, makeNamespaces, type Network } from './network.js';
import { Observer, readBaseline } from './observer.js';
import type { ExperimentOptions } from './options.js';
import { Phases } from './phases.js';
import { findShortages, readMachine, refuseShortages } from './prerequisites.js';
import type { ExperimentResult } from './result.js';
import { Server } from './server.js';

export interface ExperimentIo {
  progress: ProgressOutput;
  /** Ends the experiment early; what was measured so far is returned. */
  signal: AbortSignal;
}

const CONNECT_TIMEOUT_MS = 60_000;
/** The manager's process; workers come on top. */
const MANAGERS = 1;

/**
 * Runs an experiment and removes all that it has made, however it ends.
 *
 * @throws OperatorError where it cannot be done: the machine is too small, `ip` is missing, the server does not start, a
 *   client process ends, or it was interrupted before the clients were there
 */
export async function runExperiment(options: ExperimentOptions, io: ExperimentIo): Promise<ExperimentResult> {
  const root = process.getuid!() === 0;
  await removeLeftovers(root);
  const loads = planLoads(options);
  const processes = loads.reduce((sum, load) => sum + load, 0);
  const servers = MANAGERS + (options.workers ?? 1);
  refuseShortages(findShortages(options.connections, processes + servers, readMachine(root)));
  let leave: (() => void) | null = null;
  try {
    const network = options.loopback
      ? loopbackNetwork(options.boxes)
      : await makeNamespaces(options.boxes, options.connections);
    const baseline = readBaseline();
    const server = await Server.start(options, network, io.signal);
    // From here on this process speaks to the API as a program on the server's machine.
    if (network.serverNetwork !== null) leave = enterNetwork(network.serverNetwork);
    return await observe(options, io, network, server, baseline, loads);
  } finally {
    leave?.();
    await removeExperiment(process.pid, root);
  }
}

/** How many processes each box has. */
function planLoads(options: ExperimentOptions): number[] {
  const descriptorLimit = raiseDescriptorLimit();
  return options.boxes.map(({ connections }) =>
    processesNeeded(connections, { reactor: options.reactor, descriptorLimit }),
  );
}

async function observe(
  options: ExperimentOptions,
  io: ExperimentIo,
  network: Network,
  server: Server,
  baseline: ReturnType<typeof readBaseline>,
  processes: number[],
): Promise<ExperimentResult> {
  const { connections } = options;
  const startedAt = new Date().toISOString();
  const run = randomInt(2 ** 32)
    .toString(16)
    .padStart(8, '0');
  const books = new Books(run, options, server);
  const loads: Load[] = network.boxes.map((box, index) => ({
    targets: [server.target],
    connections: box.connections,
    prefix: box.name,
    rate: (options.rate * box.connections) / connections,
    sources: box.sources,
    processes: processes[index],
    timeoutMs: CONNECT_TIMEOUT_MS,
    reopen: false,
    reactor: options.reactor,
    messageBytes: MESSAGE_BYTES,
    within: box.within,
  }));
  let observer: Observer | null = null;
  const crew = await Crew.muster(
    loads,
    run,
    (sequences, latenciesUs) => books.receive(sequences, latenciesUs, (latencyUs) => observer?.record(latencyUs)),
    io.signal,
  );
  const phases = new Phases(options, crew, server, books, io.signal);
  const firsts = network.serverNetwork === null ? [] : firstOfEach(processes).map((index) => crew.pids[index]);
  observer = new Observer(
    {
      serverProcesses: () => server.processes,
      boxPids: firsts,
      testerPids: crew.pids,
      counts: () => phases.counts(),
    },
    baseline,
  );
  const progress = new Progress(io.progress, () => {
    const { phase, opened, failed, dropped, received } = phases.counts();
    return { phase, opened, connections, failed, dropped, sent: books.sent, received };
  });
  try {
    await phases.run(observer, () => progress.show());
  } finally {
    progress.stop();
    observer.stop();
    await crew.stop(io.signal);
  }
  const counters = phases.counters;
  return {
    run,
    startedAt,
    connections,
    mode: options.loopback ? 'loopback' : 'namespaces',
    clientBoxes: options.boxes.length,
    reactor: options.reactor,
    clientProcesses: crew.pids.length,
    sourceAddresses: network.boxes.reduce((sum, { sources }) => sum + sources.length, 0),
    machine: describeMachine(),
    versions: describeVersions(),
    interrupted: io.signal.aborted,
    ...phases.results(),
    counters,
    complaints: findComplaints(observer.kernelLog, sum(counters.server, counters.clients)),
    kernelLogRead: observer.kernelLogRead,
    kernelLog: observer.kernelLog.map((line) => ({ ...line, cure: cureOf(line.text) })),
    samples: observer.samples,
  };
}

/** The number of each box's first process, where they are counted through. */
function firstOfEach(processes: number[]): number[] {
  let first = 0;
  return processes.map((count) => (first += count) - count);
}

function sum(one: Record<string, number>, other: Record<string, number>): Record<string, number> {
  const total = { ...one };
  for (const [name, value] of Object.entries(other)) total[name] = (total[name] ?? 0) + value;
  return total;
}
