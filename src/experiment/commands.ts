/** Programs of the system that the experiment runs: `ip` of iproute2. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { OperatorError } from '../cli/errors.js';

/**
 * Runs `ip` to its end, in a process group of its own, so that Ctrl-C cannot end it halfway.
 *
 * @returns its output
 * @throws OperatorError with what it said, where it fails or is not installed
 */
export async function ip(...args: string[]): Promise<string> {
  const child = spawn('ip', args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let error = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (error += text));
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new OperatorError(`ip ${args.join(' ')}: ${error.trim() || `exit code ${code}`}`);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== 'ENOENT') throw failure;
    throw new OperatorError('ip is missing: install iproute2');
  }
  return out;
}
