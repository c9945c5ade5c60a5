/** Clients that come and go, from the workers' reports to the webhooks: what the manager has of that, where it is asked for. */

import type { ClientChanges } from '../link/client-changes.js';
import { Attendance } from './attendance.js';
import type { Logger } from './logger.js';
import type { StormOptions } from './options.js';
import { readWebhookSecret } from './webhook-secret.js';
import { type WebhookCounters, Webhooks } from './webhooks.js';

export class ClientWatch {
  readonly #webhooks: Webhooks;
  readonly #attendance: Attendance;

  /** @param secret of `readSecret` */
  constructor(url: string, secret: Buffer, graceSeconds: number, logger: Logger) {
    this.#webhooks = new Webhooks({ url, secret, logger });
    this.#attendance = new Attendance(this.#webhooks);
    this.#attendance.graceMs = graceSeconds * 1000;
  }

  get counters(): WebhookCounters {
    return this.#webhooks.counters;
  }

  /** A worker has reported. */
  changed(worker: number, changes: ClientChanges): void {
    this.#attendance.changed(worker, changes);
  }

  workerLeft(worker: number): void {
    this.#attendance.workerLeft(worker);
  }

  /** Called about once a second. */
  sweep(): void {
    this.#attendance.sweep();
  }

  /** What a reload changes. */
  change(secret: Buffer, graceSeconds: number): void {
    this.#webhooks.secret = secret;
    this.#attendance.graceMs = graceSeconds * 1000;
  }

  /** The server ends: within a second. */
  close(): Promise<void> {
    return this.#webhooks.close();
  }
}

/** The secret that signs webhooks; null where there are none. @throws Error with code EWEBHOOK */
export function readSecret({ webhook }: StormOptions, logger: Logger): Buffer | null {
  if (webhook === null) return null;
  const { secret, warning } = readWebhookSecret(webhook.secretFile);
  if (warning !== null) logger.warn(warning);
  return secret;
}
