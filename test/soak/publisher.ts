/** Publishes through the HTTP API: one batch after the other, each until it is answered or, now and then, given up. */

import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Book, ChannelLedger } from './ledger.js';
import type { Random } from './random.js';

const ANSWER_MS = 20_000;
const RETRY_MS = 50;

interface Numbered {
  ledger: ChannelLedger;
  number: number;
}

/** Where the API is; null while there is none. */
export interface ApiPlace {
  readonly api: string | null;
}

export class Publisher {
  acknowledged = 0;
  batches = 0;
  /** Batches that had to be sent again. */
  repeated = 0;
  duplicates = 0;
  readonly #name: string;
  readonly #channels: readonly ChannelLedger[];
  readonly #book: Book;
  readonly #random: Random;
  readonly #place: ApiPlace;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  /** @param channels of which it is the only publisher */
  constructor(name: string, channels: readonly ChannelLedger[], book: Book, random: Random, place: ApiPlace) {
    this.#name = name;
    this.#channels = channels;
    this.#book = book;
    this.#random = random;
    this.#place = place;
  }

  /**
   * Publishes until the signal, batches of `size` at `rate` publications a second (as fast as answers come where it cannot keep
   * up), and ends with everything answered or given up.
   */
  async run(size: number, rate: number, signal: AbortSignal): Promise<void> {
    const startMs = performance.now();
    for (let sent = 0; !signal.aborted; sent += size) {
      const dueMs = startMs + (sent / rate) * 1000;
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#publish(size);
    }
    this.#agent.destroy();
  }

  async #publish(size: number): Promise<void> {
    const batch: Numbered[] = [];
    for (let i = 0; i < size; i++) {
      const ledger = this.#random.pick(this.#channels);
      batch.push({ ledger, number: ledger.next() });
    }
    this.batches++;
    const body = JSON.stringify(
      batch.map(({ ledger, number }) => ({
        channel: ledger.name,
        id: `${this.#name}-${number}`,
        data: { n: number, text: 'x'.repeat(this.#random.below(100)) },
      })),
    );
    for (let attempts = 0; ; attempts++) {
      const answer = await this.#post(body);
      if (typeof answer !== 'string') {
        this.#acknowledge(batch, answer);
        return;
      }
      // A request that may still be read must be repeated: given up, it could come after what is published next.
      if (answer === 'refused' && attempts > 0 && this.#random.chance(0.02)) {
        for (const { ledger, number } of batch) ledger.givenUp.set(number, ledger.sequences[number] !== 0);
        return;
      }
      if (attempts === 0) this.repeated++;
      await delay(RETRY_MS);
    }
  }

  #acknowledge(batch: Numbered[], answers: { cursor: string; duplicate?: boolean }[]): void {
    for (const [i, { ledger, number }] of batch.entries()) {
      const { cursor, duplicate } = answers[i];
      const sequence = Number(cursor.slice(cursor.lastIndexOf('-') + 1));
      if (duplicate) this.duplicates++;
      const known = ledger.sequences[number];
      if (known !== 0 && known !== sequence) {
        this.#book.wrong(
          `channel ${ledger.name}: number ${number} was got at ${known} and acknowledged at ${sequence}`,
        );
      }
      ledger.sequences[number] = sequence;
      ledger.acknowledged++;
      this.acknowledged++;
    }
  }

  /** The answer; 'refused' where nobody took the request, 'failed' where somebody may have. */
  #post(body: string): Promise<{ cursor: string; duplicate?: boolean }[] | 'refused' | 'failed'> {
    const { api } = this.#place;
    if (api === null) return Promise.resolve('refused');
    return new Promise((resolve) => {
      const outgoing = request(
        `${api}/v1/publish`,
        { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json' }, timeout: ANSWER_MS },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('error', () => resolve('failed'));
          response.on('end', () => {
            if (response.statusCode === 200) resolve(JSON.parse(text));
            else if (response.statusCode === 503) resolve('failed');
            else {
              this.#book.wrong(`publishing was answered by ${response.statusCode}: ${text.slice(0, 200)}`);
              resolve('failed');
            }
          });
        },
      );
      outgoing.on('timeout', () => {
        this.#book.wrong(`publishing was not answered in ${ANSWER_MS} ms`);
        outgoing.destroy();
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'failed');
      });
      outgoing.end(body);
    });
  }
}
