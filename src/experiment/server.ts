/** The server under test: `megacomet serve` on its machine, its processes by name, its own idea of what it holds. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requestApi } from '../cli/api-client.js';
import { OperatorError } from '../cli/errors.js';
import { eventually, findManager } from '../cli/run-directory.js';
import { findWorkers } from '../manager/processes.js';
import type { ManagerFile } from '../manager/run-directory.js';
import type { ManagerStatus } from '../manager/status.js';
import { type Endpoint, parseEndpoint } from '../megatest/addresses.js';
import { experimentDirectory, experimentRunDirectory } from './leftovers.js';
import type { Network } from './network.js';
import type { ExperimentOptions } from './options.js';

const MAIN_FILE = fileURLToPath(new URL('../cli/main.js', import.meta.url));
const READY_MS = 30_000;
/** Workers accept from one queue and do not take equal shares: so much more than needed may each of them hold. */
const SPARE_SHARE = 0.02;
const SPARE_MIN = 500;

export interface ServerProcess {
  /** `manager`, `worker 0` … */
  name: string;
  pid: number;
}

export class Server {
  readonly api: string;
  readonly classic: Endpoint;
  readonly target: Endpoint;
  private readonly managerPid: number;

  private constructor(file: ManagerFile) {
    this.managerPid = file.pid;
    this.api = file.api;
    this.classic = parseEndpoint(file.classic!);
    this.target = parseEndpoint(file.clients[0]);
  }

  /**
   * Starts it and waits until its run directory says that it is ready. Its end is up to leftovers.ts.
   *
   * @throws OperatorError with the last line of its log where it ends instead
   */
  static async start(options: ExperimentOptions, network: Network, signal: AbortSignal): Promise<Server> {
    mkdirSync(experimentDirectory(process.pid), { mode: 0o700 });
    const logPath = join(experimentDirectory(process.pid), 'serve.log');
    const log = openSync(logPath, 'a', 0o600);
    const [command, ...args] = [
      ...network.within,
      process.execPath,
      MAIN_FILE,
      'serve',
      ...serveArguments(options, network),
    ];
    // Detached: Ctrl-C goes to the experiment alone.
    const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    const runDirectory = experimentRunDirectory(process.pid);
    const settled = await eventually(
      async () => hasEnded(child) || signal.aborted || (await findManager(runDirectory)) !== null,
      READY_MS,
    );
    const file = await findManager(runDirectory);
    if (file === null && !signal.aborted) {
      const lines = readFileSync(logPath, 'utf8').trim().split('\n');
      const what = settled ? 'ended at once' : `was not ready within ${READY_MS / 1000} s`;
      throw new OperatorError(`the server ${what}: ${lines.at(-1)!.replace(/^megacomet: /, '') || 'it said nothing'}`);
    }
    if (file === null) throw new OperatorError('interrupted before the server was ready');
    child.unref();
    return new Server(file);
  }

  /** The living processes. */
  get processes(): ServerProcess[] {
    const workers = findWorkers(experimentRunDirectory(process.pid)).sort((one, other) => one.worker - other.worker);
    return [
      { name: 'manager', pid: this.managerPid },
      ...workers.map(({ worker, pid }) => ({ name: `worker ${worker}`, pid })),
    ];
  }

  /** What it says of itself; workers report once a second. @throws OperatorError where it does not answer */
  async status(): Promise<ManagerStatus> {
    return (await requestApi(this.api, '/v1/status')) as ManagerStatus;
  }
}

function serveArguments(
  { connections, workers, reactor }: ExperimentOptions,
  { serverHost, anyPorts }: Network,
): string[] {
  const [client, classic, api] = anyPorts ? ['0', '0', '0'] : ['8000', '9000', '9001'];
  const capacity = connections + Math.max(SPARE_MIN, Math.ceil(SPARE_SHARE * connections));
  return [
    ...['--run-dir', experimentRunDirectory(process.pid), '--host', serverHost],
    ...['--client-ports', client, '--classic-port', classic, '--api-port', api],
    ...['--max-connections', String(capacity)],
    ...(workers === null ? [] : ['--workers', String(workers)]),
    // Nothing is left behind, and figures stay comparable.
    ...['--reactor', reactor, '--log', 'memory'],
  ];
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
