/**
 * `GET /megacomet.js`: the client library (src/client/), for pages that import it from the server that they talk to. Read and
 * compressed once, when this module is loaded; an answer is a template like any other.
 *
 * The classic protocol loses one client id by it, `megacomet`.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { ascii } from '../http/characters.js';
import { listHas } from '../http/field-values.js';
import { HEADER_ACCEPT_ENCODING, HEADER_IF_NONE_MATCH, METHOD_HEAD, type RequestHead } from '../http/request-head.js';
import { ALLOW_ORIGIN, CONNECTION, dated, datedHead, NO_SNIFF, type Template, template } from '../http/template.js';

const GZIP = ascii('gzip');
const ANY = ascii('*');

/** One form of the library: as it is, or compressed. */
interface Form {
  tag: Uint8Array;
  ok: Record<keyof typeof CONNECTION, Template>;
  notModified: Record<keyof typeof CONNECTION, Template>;
}

/** @throws Error where the package is not built */
function readLibrary(): Uint8Array {
  const path = new URL('../client/megacomet.js', import.meta.url);
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error(`${path.pathname} cannot be read: build the package (npm run build)`, { cause });
  }
}

/** @param etag an entity tag (RFC 9110 section 8.8.3) */
function formOf(body: Uint8Array, etag: string, extra: readonly string[]): Form {
  // An hour: a page may be older than its server by so much. The tag makes asking again cheap.
  const shared = [`ETag: ${etag}`, 'Cache-Control: public, max-age=3600', 'Vary: Accept-Encoding', ALLOW_ORIGIN];
  const fields = [
    'Content-Type: text/javascript; charset=utf-8',
    ...shared,
    // Pages that isolate themselves from other origins may import it too.
    'Cross-Origin-Resource-Policy: cross-origin',
    NO_SNIFF,
    `Content-Length: ${body.length}`,
    ...extra,
  ];
  const both = (status: number, fields: readonly string[], body: Uint8Array) => ({
    close: template(status, [...fields, CONNECTION.close], body),
    keepAlive: template(status, [...fields, CONNECTION.keepAlive], body),
  });
  return { tag: ascii(etag), ok: both(200, fields, body), notModified: both(304, shared, new Uint8Array(0)) };
}

const library = readLibrary();
const digest = createHash('sha256').update(library).digest('hex').slice(0, 16);
const plain = formOf(library, `"${digest}"`, []);
const compressed = formOf(gzipSync(library, { level: 9 }), `"${digest}-gzip"`, ['Content-Encoding: gzip']);

/** The whole response. Offsets in `head` are into `bytes`. Borrowed. */
export function libraryAnswer(bytes: Uint8Array, head: RequestHead, nowMs: number): Uint8Array {
  const has = (header: number, word: Uint8Array) => {
    const start = head.valueStart[header]!;
    return start > 0 && listHas(bytes, start, head.valueEnd[header]!, word);
  };
  // `gzip;q=0.5` is taken for no: who has to say so can do without.
  const form = has(HEADER_ACCEPT_ENCODING, GZIP) ? compressed : plain;
  const isKnown = has(HEADER_IF_NONE_MATCH, form.tag) || has(HEADER_IF_NONE_MATCH, ANY);
  const answer = (isKnown ? form.notModified : form.ok)[head.keepAlive ? 'keepAlive' : 'close'];
  return head.method === METHOD_HEAD ? datedHead(answer, nowMs) : dated(answer, nowMs);
}
