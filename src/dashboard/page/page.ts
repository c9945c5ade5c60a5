/**
 * The dashboard: opens the stream of events, and gives each snapshot to whoever shows a part of it. Where the server wants a
 * key it asks for one first.
 */

import type { ServerEvent } from '../shared/event-parser.js';
import { compact, duration } from '../shared/format.js';
import type { History, Snapshot } from '../shared/snapshot.js';
import { Timeline } from '../shared/timeline.js';
import { setUpChannels } from './channels.js';
import { Charts } from './charts.js';
import { byId, setText } from './dom.js';
import { Live } from './live.js';
import { makeProcesses } from './processes.js';
import { setUpPublish } from './publish.js';
import { forgetKey, hasKey, ServerError, setKey } from './server.js';
import { setUpTail } from './tail.js';
import { makeTiles } from './tiles.js';
import { makeWarnings } from './warnings.js';

const KEEP_SECONDS = 900;
const SPAN_SECONDS = 300;
/** A snapshot comes every second. */
const SILENCE_MS = 10_000;
const PAUSE_MS = 30_000;

const board = byId('board', HTMLElement);
const state = byId('state', HTMLElement);
const about = byId('about', HTMLElement);
const signIn = byId('sign-in', HTMLElement);
const key = byId('key', HTMLInputElement);
const keyProblem = byId('key-problem', HTMLElement);
const spans = byId('spans', HTMLElement);
const forget = byId('forget-key', HTMLButtonElement);

const timeline = new Timeline(KEEP_SECONDS);
const charts = new Charts(byId('charts', HTMLElement), timeline, SPAN_SECONDS);
const views = [
  makeTiles(byId('tiles', HTMLElement)),
  makeWarnings(),
  makeProcesses(byId('processes', HTMLTableElement)),
];
let latest: Snapshot | null = null;

function say(name: 'connecting' | 'live' | 'lost' | 'locked', text: string): void {
  state.dataset['state'] = name;
  setText(state, text);
}

/** A pointer's or a reader's eyes see nothing of a page in the background: it is shown when it comes back. */
function show(): void {
  if (latest === null || document.hidden) return;
  const { version, pid, uptimeSeconds, log } = latest;
  setText(about, `${version}, pid ${pid}, up ${duration(uptimeSeconds)}, log in ${log.kind}`);
  document.title = `${compact(latest.point.connections)} connected · MegaComet`;
  for (const view of views) view(latest);
  charts.update();
}

const live = new Live({
  path: () => '/v1/events',
  silenceMs: SILENCE_MS,
  opened: () => {
    say('live', 'live');
    signIn.hidden = true;
    board.hidden = false;
    spans.hidden = false;
    forget.hidden = !hasKey();
  },
  waiting: (afterMs) => say('lost', `not connected, trying again in ${Math.ceil(afterMs / 1000)} s`),
  refused: (error) => refused(error),
  event: ({ name, data }: ServerEvent) => {
    if (name === 'history') {
      timeline.replace(JSON.parse(data) as History);
    } else if (name === 'snapshot') {
      latest = JSON.parse(data) as Snapshot;
      timeline.add(latest.timeMs, latest.point);
      show();
    }
  },
});

/** The server wants another key, or wants us not at all. */
function refused(error: Error): void {
  if (!(error instanceof ServerError) || !error.wantsKey) {
    if (!live.running) say('lost', error.message);
    return;
  }
  live.stop();
  say('locked', 'a key is needed');
  setText(keyProblem, hasKey() ? error.message : '');
  forgetKey();
  forget.hidden = true;
  board.hidden = true;
  spans.hidden = true;
  signIn.hidden = false;
  key.value = '';
  key.focus();
}

byId('sign-in-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  setKey(key.value.trim());
  key.value = '';
  say('connecting', 'connecting');
  live.start();
});

forget.addEventListener('click', () => {
  forgetKey();
  location.reload();
});

spans.addEventListener('click', ({ target }) => {
  if (!(target instanceof HTMLButtonElement)) return;
  for (const button of spans.querySelectorAll('button')) button.ariaPressed = String(button === target);
  charts.spanSeconds = Number(target.dataset['seconds']);
});

/**
 * A tab that nobody sees for a while ends its stream: a browser has six connections to a server, for all its tabs. What it missed comes
 * with the history when it is seen again.
 */
let pausing: ReturnType<typeof setTimeout> | undefined;
let paused = false;
document.addEventListener('visibilitychange', () => {
  clearTimeout(pausing);
  if (document.hidden) {
    pausing = setTimeout(() => {
      if (!live.running) return;
      live.stop();
      paused = true;
      say('connecting', 'paused while nobody looks');
    }, PAUSE_MS);
    return;
  }
  show();
  if (paused) live.start();
  paused = false;
});
// The network is back before the next try.
addEventListener('online', () => live.running && live.start());

setUpPublish(refused);
const tail = setUpTail(refused);
setUpChannels((channel) => tail.follow(channel), refused);
live.start();
