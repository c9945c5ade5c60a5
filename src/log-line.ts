/**
 * A line of the log of events, in either of its two forms. Manager and workers write to the same stream, each line with one write,
 * so that they never mix.
 *
 *     text  2026-01-31T12:00:00.000Z info worker serves worker=1 pid=4711
 *     json  {"level":"info","time":"2026-01-31T12:00:00.000Z","msg":"worker serves","worker":1,"pid":4711}
 *
 * Workers use this alone: the library that writes the manager's would cost each of them memory.
 */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export type Fields = Record<string, string | number | boolean | undefined>;

/** Gets events that an operator acts on, or may want to know of later; none for each connection or publication. */
export interface Logger {
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** @param time ISO 8601 */
export function formatTextLine(time: string, level: string, message: string, fields: Fields): string {
  let line = `${time} ${level} ${/[\p{Cc}\u2028\u2029]/u.test(message) ? quote(message) : message}`;
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) line += ` ${name}=${quote(value)}`;
  return `${line}\n`;
}

/** @param time ISO 8601 */
export function formatJsonLine(time: string, level: string, message: string, fields: Fields): string {
  return `${JSON.stringify({ level, time, msg: message, ...fields })}\n`;
}

/**
 * Takes secrets out of a text: what follows `Bearer`, the parameter `token` of an address, and anything that looks like a token
 * (RFC 7519) or an API key (src/api/keys.ts). Nothing is meant to log them; this holds where a stranger's words come into a line.
 */
export function redact(text: string): string {
  return text
    .replace(/\b(Bearer\s+)[^\s"',;]+/gi, '$1[redacted]')
    .replace(/([?&](?:access_)?token=)[^&\s"'#]+/gi, '$1[redacted]')
    .replace(/\bmk_[\w-]{16,}/g, '[redacted]')
    .replace(/\beyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?/g, '[redacted]');
}

/** A logger of a worker: `worker` is in each of its lines. */
export function workerLogger(
  worker: number,
  format: LogFormat,
  level: LogLevel,
  write: (line: string) => void,
): Logger {
  const least = LOG_LEVELS.indexOf(level);
  const formatLine = format === 'json' ? formatJsonLine : formatTextLine;
  const log = (name: LogLevel) => {
    if (LOG_LEVELS.indexOf(name) < least) return () => {};
    return (message: string, fields: Fields = {}) => {
      write(formatLine(new Date().toISOString(), name, redact(message), { worker, ...redactFields(fields) }));
    };
  };
  return { info: log('info'), warn: log('warn'), error: log('error') };
}

/** The same fields without secrets. */
export function redactFields(fields: Fields): Fields {
  const clean: Fields = {};
  for (const [name, value] of Object.entries(fields)) clean[name] = typeof value === 'string' ? redact(value) : value;
  return clean;
}

/** Values come from strangers too: anything but plain printable words is quoted, so that a line stays one line. */
function quote(value: string | number | boolean): string {
  const text = String(value);
  return /^[\w.:/@[\]+-]+$/.test(text) ? text : JSON.stringify(text).replace(/[\u007f-\uffff]/g, escapeUnicode);
}

function escapeUnicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
