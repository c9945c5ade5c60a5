/** Channels that somebody is on: searched by how their names begin, page by page. */

import { count } from '../shared/format.js';
import { byId, make, setText } from './dom.js';
import { getJson } from './server.js';
import { Table } from './table.js';

const PAGE = 50;

interface ChannelRow {
  channel: string;
  subscribers: number;
  waiting: number;
}

interface Page {
  channels: ChannelRow[];
  /** Where the next page begins; none at the end. */
  next?: string;
  /** Some workers did not answer in time: there may be more. */
  incomplete?: unknown;
}

/**
 * @param chosen told the name of a channel that is to be followed
 * @param failed told what the server refused
 */
export function setUpChannels(chosen: (channel: string) => void, failed: (error: Error) => void): void {
  const form = byId('channels-form', HTMLFormElement);
  const beginning = byId('channels-beginning', HTMLInputElement);
  const note = byId('channels-note', HTMLElement);
  const element = byId('channels', HTMLTableElement);
  const more = byId('channels-more', HTMLButtonElement);
  let rows: ChannelRow[] = [];
  let next: string | undefined;

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

  const load = async (beginning: string, after?: string) => {
    const query = new URLSearchParams({ limit: String(PAGE), pattern: `${beginning}*` });
    if (after !== undefined) query.set('after', after);
    try {
      const page = await getJson<Page>(`/v1/channels?${query}`);
      rows = after === undefined ? page.channels : [...rows, ...page.channels];
      next = page.next;
      table.show(rows);
      element.hidden = rows.length === 0;
      more.hidden = next === undefined;
      setText(note, describe(rows.length, next !== undefined, page.incomplete !== undefined));
    } catch (error) {
      setText(note, (error as Error).message);
      failed(error as Error);
    }
  };
  let searched = '';
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    // A name is the beginning of itself, so all that is typed is a beginning.
    searched = beginning.value.trim().replace(/\*$/, '');
    void load(searched);
  });
  more.addEventListener('click', () => void load(searched, next));
}

function describe(shown: number, isMore: boolean, isIncomplete: boolean): string {
  const words = [
    shown === 0 ? 'Nobody is on such a channel.' : isMore ? `The first ${count(shown)}.` : `${count(shown)} in all.`,
  ];
  if (isIncomplete) words.push('Not all workers answered: there may be more.');
  return words.join(' ');
}
