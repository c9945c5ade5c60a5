/** The manager's parts around its links, on a Unix socket of their own, for tests that play the workers. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Hello } from '../../link/frames.js';
import { OPEN_POLICY } from '../../link/policy.js';
import type { Log, LogError } from '../../log/log.js';
import { FanOut } from '../fan-out.js';
import { LinkServer } from '../link-server.js';
import { createLogger } from '../logger.js';
import { Policies } from '../policies.js';
import { Publisher } from '../publisher.js';
import { Queue } from '../queue.js';
import { type Receipt, Receipts } from '../receipts.js';

export class LinkRig {
  readonly log: Log;
  readonly receipts: Receipts;
  readonly queue: Queue;
  readonly fanOut: FanOut;
  readonly publisher: Publisher;
  readonly policies = new Policies(OPEN_POLICY);
  readonly server: LinkServer;
  /** Where workers dial. */
  readonly path: string;
  /** What the manager's log of events says. */
  readonly lines: string[] = [];
  /** Workers of another version. */
  readonly outdated: Hello[] = [];
  /** What happens when a worker asks for keys. */
  refresh = async (): Promise<void> => {};
  readonly #directory: string;

  /** Publishers wait for `timeoutMs`. Then `listen`. */
  constructor(log: Log, timeoutMs = 5000) {
    this.#directory = mkdtempSync(join(tmpdir(), 'megacomet-link-'));
    this.path = join(this.#directory, 'manager.sock');
    const logger = createLogger((line) => this.lines.push(line));
    const events = { linked: () => {}, unlinked: () => {}, outdated: (hello: Hello) => void this.outdated.push(hello) };
    const unreadable = ({ code }: LogError) => logger.error('unreadable', { code });
    this.log = log;
    this.receipts = new Receipts(timeoutMs);
    this.queue = new Queue(log, this.receipts, unreadable);
    this.fanOut = new FanOut(this.receipts, log.last);
    const access = { refresh: () => this.refresh() };
    const { path, receipts, queue, fanOut, policies } = this;
    this.publisher = new Publisher({ log, queue, fanOut, receipts, logger });
    this.server = new LinkServer({
      watch: null,
      path,
      log,
      queue,
      fanOut,
      publisher: this.publisher,
      policies,
      access,
      logger,
      events,
    });
  }

  listen(): Promise<void> {
    return this.server.listen();
  }

  close(): void {
    this.receipts.settleAll();
    this.server.close();
    rmSync(this.#directory, { recursive: true });
  }

  /** Publishes one, and waits for its receipt. */
  async publish(channel: string, data: string | Buffer, kind = 0): Promise<Receipt> {
    return (await this.publisher.publish([{ channel, kind, data: Buffer.from(data) }]))[0]!;
  }
}
