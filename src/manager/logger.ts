/**
 * The manager's log of events: one line each, to stderr, none per connection or publication.
 *
 *     2026-01-31T12:00:00.000Z info worker serves worker=1 pid=4711
 */

export type Fields = Record<string, string | number | boolean | undefined>;

export interface Logger {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** @param write gets each line with its newline */
export function createLogger(write: (line: string) => void = (line) => void process.stderr.write(line)): Logger {
  const log =
    (level: string) =>
    (message: string, fields: Fields = {}) => {
      let line = `${new Date().toISOString()} ${level} ${message}`;
      for (const [name, value] of Object.entries(fields)) if (value !== undefined) line += ` ${name}=${quote(value)}`;
      write(`${line}\n`);
    };
  return { info: log('info'), warn: log('warn'), error: log('error') };
}

/** Passes on a first call, and then one at most every `ms`: for what would fill the log by saying the same again. */
export function atMostEvery<A extends unknown[]>(
  ms: number,
  say: (...args: A) => void,
  now: () => number = () => performance.now(),
): (...args: A) => void {
  let nextMs = Number.NEGATIVE_INFINITY;
  return (...args) => {
    const nowMs = now();
    if (nowMs < nextMs) return;
    nextMs = nowMs + ms;
    say(...args);
  };
}

/** Values come from strangers too: anything but plain printable words is quoted, so that a line stays one line. */
function quote(value: string | number | boolean): string {
  const text = String(value);
  return /^[\w.:/@[\]+-]+$/.test(text) ? text : JSON.stringify(text).replace(/[\u007f-\uffff]/g, escapeUnicode);
}

function escapeUnicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
