/**
 * The manager's log of events: one line each, to stderr, by pino. What lines look like: log-line.ts.
 *
 * The text for people is made of pino's lines, so that both forms say the same.
 */

import pino from 'pino';
import {
  type Fields,
  formatTextLine,
  type LogFormat,
  type Logger,
  type LogLevel,
  redact,
  redactFields,
} from '../log-line.js';

export type { Fields, Logger } from '../log-line.js';

export interface LoggerOptions {
  format?: LogFormat;
  level?: LogLevel;
}

/** @param write gets each line with its newline */
export function createLogger(
  write: (line: string) => void = (line) => void process.stderr.write(line),
  { format = 'text', level = 'info' }: LoggerOptions = {},
): Logger {
  const stream = { write: format === 'json' ? write : (line: string) => write(toText(line)) };
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (name) => ({ level: name }) },
    },
    stream,
  );
  const logAt =
    (name: 'info' | 'warn' | 'error') =>
    (message: string, fields: Fields = {}) =>
      log[name]({ msg: redact(message), ...redactFields(fields) });
  return { info: logAt('info'), warn: logAt('warn'), error: logAt('error') };
}

/** One of pino's lines, for people. */
function toText(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as { time: string; level: string; msg: string } & Fields;
  return formatTextLine(time, level, msg, fields);
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
