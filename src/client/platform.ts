/**
 * What the library needs of the world around it: the network, the clock, randomness and, in a browser, the life of the page.
 * Tests put their own in its place.
 */

import type { ConnectOptions } from './types.js';

/**
 * Events of a page, as its window sees them. `pagehide`: it goes, or goes to the back/forward cache; `pageshow`: it comes, or
 * comes back. `visibilitychange`: it is shown again; that it is not any more is of no interest.
 */
const VISIBLE = 'visibilitychange';
const PAGE_EVENTS = [VISIBLE, 'online', 'offline', 'pagehide', 'pageshow'] as const;
export type PageEvent = (typeof PAGE_EVENTS)[number];

export interface Platform {
  /** To be called as a function: the browser's refuses to be a method of another object. */
  fetch: typeof fetch;
  WebSocket: ConnectOptions['WebSocket'];
  /** The wall clock, in milliseconds: unlike timers it goes on while the machine sleeps. */
  now(): number;
  /** From 0 up to 1, which it never is. */
  random(): number;
  /** @returns what cancels it */
  delay(delayMs: number, action: () => void): () => void;
  /** Of relative addresses. */
  base: string | undefined;
  /** @returns what ends it */
  onPage(listener: (event: PageEvent) => void): () => void;
}

/** What the library uses of a browser; in Node all is undefined. */
interface Browser {
  WebSocket?: ConnectOptions['WebSocket'];
  document?: { hidden: boolean; baseURI: string };
}

/** The world as it is. */
export function platformOf(options: Pick<ConnectOptions, 'WebSocket'>): Platform {
  const { document, WebSocket } = globalThis as Browser;
  return {
    fetch,
    WebSocket: options.WebSocket ?? WebSocket,
    now: Date.now,
    random: Math.random,
    delay(delayMs, action) {
      const timer = setTimeout(action, delayMs);
      return () => clearTimeout(timer);
    },
    base: document?.baseURI,
    onPage(listener) {
      const ended = new AbortController();
      const window = document && (globalThis as unknown as EventTarget);
      for (const type of PAGE_EVENTS)
        window?.addEventListener(type, () => (type === VISIBLE && document?.hidden) || listener(type), ended);
      return () => ended.abort();
    },
  };
}
