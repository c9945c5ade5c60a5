/** The row of figures at the top: what is so now. */

import { bytes, compact, count, milliseconds, percent } from '../shared/format.js';
import type { Snapshot } from '../shared/snapshot.js';
import { make, setText } from './dom.js';

interface Tile {
  name: string;
  /** What it means, for a pointer that rests on it and for screen readers. */
  title: string;
  value(snapshot: Snapshot): string;
  /** A second, smaller line. */
  detail(snapshot: Snapshot): string;
}

/** Of fewer the server does not tell memory for each. */
const CONNECTIONS_MIN = 1000;

const TILES: Tile[] = [
  {
    name: 'Connections',
    title: 'Clients that are connected now, of all that the workers can hold',
    value: ({ point }) => count(point.connections),
    detail: ({ point, capacity }) =>
      capacity === 0 ? 'no worker yet' : `${percent((point.connections ?? 0) / capacity)} of ${compact(capacity)}`,
  },
  {
    name: 'Opened',
    title: 'Connections accepted in a second',
    value: ({ point }) => `${compact(point.opened)} /s`,
    detail: ({ totals }) => `${compact(totals.accepted)} in all`,
  },
  {
    name: 'Closed',
    title: 'Connections that ended in a second',
    value: ({ point }) => `${compact(point.closed)} /s`,
    detail: ({ totals }) => `${compact(totals.refused)} refused in all`,
  },
  {
    name: 'Messages',
    title: 'Messages handed to clients in a second',
    value: ({ point }) => `${compact(point.messages)} /s`,
    detail: ({ totals }) => `${compact(totals.messages)} in all`,
  },
  {
    name: 'Publications',
    title: 'Publications accepted in a second',
    value: ({ point }) => `${compact(point.publications)} /s`,
    detail: ({ totals }) => `${compact(totals.publications)} in all`,
  },
  {
    name: 'Delivery',
    title:
      'From a publication’s place in the log until the kernel had the message: what 99 % of the last second did not exceed',
    value: ({ point }) => milliseconds(point.deliveryP99Ms),
    detail: ({ point }) =>
      point.deliveryP50Ms === null ? 'no message now' : `half within ${milliseconds(point.deliveryP50Ms)}`,
  },
  {
    name: 'User memory',
    title: 'What the workers’ own memory has grown by, for each connection; from 1,000 connections on',
    value: ({ point }) => bytes(point.userBytes),
    detail: ({ point }) => eachOf(point.userBytes, point.connections),
  },
  {
    name: 'Kernel memory',
    title: 'What the kernel’s memory of this machine has grown by, for each connection; from 1,000 connections on',
    value: ({ point }) => bytes(point.kernelBytes),
    detail: ({ point }) => eachOf(point.kernelBytes, point.connections),
  },
  {
    name: 'CPU',
    title: 'Of all processes together, 100 % is one core; and the memory that they have',
    value: ({ point }) => percent(point.workersCpu === null ? null : point.workersCpu + (point.managerCpu ?? 0)),
    detail: ({ point }) => `${bytes(point.residentBytes)} resident`,
  },
  {
    name: 'Slow consumers',
    title: 'Connections ended because they did not read, since the workers’ start; and those that are catching up now',
    value: ({ totals }) => count(totals.slowConsumers),
    detail: ({ catchingUp }) => `${compact(catchingUp)} catching up`,
  },
  {
    name: 'Log',
    title: 'Publications that are kept now, and channels that have any',
    value: ({ log }) => compact(log.publications),
    detail: ({ log }) => `${compact(log.channels)} channels`,
  },
  {
    name: 'Subscriptions',
    title: 'Pairs of a connection and a channel; and messages that wait in the classic queue',
    value: ({ subscriptions }) => compact(subscriptions),
    detail: ({ log }) => `${compact(log.queued)} queued`,
  },
];

/** What memory for each connection stands for, or why it is not known. */
function eachOf(bytesEach: number | null, connections: number | null): string {
  if (bytesEach !== null) return 'a connection';
  return (connections ?? 0) < CONNECTIONS_MIN ? 'from 1,000 on' : 'it has not grown';
}

/** Makes the tiles once. @returns what shows a snapshot in them */
export function makeTiles(list: HTMLElement): (snapshot: Snapshot) => void {
  const cells = TILES.map(({ name, title }) => {
    const tile = make('div', 'tile');
    tile.title = title;
    const value = make('dd', 'value');
    const detail = make('dd', 'detail');
    tile.append(make('dt', '', name), value, detail);
    list.append(tile);
    return { value, detail };
  });
  return (snapshot) => {
    for (const [i, { value, detail }] of TILES.entries()) {
      setText(cells[i].value, value(snapshot));
      setText(cells[i].detail, detail(snapshot));
    }
  };
}
