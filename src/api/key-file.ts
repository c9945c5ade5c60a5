/**
 * The file of `--api-keys`: a YAML list, one key a line.
 *
 *     - {name: backend, hash: "sha256:9f86…", rights: [publish], channels: ["news/*", "user/*"]}
 *     - {name: prometheus, hash: "sha256:60303…", rights: [monitor]}
 *
 * `megacomet key` makes a key and its line. The file is read whole, and refused whole with the place of the first mistake: a key
 * that was meant to be valid, or not to be, is worse than none.
 */

import { isMap, LineCounter, type Node, parseDocument, visit, type YAMLMap } from 'yaml';
import { CHANNEL_PATTERN_RULE, isChannelPattern } from '../channel-pattern.js';
import { redact } from '../log-line.js';
import { readNamedText } from '../named-file.js';
import { API_KEYS_MAX, type ApiKeyEntry, RIGHTS, type Right } from './keys.js';

const FILE_BYTES_MAX = 1 << 20;
const NAME = /^[\w.@-]{1,64}$/;
const HASH = /^sha256:([0-9a-f]{64})$/;
/** The rights that hold for channels, which a key with one of them has to name. */
const CHANNEL_RIGHTS: readonly Right[] = ['publish', 'read'];

/** The file cannot be used. The message says where and why. */
export class ApiKeyFileError extends Error {
  readonly code = 'EAPIKEYS';

  /** @param message in which a key that stands where none belongs is not repeated: it would get into a log */
  constructor(message: string) {
    super(redact(message));
  }
}

/** What a name is. */
export const KEY_NAME_RULE = '1 to 64 letters, digits, dots, hyphens, underscores and @';

export function isKeyName(text: string): boolean {
  return NAME.test(text);
}

/**
 * Reads the file.
 *
 * @throws ApiKeyFileError where it cannot be read, or is not as it should be
 */
export function readApiKeys(path: string): ApiKeyEntry[] {
  const text = readNamedText(path, FILE_BYTES_MAX, (reason, code) => {
    const cure = code === 'ENOENT' ? '; megacomet key makes a first key' : '';
    return new ApiKeyFileError(`the API keys in ${path} cannot be read: ${reason}${cure}`);
  });
  return parseApiKeys(text, path);
}

/**
 * Reads what is in a file.
 *
 * @param path for messages
 * @throws ApiKeyFileError as {@link readApiKeys}
 */
export function parseApiKeys(text: string, path: string): ApiKeyEntry[] {
  const lines = new LineCounter();
  const fail = (offset: number, problem: string): never => {
    const { line, col } = lines.linePos(offset);
    throw new ApiKeyFileError(`${path}:${line}:${col}: ${problem}`);
  };
  if (Buffer.byteLength(text) > FILE_BYTES_MAX) throw new ApiKeyFileError(`${path} is larger than 1 MiB`);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) fail(error.pos[0], error.message);
  visit(document, { Alias: (_, { range }) => fail(range?.[0] ?? 0, 'an alias: each key stands for itself') });
  const values: unknown = document.toJS();
  if (!Array.isArray(values)) fail(0, 'a list of keys is expected, each on a line: - {name: …, hash: …, rights: […]}');
  const items = (document.contents as unknown as { items: Node[] }).items;
  const entries: ApiKeyEntry[] = [];
  for (const [i, value] of (values as unknown[]).entries()) {
    const node = items[i];
    const at = (field: string) => offsetOf(node, field);
    const entry = readEntry(value, (field, problem) => fail(at(field), problem));
    for (const other of entries) {
      if (other.name === entry.name) fail(at('name'), `there are two keys of the name '${entry.name}'`);
      if (other.hash.equals(entry.hash)) fail(at('hash'), `'${entry.name}' is the same key as '${other.name}'`);
    }
    entries.push(entry);
  }
  if (entries.length === 0) throw new ApiKeyFileError(`${path} has no key; megacomet key makes a first one`);
  if (entries.length > API_KEYS_MAX) throw new ApiKeyFileError(`${path} has more than ${API_KEYS_MAX} keys`);
  return entries;
}

/** The line of the file for a key. */
export function formatEntry({ name, hash, rights, channels }: ApiKeyEntry): string {
  const list = (texts: readonly string[]) => `[${texts.map((text) => JSON.stringify(text)).join(', ')}]`;
  const patterns = channels.length > 0 ? `, channels: ${list(channels)}` : '';
  return `- {name: ${JSON.stringify(name)}, hash: "sha256:${hash.toString('hex')}", rights: ${list(rights)}${patterns}}`;
}

function readEntry(value: unknown, fail: (field: string, problem: string) => never): ApiKeyEntry {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return fail('', 'a key has the form {name: …, hash: …, rights: […], channels: […]}');
  }
  const { name, hash, rights, channels = [], ...unknown } = value as Record<string, unknown>;
  const [other] = Object.keys(unknown);
  if (other !== undefined) fail(other, `'${other}' is not known; a key has name, hash, rights and channels`);
  if (typeof name !== 'string' || !isKeyName(name)) return fail('name', `name must be ${KEY_NAME_RULE}`);
  const hex = typeof hash === 'string' ? HASH.exec(hash)?.[1] : undefined;
  // What stands there may be a key in any form: it is not repeated.
  if (hex === undefined) return fail('hash', `hash of '${name}' must be sha256: and 64 hexadecimal digits`);
  if (!isListOf(rights, (text) => RIGHTS.includes(text as Right)) || rights.length === 0) {
    return fail('rights', `rights of '${name}' must be a list of ${RIGHTS.join(', ')}`);
  }
  if (!isListOf(channels, isChannelPattern)) {
    return fail('channels', `channels of '${name}' must be a list of patterns: ${CHANNEL_PATTERN_RULE}`);
  }
  const held = rights as Right[];
  if (channels.length === 0 && !held.includes('admin') && held.some((right) => CHANNEL_RIGHTS.includes(right))) {
    return fail('rights', `'${name}' may ${held.join(' and ')}, but on no channels: "*" are all`);
  }
  return { name, hash: Buffer.from(hex, 'hex'), rights: held, channels };
}

function isListOf(value: unknown, is: (text: string) => boolean): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && is(item));
}

/** Where a field of an entry stands, or the entry itself. */
function offsetOf(node: Node, field: string): number {
  const pair = isMap(node)
    ? (node as YAMLMap<Node, Node | null>).items.find(({ key }) => String(key) === field)
    : undefined;
  return (pair?.value ?? pair?.key ?? node).range?.[0] ?? 0;
}
