/**
 * Server-sent events out of a body that comes in pieces (WHATWG HTML, section 9.2.6), for fetch: EventSource cannot send an
 * Authorization header. Only what our own server writes is understood: `event`, `id` and `data`, and comments.
 */

export interface ServerEvent {
  name: string;
  data: string;
  /** Null where the event has none. */
  id: string | null;
}

export class EventParser {
  #rest = '';
  #name = '';
  #id: string | null = null;
  #data: string[] = [];

  /** The events that are whole with this piece of text. */
  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line !== '') this.#field(line);
      else if (this.#data.length > 0) events.push(this.#take());
      else this.#reset();
    }
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'event') this.#name = value;
    else if (name === 'id') this.#id = value;
    else if (name === 'data') this.#data.push(value);
  }

  #take(): ServerEvent {
    const event = { name: this.#name === '' ? 'message' : this.#name, data: this.#data.join('\n'), id: this.#id };
    this.#reset();
    return event;
  }

  #reset(): void {
    this.#name = '';
    this.#id = null;
    this.#data = [];
  }
}
