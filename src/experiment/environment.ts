/** Where an experiment ran: machine and versions, for its result. */

import { execFileSync } from 'node:child_process';
import { arch, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { packageVersion } from '../version.js';
import type { ExperimentResult } from './result.js';

export function describeMachine(): ExperimentResult['machine'] {
  const cores = cpus();
  return { cpu: cores[0]?.model.trim() ?? 'unknown', cores: cores.length, memoryBytes: totalmem(), arch: arch() };
}

export function describeVersions(): ExperimentResult['versions'] {
  return { megacomet: packageVersion(), commit: commit(), node: process.version, kernel: release() };
}

/** The commit of a clone; null for an installed package, or where there is no git. */
function commit(): string | null {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url));
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    // Whatever git has to say: the version has to do.
    return null;
  }
}
