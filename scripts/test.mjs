// Runs the tests that were built, all of them or those whose path contains one of the arguments: `npm test -- reactor/portable`.
// A script, and not a pattern for the shell: there is none on Windows that knows it, and Node 20 has none of its own.
//
// Where this process cannot call the kernel (src/linux/ffi.ts), tests that load what does are left out, and servers are started
// with the portable reactor.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';

const { ffiProblem } = await import('../dist/src/linux/ffi.js');
const wanted = process.argv.slice(2).map((part) => part.replaceAll('/', sep));
const files = readdirSync('dist', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .map((file) => join('dist', file))
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
const { status } = spawnSync(process.execPath, ['--test', '--test-timeout=180000', ...able], { stdio: 'inherit', env });
process.exit(status ?? 1);

/** Whether a module imports libc.js, itself or through others, other than dynamically. */
function needsSystemCalls(path, seen) {
  if (path.endsWith(join('linux', 'libc.js'))) return true;
  if (seen.has(path)) return false;
  seen.add(path);
  const imports = readFileSync(path, 'utf8').matchAll(/^(?:import|export) (?:[^'"]* from )?'(\.[^']+)';/gm);
  return [...imports].some(([, specifier]) => needsSystemCalls(resolve(dirname(path), specifier), seen));
}
