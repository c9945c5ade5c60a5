/** The doctor's words for people: a block for each check, a verdict, and the list of 2011. */

import { type Check, count } from './check.js';
import { HISTORY } from './history.js';

const WIDTH = 100;
const INDENT = '            ';

/** What `--json` prints for each check. */
export type CheckJson = Omit<Check, 'setting'>;

export function toJson({ name, ok, is, needs, why, fix }: Check): CheckJson {
  return { name, ok, is, needs, why, fix };
}

export function formatReport(checks: readonly Check[], connections: number, kernel: string): string {
  const failed = checks.filter(({ ok }) => !ok);
  const verdict =
    failed.length === 0
      ? `Nothing in this machine (Linux ${kernel}) is in the way of ${count(connections)} connections.`
      : `In the way of ${count(connections)} connections on this machine (Linux ${kernel}): ` +
        `${failed.map(({ name }) => name).join(', ')}.`;
  const hint = 'megacomet doctor --history says which settings of 2011 a kernel of today still needs.';
  return [...checks.map(formatCheck), wrap(verdict, ''), hint, ''].join('\n');
}

export function formatHistory(): string {
  const words = { check: 'look at it', no: 'not needed', gone: 'gone' };
  const blocks = HISTORY.map(
    ({ line, verdict, today }) => `${words[verdict].padEnd(10)}  ${line}\n${wrap(today, INDENT)}\n`,
  );
  return ['What was set in 2011, and whether a kernel of today needs it:', '', ...blocks].join('\n');
}

/** For the log of a server: what is in the way, on one line. */
export function warningLine(check: Check, connections: number): string {
  return `${check.name} is ${check.is}; ${count(connections)} connections need ${check.needs}: ${check.fix}`;
}

function formatCheck(check: Check): string {
  const lines = [
    `${check.ok ? 'ok    ' : 'NOT OK'}  ${check.name}`,
    labelled('is', check.is),
    labelled('needs', check.needs),
    labelled('why', check.why),
  ];
  // Not wrapped: it is to be copied.
  if (!check.ok) lines.push(`        fix ${check.fix}`);
  return `${lines.join('\n')}\n`;
}

function labelled(label: string, text: string): string {
  return `${label.padStart(INDENT.length - 1)} ${wrap(text, INDENT).trimStart()}`;
}

/** Lines of at most WIDTH characters where words allow it, each indented. */
function wrap(text: string, indent: string): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => indent + line).join('\n');
}
