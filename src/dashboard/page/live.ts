/**
 * A stream of events that is kept open: after an end or a failure it is opened again, later each time and at a random moment,
 * so that not all pages come back to a server at once. A stream that says nothing for SILENCE_MS is broken, however open it
 * looks: a machine that slept, a proxy that forgot.
 */

import type { ServerEvent } from '../shared/event-parser.js';
import { events, ServerError } from './server.js';

const RETRY_MS_FIRST = 1000;
const RETRY_MS_MAX = 15_000;

export interface LiveOptions {
  /** Path of the stream; asked anew at each try. */
  path(): string;
  /** Silence after which the stream is opened again. */
  silenceMs: number;
  event(event: ServerEvent): void;
  /** The stream is open. */
  opened(): void;
  /** It is not; another try comes after so many ms. */
  waiting(afterMs: number, error: Error | null): void;
  /** The server does not want us: no further try. */
  refused(error: ServerError): void;
}

export class Live {
  readonly #options: LiveOptions;
  #controller: AbortController | null = null;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#controller !== null;
  }

  start(): void {
    this.stop();
    this.#controller = new AbortController();
    void this.#run(this.#controller.signal);
  }

  stop(): void {
    this.#controller?.abort();
    this.#controller = null;
  }

  async #run(stopped: AbortSignal): Promise<void> {
    for (let failures = 0; !stopped.aborted; failures++) {
      let error: Error | null = null;
      try {
        if (await this.#listen(stopped)) failures = 0;
      } catch (reason) {
        error = reason as Error;
      }
      if (stopped.aborted) return;
      if (error instanceof ServerError && error.status < 500) {
        this.#controller = null;
        this.#options.refused(error);
        return;
      }
      const afterMs = Math.random() * Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** failures);
      this.#options.waiting(afterMs, error);
      await pause(afterMs, stopped);
    }
  }

  /** @returns true where an event came before the end */
  async #listen(stopped: AbortSignal): Promise<boolean> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), this.#options.silenceMs);
    let heard = false;
    try {
      for await (const event of events(this.#options.path(), AbortSignal.any([stopped, silence.signal]))) {
        if (stopped.aborted) break;
        if (!heard) this.#options.opened();
        heard = true;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), this.#options.silenceMs);
        this.#options.event(event);
      }
    } catch (error) {
      if (!heard || error instanceof ServerError) throw error;
    } finally {
      clearTimeout(timer);
    }
    return heard;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
