// Runs the tests that were built, all of them or those whose path contains one of the arguments: `npm test -- reactor/portable`.
// A script, and not a pattern for the shell: there is none on Windows that knows it, and Node 20 has none of its own.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';

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
const { status } = spawnSync(process.execPath, ['--test', '--test-timeout=180000', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
