/** The form that publishes: text as it is, or JSON that was found to be JSON before it is sent. */

import { byId, setText } from './dom.js';
import { postJson } from './server.js';

interface Receipt {
  cursor: string;
  status: string;
  receivers: number;
}

/** @param failed told of what the server refused */
export function setUpPublish(failed: (error: Error) => void): void {
  const form = byId('publish-form', HTMLFormElement);
  const channel = byId('publish-channel', HTMLInputElement);
  const data = byId('publish-data', HTMLTextAreaElement);
  const note = byId('publish-note', HTMLElement);
  const say = (text: string, isProblem: boolean) => {
    setText(note, text);
    note.classList.toggle('problem', isProblem);
  };

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const kind = new FormData(form).get('kind');
    let value: unknown = data.value;
    if (kind === 'json') {
      try {
        value = JSON.parse(data.value);
      } catch (error) {
        say(`This is not JSON: ${(error as Error).message}`, true);
        data.focus();
        return;
      }
    }
    say('Publishing …', false);
    try {
      const { cursor, receivers, status } = await postJson<Receipt>('/v1/publish', {
        channel: channel.value,
        data: value,
      });
      const to = receivers === 1 ? '1 connection' : `${receivers} connections`;
      say(status === 'delivered' ? `Handed to ${to}, as ${cursor}` : `Kept as ${cursor}; nobody took it yet`, false);
    } catch (error) {
      say((error as Error).message, true);
      failed(error as Error);
    }
  });
}
