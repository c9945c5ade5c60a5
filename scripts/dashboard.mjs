// Puts the dashboard's page together in dist/src/dashboard/page/, where the API finds it: one script and one style sheet, with
// uPlot and its style in them, so that the page needs nothing from elsewhere. Part of `npm run build`.

import { copyFile, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = new URL('../src/dashboard/page/', import.meta.url);
const target = new URL('../dist/src/dashboard/page/', import.meta.url);

const license = await readFile(new URL('../node_modules/uplot/LICENSE', import.meta.url), 'utf8');

await build({
  entryPoints: ['page.ts', 'page.css'].map((file) => fileURLToPath(new URL(file, source))),
  outdir: fileURLToPath(target),
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022'],
  footer: { js: `/* With uPlot:\n\n${license.trim()}\n*/` },
  logLevel: 'warning',
});
for (const file of ['index.html', 'icon.svg']) await copyFile(new URL(file, source), new URL(file, target));
