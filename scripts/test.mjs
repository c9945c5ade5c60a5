// Runs the tests that were built, all of them or those whose path contains one of the arguments: `npm test -- reactor/portable`.
// With --depends-on-node only what may come to another result on another version of Node. Several files run at a time, and then, one
// by one, those that must have the machine to themselves (test-groups.mjs).
//
// A script, and not a pattern for the shell: there is none on Windows that knows it, and Node 20 has none of its own.
//
// Where this process cannot call the kernel (src/linux/ffi.ts), tests that load what does are left out, and servers are started
// with the portable reactor.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { dependsOnNode, FILES_AT_A_TIME, inOrder, runsAlone } from './test-groups.mjs';

const { ffiProblem } = await import('../dist/src/linux/ffi.js');
const DEPENDS_ON_NODE = '--depends-on-node';
/** A file that takes so long hangs: on a quiet machine the longest takes a minute and a half. */
const HANGS_MS = 600_000;
const wanted = process.argv
  .slice(2)
  .filter((argument) => argument !== DEPENDS_ON_NODE)
  .map((part) => part.replaceAll('/', sep));
const files = readdirSync('dist', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .map((file) => join('dist', file))
  .filter((file) => !process.argv.includes(DEPENDS_ON_NODE) || dependsOnNode(file))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test matches ${wanted.join(' ')}`);
  process.exit(2);
}

const able = ffiProblem === null ? files : files.filter((file) => !needsSystemCalls(resolve(file), new Set()));
const env = { ...process.env };
if (ffiProblem !== null) {
  env.MEGACOMET_TEST_REACTOR ??= 'portable';
  const left = files.filter((file) => !able.includes(file));
  console.log(`left out, because ${ffiProblem}: ${left.join(' ')}`);
}
const begunMs = performance.now();
const results = [
  run(inOrder(able.filter((file) => !runsAlone(file))), FILES_AT_A_TIME),
  run(able.filter(runsAlone), 1),
].filter((result) => result !== null);
console.log(`tests took ${Math.round((performance.now() - begunMs) / 1000)} s`);
process.exit(results.find((status) => status !== 0) ?? 0);

/** Runs files of tests, and returns the exit code, or null where there are none. */
function run(files, filesAtATime) {
  if (files.length === 0) return null;
  console.log(`${files.length} files of tests, ${filesAtATime} at a time`);
  const options = [
    '--test',
    '--test-reporter=spec',
    `--test-timeout=${HANGS_MS}`,
    `--test-concurrency=${filesAtATime}`,
  ];
  return spawnSync(process.execPath, [...options, ...files], { stdio: 'inherit', env }).status ?? 1;
}

/** Whether a module imports libc.js, itself or through others, other than dynamically. */
function needsSystemCalls(path, seen) {
  if (path.endsWith(join('linux', 'libc.js'))) return true;
  if (seen.has(path)) return false;
  seen.add(path);
  const imports = readFileSync(path, 'utf8').matchAll(/^(?:import|export) (?:[^'"]* from )?'(\.[^']+)';/gm);
  return [...imports].some(([, specifier]) => needsSystemCalls(resolve(dirname(path), specifier), seen));
}
