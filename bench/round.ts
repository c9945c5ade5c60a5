/**
 * One round of a bench: a fresh server and a client process for each row, all at the same time, and phases in which they
 * take turns, so that what is compared happens within a few seconds: on a shared machine the same work costs a third
 * more or less from minute to minute.
 */

import { BenchClient } from './client-control.js';
import { type BenchServer, stopAllServers, Unavailable } from './launch.js';

/** Why a row has no sample: it cannot run here, or it did something wrong. */
export interface Failure {
  reason: string;
  wrong: boolean;
}

export interface Entry<Row> {
  row: Row;
  server: BenchServer;
  client: BenchClient;
}

export class Round<Row> {
  /** A row that fails is ended and takes no part in later phases. */
  readonly failures = new Map<Row, Failure>();
  private entries: Entry<Row>[] = [];

  async start(rows: Row[], startServer: (row: Row) => Promise<BenchServer>): Promise<void> {
    for (const row of rows) {
      try {
        const server = await startServer(row);
        const client = new BenchClient();
        clients.add(client);
        this.entries.push({ row, server, client });
      } catch (error) {
        this.failures.set(row, { reason: (error as Error).message, wrong: !(error instanceof Unavailable) });
      }
    }
  }

  /** A phase that each does for itself, the others being idle. */
  async inTurn(
    phase: (entry: Entry<Row>) => Promise<void>,
    order: 'forwards' | 'backwards' = 'forwards',
  ): Promise<void> {
    for (const entry of order === 'forwards' ? this.entries : this.entries.toReversed()) {
      await this.attempt(entry, phase);
    }
  }

  /** A phase that does not mind company. */
  async atOnce(phase: (entry: Entry<Row>) => Promise<void>): Promise<void> {
    await Promise.all(this.entries.map((entry) => this.attempt(entry, phase)));
  }

  async end(): Promise<void> {
    for (const entry of this.entries) await endEntry(entry);
    this.entries = [];
  }

  private async attempt(entry: Entry<Row>, phase: (entry: Entry<Row>) => Promise<void>): Promise<void> {
    try {
      await phase(entry);
    } catch (error) {
      this.failures.set(entry.row, { reason: (error as Error).message, wrong: true });
      this.entries = this.entries.filter((other) => other !== entry);
      await endEntry(entry);
    }
  }
}

const clients = new Set<BenchClient>();

/** Ends every process of a round that is under way: for Ctrl-C. */
export async function endAll(): Promise<void> {
  await Promise.all([...clients].map((client) => client.stop()));
  await stopAllServers();
}

async function endEntry({ client, server }: Entry<unknown>): Promise<void> {
  clients.delete(client);
  await client.stop();
  await server.stop();
}
