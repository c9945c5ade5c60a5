/** An API on a port of its own, of which the test plays the manager and its workers. */

import type { Answer, Op, Question } from '../../link/questions.js';
import type { NewPublication } from '../../log/log.js';
import { MemoryLog } from '../../log/memory.js';
import { Audience } from '../../manager/audience.js';
import type { LinkServer } from '../../manager/link-server.js';
import { createLogger } from '../../manager/logger.js';
import { PublicationRecords } from '../../manager/publication-records.js';
import type { Receipt } from '../../manager/receipts.js';
import { Tracer } from '../../manager/tracer.js';
import { type Api, type ApiOptions, createApi } from '../api.js';
import { ApiKeys } from '../keys.js';

export interface ApiAnswer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look at what came
  body: any;
  headers: Headers;
}

export class ApiRig {
  log = newLog();
  /** Publishing on these channels fails. */
  failures: Record<string, Error> = Object.create(null);
  /** What the API had published, in order. */
  published: NewPublication[] = [];
  /** What the manager remembers of publications. */
  readonly records = new PublicationRecords();
  /** What the workers were asked. */
  asked: { op: Op; question: object }[] = [];
  /** What each worker answers, by operation; null: it does not. */
  workers: ({ [O in Op]?: Answer<O> } | null)[] = [];
  /** Receivers of each publication, by channel. */
  receivers: Record<string, number> = Object.create(null);
  /** Lines of the manager's log. */
  readonly lines: string[] = [];
  readonly keys: ApiKeys;
  url = '';
  port = 0;
  #api: Api | null = null;
  readonly #options: Partial<ApiOptions>;

  constructor(options: Partial<ApiOptions> = {}) {
    this.#options = options;
    this.keys = options.keys ?? new ApiKeys(null);
  }

  async listen(): Promise<void> {
    const askAll: LinkServer['askAll'] = async (op, question) => this.#answers(op, question);
    this.#api = createApi({
      publisher: { publish: (batch) => this.#publish(batch), accept: (batch) => this.#append(batch) },
      log: delegate(() => this.log),
      audience: new Audience({ askAll }),
      tracer: new Tracer({ server: { askAll }, log: delegate(() => this.log), records: this.records }),
      status: () => ({ pid: 7 }),
      host: '127.0.0.1',
      logger: createLogger((line) => this.lines.push(line)),
      ...this.#options,
      keys: this.keys,
    });
    this.port = await this.#api.listen('127.0.0.1', 0);
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    await this.#api?.close();
  }

  /** Forgets what the tests before have done. */
  reset(): void {
    this.log = newLog();
    this.failures = Object.create(null);
    this.published = [];
    this.asked = [];
    this.workers = [];
    this.receivers = Object.create(null);
  }

  async send(
    method: string,
    path: string,
    { body, key, type = 'application/json' }: { body?: string; key?: string; type?: string } = {},
  ): Promise<ApiAnswer> {
    const headers = {
      ...(body !== undefined && { 'content-type': type }),
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    };
    const response = await fetch(this.url + path, { method, headers, body: body ?? null });
    return { status: response.status, body: await response.json(), headers: response.headers };
  }

  get(path: string, key?: string): Promise<ApiAnswer> {
    return this.send('GET', path, key === undefined ? {} : { key });
  }

  post(path: string, body: unknown, key?: string): Promise<ApiAnswer> {
    return this.send('POST', path, { body: JSON.stringify(body), ...(key !== undefined && { key }) });
  }

  async #append(batch: readonly NewPublication[]) {
    for (const { channel } of batch) if (this.failures[channel] !== undefined) throw this.failures[channel];
    this.published.push(...batch);
    return this.log.append(batch);
  }

  async #publish(batch: readonly NewPublication[]): Promise<Receipt[]> {
    const appended = await this.#append(batch);
    return appended.map(({ sequence, duplicate }, i) => {
      const receivers = duplicate ? 0 : (this.receivers[batch[i].channel] ?? 0);
      const status = receivers > 0 ? 'delivered' : 'queued';
      return { cursor: `${this.log.epoch}-${sequence}`, sequence, status, receivers, incomplete: false, duplicate };
    });
  }

  #answers<O extends Op>(op: O, question: Question<O>) {
    this.asked.push({ op, question });
    const all = this.workers.map((worker, i) => ({ worker: i, answer: worker?.[op] as Answer<O> | undefined }));
    const answers = all.flatMap(({ worker, answer }) => (answer === undefined ? [] : [{ worker, answer }]));
    const missing = all
      .filter(({ answer }) => answer === undefined)
      .map(({ worker }) => ({ worker, error: null as never }));
    return { answers, missing };
  }
}

function newLog(): MemoryLog {
  return new MemoryLog({ seconds: 60, messages: 100, bytes: 4 << 20, totalBytes: 1 << 26 });
}

/** The log that is there when it is asked. */
function delegate(log: () => MemoryLog): ApiOptions['log'] {
  return {
    get epoch() {
      return log().epoch;
    },
    get last() {
      return log().last;
    },
    read: (...args) => log().read(...args),
  };
}
