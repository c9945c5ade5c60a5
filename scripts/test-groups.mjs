// Which tests may run side by side, and which are worth repeating on another version of Node. A test is named by a part of its path.
//
// Most tests wait for processes and timers more than they compute, so several run at a time. What is listed in ALONE would disturb
// others or be disturbed: it runs by itself, after the others.

import { availableParallelism } from 'node:os';
import { sep } from 'node:path';

/** How many test files run at a time. Each of them has at most a few processes that compute. */
export const FILES_AT_A_TIME = Math.min(8, 2 * availableParallelism());

/** What runs by itself, and why. */
const ALONE = {
  'src/reactor/run-loop': 'measures pauses of fractions of a millisecond',
  'bench/measure': 'compares the CPU time of a process with what it was told to spend',
  'test/evacuation': 'holds to the even pace of a drain, second by second',
  'test/experiment': 'looks at all namespaces and interfaces, and at how idle the processes are',
  'test/hostile': 'holds to the time that a flood takes',
  'test/soak': 'keeps all cores busy for a minute',
};

/** What says nothing more on another version of Node, and why. */
const SAME_ON_ANY_NODE = {
  'src/': 'pure functions and parts of what the end-to-end tests run',
  'bench/': 'the bench is a tool of ours, run on one version',
  'test/soak': 'a minute of what survival and streams test one by one',
  'test/experiment': 'the same servers, in namespaces',
  'test/evacuation': 'the same servers, two of them',
  'test/browser': 'of Chromium',
  'test/client-browser': 'of Chromium',
  'test/cross-site': 'of Chromium',
  'test/dashboard': 'mostly of Chromium',
  'test/examples': 'mostly of Chromium',
  'test/client-docs': 'of the TypeScript compiler',
  'test/deploy': 'of systemd and of files that nothing here runs',
  'test/doctor': 'of the kernel',
  'test/security-doc': 'of a document',
};

/** What does depend on the version although SAME_ON_ANY_NODE names its folder: system calls, mapped memory, the event loop. */
const NEAR_TO_NODE = ['src/linux/', 'src/reactor/', 'src/log/lmdb', 'src/client/client'];

const isNamed = (file, names) => names.some((name) => file.startsWith(`dist${sep}${name.replaceAll('/', sep)}`));

/** Whether a file's tests run by themselves. */
export const runsAlone = (file) => isNamed(file, Object.keys(ALONE));

/** Whether a file's tests may come to another result on another version of Node. */
export const dependsOnNode = (file) => isNamed(file, NEAR_TO_NODE) || !isNamed(file, Object.keys(SAME_ON_ANY_NODE));

/** Files in the order in which they begin: end-to-end tests first, since a long one that begins last is waited for by all cores. */
export function inOrder(files) {
  const rank = (file) => (file.startsWith(`dist${sep}test${sep}`) ? 0 : 1);
  return [...files].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
