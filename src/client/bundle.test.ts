import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

const folder = new URL('.', import.meta.url);
const bundle = readFileSync(new URL('megacomet.js', folder));

describe('the bundle', () => {
  test('has at most 5 KB, gzipped', (t) => {
    const { length } = gzipSync(bundle, { level: 9 });
    t.diagnostic(`${length} bytes gzipped, ${bundle.length} as they are`);
    assert.ok(length <= 5000, `${length} bytes`);
  });

  test('is one module that imports nothing and exports what the types say', async () => {
    assert.doesNotMatch(String(bundle), /\bimport\b|\brequire\b/);
    const { connect, MegaCometError, ...others } = (await import(
      String(new URL('megacomet.js', folder))
    )) as object as {
      connect: unknown;
      MegaCometError: unknown;
    };
    assert.equal(typeof connect, 'function');
    assert.equal(typeof MegaCometError, 'function');
    assert.deepEqual(others, {});
  });

  test('is what package.json exports as megacomet/client', async () => {
    assert.equal(import.meta.resolve('megacomet/client'), String(new URL('megacomet.js', folder)));
  });

  test('comes of modules that import nothing but each other', () => {
    for (const name of readdirSync(folder).filter((name) => name.endsWith('.js') && !name.endsWith('.test.js'))) {
      const source = readFileSync(new URL(name, folder), 'utf8');
      for (const [, imported] of source.matchAll(/\bfrom\s*'([^']+)'/g))
        assert.match(imported!, /^\.\/[\w-]+\.js$/, name);
    }
  });
});
