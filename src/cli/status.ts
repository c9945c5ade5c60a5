/** `megacomet status`: who runs in a run directory, what it holds and what that costs. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import { type ProcessMemory, processMemory } from '../linux/proc.js';
import { findWorkers } from '../manager/processes.js';
import type { ManagerStatus } from '../manager/status.js';
import { requestApi } from './api-client.js';
import { type ApiKeyFlags, apiKeyFileFlag, readApiKey } from './flags/api.js';
import { runDirectoryFlag } from './flags.js';
import { findEmbedded, findManager, reachable, type ServerAddresses } from './run-directory.js';

const HELP = `
RSS counts pages that processes share once for each; private is what one process would free.
Exit code 1 where no manager runs; workers that hold their clients without one are listed all the same.

Example:
  megacomet status --json`;

/** What `status --json` prints. Memory in bytes; null where the process ended meanwhile or is not ours to look into. */
interface Status {
  running: boolean;
  runDirectory: string;
  manager: { pid: number; memory: Memory | null } | null;
  addresses: ServerAddresses | null;
  workers: WorkerStatus[];
}

interface Memory {
  rssBytes: number;
  privateBytes: number;
}

interface WorkerStatus {
  pid: number;
  /** null while the worker has not reported to a manager. */
  connections: number | null;
  messagesSent: number | null;
  memory: Memory | null;
}

export function statusCommand(): Command {
  return new Command('status')
    .description('Show the manager and the workers of a run directory.')
    .option('--json', 'print one JSON object')
    .addOption(runDirectoryFlag())
    .addOption(apiKeyFileFlag())
    .addHelpText('after', HELP)
    .action(async (flags: { runDir: string; json?: true } & ApiKeyFlags) => {
      const status = await readStatus(resolve(flags.runDir), readApiKey(flags));
      process.stdout.write(`${flags.json ? JSON.stringify(status) : formatStatus(status)}\n`);
      if (!status.running) process.exitCode = 1;
    });
}

/** @throws OperatorError where a manager runs whose API does not answer */
async function readStatus(runDirectory: string, key: string | undefined): Promise<Status> {
  const manager = (await findManager(runDirectory)) ?? (await findEmbedded(runDirectory));
  if (manager === null) {
    const workers = findWorkers(runDirectory).map(({ pid }) => ({
      pid,
      connections: null,
      messagesSent: null,
      memory: memoryOf(pid),
    }));
    return { running: false, runDirectory, manager: null, addresses: null, workers };
  }
  const { pid, ...addresses } = manager;
  const answer = (await requestApi(reachable(addresses.api), '/v1/status', { key })) as ManagerStatus;
  const workers = answer.workers.map((worker) => ({
    pid: worker.pid,
    connections: worker.connections,
    messagesSent: worker.messagesSent,
    memory: memoryOf(worker.pid),
  }));
  return { running: true, runDirectory, manager: { pid, memory: memoryOf(pid) }, addresses, workers };
}

function memoryOf(pid: number): Memory | null {
  let memory: ProcessMemory;
  try {
    memory = processMemory(pid);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return null;
    throw error;
  }
  return { rssBytes: memory.rssBytes, privateBytes: memory.privateBytes };
}

/** The table for people. */
function formatStatus(status: Status): string {
  const heading = status.running
    ? addressLines(status.addresses!)
    : [`no manager runs in ${status.runDirectory}${status.workers.length > 0 ? '; workers hold on without it' : ''}`];
  if (!status.running && status.workers.length === 0) return heading[0];
  const rows = [['', 'pid', 'connections', 'messages sent', 'RSS', 'private']];
  if (status.manager) rows.push(['manager', String(status.manager.pid), '', '', ...memoryCells(status.manager.memory)]);
  for (const [index, worker] of status.workers.entries()) {
    const counts = [worker.connections, worker.messagesSent].map((count) => count?.toLocaleString('en') ?? '?');
    rows.push([`worker ${index}`, String(worker.pid), ...counts, ...memoryCells(worker.memory)]);
  }
  return [...heading, '', ...alignColumns(rows)].join('\n');
}

/** Where a server listens, a line for each kind. */
export function addressLines(addresses: ServerAddresses): string[] {
  return [
    `clients           ${addresses.clients.map((address) => `http://${address}`).join(' ')}`,
    `HTTP API          ${addresses.api}`,
    `application port  ${addresses.classic ?? 'none'}`,
  ];
}

function memoryCells(memory: Memory | null): string[] {
  if (memory === null) return ['?', '?'];
  return [memory.rssBytes, memory.privateBytes].map((bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`);
}

/** First column to the left, numbers to the right. */
function alignColumns(rows: string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  '),
  );
}
