/** The live tail: what is published on one channel, newest first, as long as somebody wants to see it. */

import type { ServerEvent } from '../shared/event-parser.js';
import { bytes, clock } from '../shared/format.js';
import type { TailGap, TailMessage } from '../shared/snapshot.js';
import { byId, make, setText } from './dom.js';
import { Live } from './live.js';

const ROWS_MAX = 200;
/** The server sends a heartbeat every 15 s. */
const SILENCE_MS = 40_000;

const GAPS: Record<TailGap['reason'], string> = {
  retention: 'Something is missing here: the log has dropped it.',
  pace: 'Something was left out here: more was published than is shown.',
};

export interface TailView {
  /** Follows another channel. */
  follow(channel: string): void;
}

/** @param failed told where the server wants a key */
export function setUpTail(failed: (error: Error) => void): TailView {
  const form = byId('tail-form', HTMLFormElement);
  const input = byId('tail-channel', HTMLInputElement);
  const stop = byId('tail-stop', HTMLButtonElement);
  const note = byId('tail-note', HTMLElement);
  const list = byId('tail', HTMLOListElement);
  let channel = '';
  let cursor = 'now';
  /** Rows that came since the last frame, newest last. */
  let fresh: HTMLLIElement[] = [];

  const say = (text: string) => setText(note, text);
  const show = (row: HTMLLIElement) => {
    if (fresh.push(row) === 1) requestAnimationFrame(flush);
    if (fresh.length > ROWS_MAX) fresh.shift();
  };
  const flush = () => {
    list.prepend(...fresh.reverse());
    fresh = [];
    while (list.childElementCount > ROWS_MAX) list.lastElementChild!.remove();
  };

  const live = new Live({
    path: () => `/v1/tail?channel=${encodeURIComponent(channel)}&after=${encodeURIComponent(cursor)}`,
    silenceMs: SILENCE_MS,
    opened: () => say(`Following ${channel}: what is published from now on appears here.`),
    waiting: (_afterMs, error) =>
      say(`The server is not there${error === null ? '' : ` (${error.message})`}; trying again …`),
    refused: (error) => {
      say(error.message);
      stop.disabled = true;
      failed(error);
    },
    event: ({ name, data, id }: ServerEvent) => {
      if (id !== null) cursor = id;
      if (name === 'open') cursor = (JSON.parse(data) as { cursor: string }).cursor;
      else if (name === 'message') show(messageRow(JSON.parse(data) as TailMessage));
      else if (name === 'gap') show(make('li', 'gap', GAPS[(JSON.parse(data) as TailGap).reason]));
    },
  });

  const follow = (name: string) => {
    channel = name;
    cursor = 'now';
    fresh = [];
    list.replaceChildren();
    input.value = name;
    stop.disabled = false;
    say(`Opening ${name} …`);
    live.start();
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    follow(input.value);
  });
  stop.addEventListener('click', () => {
    live.stop();
    stop.disabled = true;
    say(`Stopped following ${channel}.`);
    // The button that had the focus cannot have it any more.
    input.focus();
  });
  return { follow };
}

function messageRow({ cursor, timeMs, kind, data, bytes: length }: TailMessage): HTMLLIElement {
  const row = make('li');
  const head = make('p', 'tail-head');
  const time = make('time', '', clock(timeMs));
  time.dateTime = new Date(timeMs).toISOString();
  const shown = new TextEncoder().encode(data).length;
  const size = shown < length ? `the first ${bytes(shown)} of ${bytes(length)}` : bytes(length);
  head.append(time, make('span', 'kind', kind), make('span', '', size), make('code', '', cursor));
  row.append(head, make('pre', '', data));
  return row;
}
