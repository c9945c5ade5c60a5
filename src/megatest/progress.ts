/** What is seen while a megatest runs: one line that is rewritten on a terminal, a line now and then elsewhere. */

export interface ProgressOutput {
  write(text: string): unknown;
  isTTY?: boolean;
}

export interface ProgressNumbers {
  phase: string;
  opened: number;
  connections: number;
  failed: number;
  dropped: number;
  sent: number;
  received: number;
}

const TERMINAL_INTERVAL_MS = 250;
const PLAIN_INTERVAL_MS = 5000;

export class Progress {
  private readonly output: ProgressOutput;
  private readonly read: () => ProgressNumbers;
  private readonly timer: NodeJS.Timeout;
  private lastMs: number;
  private lastOpened = 0;

  constructor(output: ProgressOutput, read: () => ProgressNumbers) {
    this.output = output;
    this.read = read;
    this.lastMs = performance.now();
    this.timer = setInterval(() => this.show(), output.isTTY ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS);
  }

  /** Shows the numbers of this moment. */
  show(): void {
    const numbers = this.read();
    const nowMs = performance.now();
    const rate = ((numbers.opened - this.lastOpened) * 1000) / Math.max(1, nowMs - this.lastMs);
    this.lastMs = nowMs;
    this.lastOpened = numbers.opened;
    const line = formatProgress(numbers, rate);
    this.output.write(this.output.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** A line that stays. */
  note(text: string): void {
    this.output.write(this.output.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
  }

  stop(): void {
    clearInterval(this.timer);
    this.show();
    if (this.output.isTTY) this.output.write('\n');
  }
}

/** `opening: 12,000 of 100,000 opened, 9,000/s, 0 failed, 0 dropped` */
export function formatProgress(numbers: ProgressNumbers, rate: number): string {
  const { phase, opened, connections, failed, dropped, sent, received } = numbers;
  const parts = [`${group(opened)} of ${group(connections)} opened`];
  if (opened < connections) parts.push(`${group(Math.round(rate))}/s`);
  parts.push(`${group(failed)} failed`, `${group(dropped)} dropped`);
  if (sent > 0) parts.push(`${group(received)} of ${group(sent)} messages received`);
  return `${phase}: ${parts.join(', ')}`;
}

/** 1234567 as `1,234,567`. */
export function group(number: number): string {
  return number.toLocaleString('en-US');
}
