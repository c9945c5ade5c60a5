/** What should be looked at: of the server, of the machine's settings, of the kernel. */

import { compact } from '../shared/format.js';
import type { Snapshot, Warning } from '../shared/snapshot.js';
import { byId, make, setText } from './dom.js';

const SOURCES: Record<Warning['source'], string> = { server: 'server', doctor: 'settings', kernel: 'kernel' };

/** @returns what shows a snapshot's warnings; the list is made anew only where they have changed */
export function makeWarnings(): (snapshot: Snapshot) => void {
  const panel = byId('warnings', HTMLElement);
  const list = byId('warnings-list', HTMLUListElement);
  const badge = byId('warnings-count', HTMLElement);
  let shown = '';
  return ({ warnings }) => {
    const text = JSON.stringify(warnings);
    if (text === shown) return;
    shown = text;
    panel.classList.toggle('quiet', warnings.length === 0);
    setText(badge, warnings.length === 0 ? 'none' : String(warnings.length));
    list.replaceChildren(...warnings.map(toItem));
  };
}

function toItem({ source, what, count, cure }: Warning): HTMLLIElement {
  const item = make('li');
  item.append(make('span', `source source-${source}`, SOURCES[source]));
  const words = make('p');
  words.append(make('strong', '', count === null ? what : `${compact(count)} × ${what}`));
  if (cure !== null) words.append(` ${cure}`);
  item.append(words);
  return item;
}
