/** Channels that somebody listens to or that have publications: searched by name or prefix, page by page. */

import { count } from '../shared/format.js';
import { byId, make, setText } from './dom.js';
import { getJson, ServerError } from './server.js';
import { Table } from './table.js';

const PAGE = 50;

interface ChannelRow {
  channel: string;
  subscribers: number;
  waiting: number;
}

interface Page {
  channels: ChannelRow[];
  /** Where the next page begins; null at the end. */
  next: string | null;
}

/**
 * @param chosen told the name of a channel that is to be followed
 * @param failed told what the server refused
 */
export function setUpChannels(chosen: (channel: string) => void, failed: (error: Error) => void): void {
  const form = byId('channels-form', HTMLFormElement);
  const pattern = byId('channels-pattern', HTMLInputElement);
  const note = byId('channels-note', HTMLElement);
  const element = byId('channels', HTMLTableElement);
  const more = byId('channels-more', HTMLButtonElement);
  let rows: ChannelRow[] = [];
  let next: string | null = null;

  const table = new Table<ChannelRow>(element, [
    {
      name: 'Channel',
      text: ({ channel }) => channel,
      decorate: (cell, { channel }) => {
        const known = cell.querySelector('button');
        const button = known ?? make('button', 'link');
        setText(button, channel);
        button.title = `Follow ${channel}`;
        if (known !== null) return;
        button.type = 'button';
        button.addEventListener('click', () => chosen(button.textContent!));
        cell.append(button);
      },
    },
    { name: 'Subscribers', text: ({ subscribers }) => count(subscribers), number: true },
    { name: 'Waiting', title: 'Classic long-polls', text: ({ waiting }) => count(waiting), number: true },
  ]);

  const load = async (searched: string, after: string | null) => {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (searched !== '') query.set('pattern', searched);
    if (after !== null) query.set('after', after);
    try {
      const page = await getJson<Page>(`/v1/channels?${query}`);
      rows = after === null ? page.channels : [...rows, ...page.channels];
      next = page.next;
      table.show(rows);
      element.hidden = rows.length === 0;
      more.hidden = next === null;
      setText(note, rows.length === 0 ? 'No such channel has anybody on it.' : `${count(rows.length)} shown`);
    } catch (error) {
      setText(note, (error as Error).message);
      if (error instanceof ServerError) failed(error);
    }
  };
  let searched = '';
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    searched = pattern.value.trim();
    void load(searched, null);
  });
  more.addEventListener('click', () => void load(searched, next));
}
