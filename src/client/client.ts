/**
 * The client as its users hold it: channels, events, iterators, publishing. How it stays connected is in connector.ts, where
 * it stands in positions.ts.
 *
 * The parts are functions with variables rather than classes with fields: names of variables are shortened in the bundle for
 * browsers, which has 5 KB at most.
 *
 * Every message goes to the listeners of `message`; where there are none, or an iterator was made, it also waits in the queue.
 * A full queue ends the connection until half of it was taken; the server keeps what comes meanwhile, as far as its retention
 * goes. So a slow consumer loses nothing silently, and takes no memory without bound.
 */

import { makeConnector } from './connector.js';
import type { Context, Send, ServerEvent } from './context.js';
import { QUEUE_MAX } from './limits.js';
import { makeOutbox } from './outbox.js';
import type { Platform } from './platform.js';
import { makePositions } from './positions.js';
import { makeToken } from './token.js';
import {
  type Client,
  type ClientEvents,
  type ConnectOptions,
  type Disconnect,
  type Gap,
  MegaCometError,
  type Message,
  type State,
} from './types.js';

/** `connect`, on a given platform. */
export function makeClient<Data>(address: string | URL, options: ConnectOptions, platform: Platform): Client<Data> {
  type Item = Message<Data> | Gap;
  type Result = IteratorResult<Item, undefined>;
  type Type = keyof ClientEvents<Data>;

  const url = new URL(address, platform.base);
  // As a folder, to which paths are relative.
  url.pathname = url.pathname.replace(/\/?$/, '/');
  const positions = makePositions();
  const context: Context = { platform, options, positions, token: makeToken(options.token, platform), url };

  let state: State = 'idle';
  /** Why it is closed; null where the application did it. */
  let failure: MegaCometError | null = null;
  const listeners = new Map<Type, Set<(event: never) => void>>();
  /** Channels that have never been live: the server may still refuse them. */
  const fresh = new Set<string>();
  /** Channels by the `ref` of the message that asked for them on this WebSocket. */
  const asked = new Map<unknown, readonly string[]>();
  let refs = 0;

  let isIterated = false;
  const queueMax = options.queueMax ?? QUEUE_MAX;
  /** What waits for an iterator, and where to go on from without it. */
  const queue: { item: Item; before: string | undefined }[] = [];
  const takers: ((result: Result | Promise<Result>) => void)[] = [];

  // ── Events and iterators ───────────────────────────────────────────────────────────────────────────────────────────

  const emit = <T extends Type>(type: T, event: ClientEvents<Data>[T]) => {
    for (const listener of listeners.get(type) ?? []) {
      try {
        listener(event as never);
      } catch (error) {
        // The application's fault, and for it to hear of; the client goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };

  const enter = (next: State, delayMs?: number) => {
    if (next === state || state === 'closed') return;
    state = next;
    emit('state', { state, transport: connector.transport(), delayMs });
  };

  const cursor = () => (queue[0] ? queue[0].before : positions.cursor());

  const hand = (item: Item) => {
    const queues = isIterated || !listeners.get('message')?.size;
    const before = queues ? positions.cursor() : undefined;
    if (!(item.type === 'gap' ? positions.gap(item) : positions.message(item))) return;
    if (queues) {
      const taker = takers.shift();
      if (taker) taker({ value: item, done: false });
      else if (queue.push({ item, before }) >= queueMax) connector.pause('full', true);
    }
    emit(item.type, item as never);
  };

  const next = async (): Promise<Result> => {
    const first = queue.shift();
    if (first) {
      if (queue.length <= queueMax / 2) connector.pause('full', false);
      return { value: first.item, done: false };
    }
    if (failure) throw failure;
    if (state === 'closed') return { value: undefined, done: true };
    return new Promise((resolve) => takers.push(resolve));
  };

  const events = () => {
    isIterated = true;
    return { [Symbol.asyncIterator]: () => ({ next }) };
  };

  const close = (error: MegaCometError | null = null) => {
    if (state === 'closed') return;
    connector.stop();
    enter('closed');
    failure = error;
    outbox.close(error ?? new MegaCometError('closed', 'the client is closed'));
    if (error) emit('error', error);
    for (const taker of takers) taker(next());
  };

  // ── Channels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const add = (channels: readonly string[], after = 'now') => {
    const added = positions.add(channels, after);
    for (const channel of added) fresh.add(channel);
    return added;
  };

  const ask = (send: Send, channels: readonly string[], after = 'now') => {
    asked.set(++refs, channels);
    send({ type: 'subscribe', channels, after, ref: refs });
  };

  const checkLive = () => {
    if (!positions.isLive()) return;
    connector.live();
    enter('live');
  };

  const remove = (channels: readonly string[]) => {
    const send = connector.send();
    const removed = positions.remove(channels);
    for (const channel of removed) fresh.delete(channel);
    if (send && removed.length && positions.channels().length) {
      send({ type: 'unsubscribe', channels: removed });
      checkLive();
    } else if (removed.length) connector.restart();
  };

  /** The server refuses these channels. Without them there may be others to go on with. */
  const drop = (channels: readonly string[], error: MegaCometError) => {
    Object.assign(error, { channels });
    if (channels.length >= positions.channels().length) close(error);
    else {
      remove(channels);
      emit('error', error);
    }
  };

  // ── What the server says ───────────────────────────────────────────────────────────────────────────────────────────

  const received = (event: ServerEvent) => {
    const { type, cursor, ref, code, message } = event;
    switch (type) {
      case 'message':
      case 'gap':
        hand(event as Item);
        break;
      case 'subscribed': {
        const channels = ref ? (asked.get(ref) ?? []) : positions.channels();
        positions.live(cursor, channels);
        for (const channel of channels) fresh.delete(channel);
        checkLive();
        break;
      }
      case 'disconnect':
        emit(type, event as unknown as Disconnect);
        connector.restart(new MegaCometError(code, event['reason'], event as object));
        break;
      case 'published':
      case 'error': {
        if (outbox.answered(event)) break;
        const channels = asked.get(ref);
        const error = new MegaCometError(code, message);
        // Too much at once, or no manager: the same again, a little later. Or with another token.
        if (code === 'unavailable' || code.startsWith('token_')) connector.restart(error);
        else if (channels) drop(channels, error);
        else emit('error', error);
      }
    }
  };

  const connector = makeConnector(context, {
    event: received,
    opened(send) {
      asked.clear();
      for (const [after, channels] of positions.begin()) ask(send, channels, after);
      outbox.changed();
    },
    ended: () => outbox.changed(),
    state: enter,
    error: (error) => emit('error', error),
    refused(error) {
      // The new channels may be why.
      if (/forbidden|token_required/.test(error.code) && fresh.size) drop([...fresh], error);
      else close(error);
    },
  });
  const outbox = makeOutbox(context, connector.send);

  add(options.channels ?? [], options.after);
  if (options.signal?.aborted) close();
  options.signal?.addEventListener('abort', () => close());
  // Not before the caller has put its listeners.
  queueMicrotask(connector.run);

  return {
    get state() {
      return state;
    },
    get transport() {
      return connector.transport();
    },
    get channels() {
      return positions.channels();
    },
    get cursor() {
      return cursor();
    },
    on(type, listener) {
      const set = listeners.get(type) ?? new Set();
      listeners.set(type, set.add(listener));
      if (type === 'message' && !isIterated) {
        for (const { item } of queue.splice(0)) if (item.type === type) emit(type, item as never);
        connector.pause('full', false);
      }
      return () => set.delete(listener);
    },
    async *[Symbol.asyncIterator]() {
      for await (const item of events()) if (item.type === 'message') yield item;
    },
    events,
    subscribe(channels, { after } = {}) {
      const added = add([channels].flat(), after);
      const send = connector.send();
      if (send && added.length) {
        enter('connecting');
        ask(send, added, after);
      } else if (added.length) connector.restart();
    },
    unsubscribe: (channels) => remove([channels].flat()),
    publish: (channel, data, { id } = {}) => outbox.publish(channel, data, id),
    close: () => close(),
  };
}
