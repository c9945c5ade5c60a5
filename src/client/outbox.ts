/**
 * Publications on their way to the server: by WebSocket where one is open, else by POST. Each has an id, so that one whose
 * answer was lost is sent again and still published once.
 *
 * Their order is kept: one that has to be tried again holds up those that come after it.
 */

import { backoffMs, type Context, type Send, type ServerEvent } from './context.js';
import { request } from './http.js';
import { PUBLICATIONS_MAX } from './limits.js';
import { MegaCometError, type Published } from './types.js';

/** Of a connection that broke, as of a server that cannot take a publication now: it may still be taken later. */
const UNAVAILABLE = 'unavailable';
const BROKEN = new MegaCometError(UNAVAILABLE, 'connection broke');

export interface Outbox {
  publish(channel: string, data: unknown, id?: string): Promise<Published>;
  /** An answer with a `ref`. @returns whether it was for a publication */
  answered(event: ServerEvent): boolean;
  /** A WebSocket is open, or gone. */
  changed(): void;
  close(error: MegaCometError): void;
}

/** @param sender gives the WebSocket that is open */
export function makeOutbox(context: Context, sender: () => Send | undefined): Outbox {
  const { platform, token } = context;
  /** Sent by WebSocket and not answered, by ref. */
  const asked = new Map<string, { resolve(published: Published): void; reject(error: Error): void }>();
  const prefix = `${platform.random()}${platform.random()}`;
  let failure: MegaCometError | undefined;
  /** The last of those that are sent one after the other. */
  let last: Promise<unknown> = Promise.resolve();
  let queued = 0;
  let count = 0;
  let wake = () => {};

  const ask = (send: Send, publication: object): Promise<Published> => {
    const ref = `p${++count}`;
    send({ ...publication, type: 'publish', ref });
    return new Promise((resolve, reject) => asked.set(ref, { resolve, reject }));
  };

  /** Until the server has it or refuses it. */
  const insist = async (publication: object, body: string): Promise<Published> => {
    for (let failures = 0; ; failures++) {
      if (failure) throw failure;
      try {
        const send = sender();
        if (send) return await ask(send, publication);
        return (await (await request(context, undefined, 'publish', [], body)).json()) as Published;
      } catch (error) {
        // What is no answer of the server's is the network.
        const { code, afterMs } = error instanceof MegaCometError ? error : BROKEN;
        const isTokenRefused = !failures && code.startsWith('token_') && token.drop();
        if (!isTokenRefused && !afterMs && code !== UNAVAILABLE) throw error;
        await new Promise<void>((resolve) => {
          const cancel = platform.delay(isTokenRefused ? 0 : (afterMs ?? backoffMs(context, failures)), resolve);
          wake = () => {
            cancel();
            resolve();
          };
        });
      }
    }
  };

  const changed = () => {
    for (const { reject } of asked.values()) reject(BROKEN);
    asked.clear();
    wake();
  };

  return {
    async publish(channel, data, id = `${prefix}-${++count}`) {
      if (queued + asked.size >= PUBLICATIONS_MAX) throw new MegaCometError('queue_full', 'queue is full');
      const publication = { channel, data, id };
      // Before anything is sent: it throws where JSON cannot express the data.
      const body = JSON.stringify(publication);
      const send = sender();
      if (send && !queued) {
        try {
          return await ask(send, publication);
        } catch (error) {
          if ((error as MegaCometError).code !== UNAVAILABLE) throw error;
        }
      }
      queued++;
      const published = last.then(() => insist(publication, body));
      last = published.catch(() => {});
      return published.finally(() => queued--);
    },
    answered({ type, ref, code, message, cursor, duplicate }) {
      const waiting = asked.get(ref);
      asked.delete(ref);
      if (type === 'published') waiting?.resolve({ cursor, duplicate });
      else waiting?.reject(new MegaCometError(code, message));
      return !!waiting;
    },
    changed,
    close(error) {
      failure = error;
      changed();
    },
  };
}
