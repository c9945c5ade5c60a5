/**
 * The page's files, as `npm run build` has put them beside this module, with the headers under which they do no harm: the
 * page may load and call nothing but the server that it came from, run no script but its own file, and be framed by
 * nobody. So even markup that got in with a channel's name would have nothing to work with.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const DIRECTORY = new URL('./page/', import.meta.url);

/** By path on the API port. */
const FILES: Record<string, { file: string; type: string }> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/dashboard/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/dashboard/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  '/dashboard/icon.svg': { file: 'icon.svg', type: 'image/svg+xml' },
};

export const ASSET_PATHS: readonly string[] = Object.keys(FILES);

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // No string becomes markup or code in this page, whoever tries (Trusted Types).
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export const ASSET_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  // Asked for each time, answered 304 while it is the same: a new version is seen at once.
  'cache-control': 'no-cache',
};

export interface Asset {
  bytes: Buffer;
  type: string;
  etag: string;
}

const cache = new Map<string, Asset>();

/** One of ASSET_PATHS; read once. @throws Error ENOENT where the page was not built */
export function readAsset(path: string): Asset {
  const known = cache.get(path);
  if (known !== undefined) return known;
  const { file, type } = FILES[path]!;
  const bytes = readFileSync(new URL(file, DIRECTORY));
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  const asset = { bytes, type, etag };
  cache.set(path, asset);
  return asset;
}
