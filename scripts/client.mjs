/**
 * Bundles the client library, as it was compiled to dist/, to the one file for browsers and Node. Part of `npm run build`.
 *
 * It has to stay within 5 KB, gzipped (src/client/bundle.test.ts): so the members that only the library's own modules see
 * have their names shortened too.
 */

import { writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { minify } from 'terser';

const OUTPUT = 'dist/src/client/megacomet.js';

/** No name of these may be an option, an event, a member that users see, or one of the platform's own. */
const INTERNAL = `
  answered at base before begin changed check delay drop ended heard options interrupt isLive item live
  onPage opened pause platform positions reached refused remove renewAtMs restart run stop worked
`;

const { outputFiles } = await build({
  entryPoints: ['dist/src/client/index.js'],
  write: false,
  bundle: true,
  minify: true,
  format: 'esm',
  // Private members and top-level await of older targets are not needed; all browsers since 2022 have what is.
  target: 'es2022',
  legalComments: 'none',
  mangleProps: new RegExp(`^(${INTERNAL.trim().split(/\s+/).join('|')})$`),
  logLevel: 'warning',
});

// terser folds and inlines more than esbuild does: some 180 bytes of the gzipped file.
const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 3 } });
writeFileSync(OUTPUT, code);
