/** The table of processes: the manager, and each worker with its connections by transport. */

import { bytes, compact, count, percent } from '../shared/format.js';
import { type Snapshot, TRANSPORTS, type Transport, type WorkerRow } from '../shared/snapshot.js';
import { setText } from './dom.js';
import { type Column, Table } from './table.js';

/** As they are headed. */
const NAMES: Record<Transport, string> = {
  websocket: 'WebSocket',
  sse: 'SSE',
  stream: 'Stream',
  poll: 'Poll',
  classic: 'Classic',
  other: 'Other',
};

type ProcessRow = Pick<WorkerRow, 'pid' | 'cpu' | 'residentBytes'> & { name: string; worker: WorkerRow | null };

const ofWorker =
  (text: (worker: WorkerRow) => string) =>
  ({ worker }: ProcessRow): string =>
    worker === null ? '' : text(worker);

const COLUMNS: Column<ProcessRow>[] = [
  { name: 'Process', text: ({ name }) => name },
  { name: 'Pid', text: ({ pid }) => String(pid), number: true },
  {
    name: 'State',
    title: 'full: accepts nobody now. lost: without a link to the manager',
    text: ({ worker }) => worker?.state ?? 'serving',
    decorate: (cell, { worker }) => {
      const state = worker?.state ?? 'serving';
      setText(cell, state);
      cell.className = `process-${state}`;
    },
  },
  { name: 'Connections', text: ofWorker(({ connections }) => count(connections)), number: true },
  {
    name: 'Of capacity',
    text: ofWorker(({ connections, capacity }) => percent(share(connections, capacity))),
    number: true,
  },
  ...TRANSPORTS.map((transport) => ({
    name: NAMES[transport],
    text: ofWorker(({ transports }) => count(transports[transport])),
    number: true,
  })),
  { name: 'Opened /s', text: ofWorker(({ opened }) => compact(opened)), number: true },
  { name: 'Closed /s', text: ofWorker(({ closed }) => compact(closed)), number: true },
  { name: 'Messages /s', text: ofWorker(({ messages }) => compact(messages)), number: true },
  { name: 'CPU', title: '100 % is one core', text: ({ cpu }) => percent(cpu), number: true },
  { name: 'Resident', text: ({ residentBytes }) => bytes(residentBytes), number: true },
  {
    name: 'Slow',
    title: 'Connections ended because they did not read',
    text: ofWorker(({ slowConsumers }) => count(slowConsumers)),
    number: true,
  },
  {
    name: 'Catching up',
    title: 'Connections that are given what they missed, now',
    text: ofWorker(({ catchingUp }) => count(catchingUp)),
    number: true,
  },
];

/** Makes the table once. @returns what shows a snapshot in it */
export function makeProcesses(element: HTMLTableElement): (snapshot: Snapshot) => void {
  const table = new Table(element, COLUMNS);
  return ({ pid, manager, workers }) => {
    const rows = workers.map((worker): ProcessRow => ({ ...worker, name: `worker ${worker.worker}`, worker }));
    table.show([{ name: 'manager', pid, ...manager, worker: null }, ...rows]);
  };
}

function share(connections: number | null, capacity: number | null): number | null {
  return connections === null || capacity === null || capacity === 0 ? null : connections / capacity;
}
