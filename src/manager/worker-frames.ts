/**
 * Frames that workers send (src/link/frames.ts), checked: what comes out of here is whole, in range and valid.
 *
 * A worker is a program of ours, but it is also the one that talks to strangers: a broken one must not break the manager.
 * Everything here throws a LinkError for what is not as the contract has it, and the link is cut.
 */

import { isUtf8 } from 'node:buffer';
import { isChannelName } from '../channel-name.js';
import { CHANNEL_NAME_BYTES_MAX, MESSAGE_BYTES_MAX, PUBLICATION_ID_BYTES_MAX, WORKERS_MAX } from '../limits.js';
import { CHANGE_CHANNELS_MAX, type ClientChanges } from '../link/client-changes.js';
import { readJson, readSequence, readUint32 } from '../link/frame-reader.js';
import { type AddressCounts, type Hello, KIND_JSON, KIND_TEXT, LINK_VERSION, type Tokens } from '../link/frames.js';
import { EMPTY_STATS, type WorkerStats } from '../link/stats.js';
import type { NewPublication } from '../log/log.js';

/** What a frame visitor throws about a peer that does not keep to the protocol; other errors are our own bugs. */
export class LinkError extends Error {}

/** A client's publication, and the number under which its worker wants to hear of it. */
export interface ClientPublication {
  request: number;
  publication: NewPublication;
}

/**
 * The first of some names, each behind its length, is bytes[at + 1 .. what this returns). Its bytes only serve to find an entry:
 * whether they are UTF-8 makes no difference.
 */
export function nameEnd(bytes: Uint8Array, at: number, end: number): number {
  const start = at + 1;
  const next = start + bytes[at]!;
  if (next > end) throw new LinkError('a channel name that is cut off');
  checkName(start, next);
  return next;
}

function checkName(start: number, end: number): void {
  if (end <= start || end - start > CHANNEL_NAME_BYTES_MAX) throw new LinkError('a channel name too long or empty');
}

/** The name of a channel, as a string. */
export function readName(bytes: Uint8Array, start: number, end: number): string {
  checkName(start, end);
  const name = view(bytes, start, end);
  if (!isUtf8(name)) throw new LinkError('a channel name that is not UTF-8');
  return name.toString();
}

/** HELLO. Of another version only version, pid and worker are checked: that worker is told to stop. */
export function readHello(bytes: Uint8Array, start: number, end: number): Hello {
  const hello: Partial<Hello> = readObject(bytes, start, end);
  if (!isCount(hello.version) || !isCount(hello.pid) || !isCount(hello.worker) || hello.worker! >= WORKERS_MAX) {
    throw new LinkError('a HELLO without version, pid or worker number');
  }
  if (hello.version !== LINK_VERSION) return hello as Hello;
  const { listeners, capacity, epoch, position } = hello;
  if (!Array.isArray(listeners) || listeners.some((address) => typeof address !== 'string')) {
    throw new LinkError('a HELLO without listeners');
  }
  if (!isCount(capacity)) throw new LinkError('a HELLO without capacity');
  if ((epoch !== undefined && typeof epoch !== 'string') || (position !== undefined && !isCount(position))) {
    throw new LinkError('a HELLO with a strange position');
  }
  return hello as Hello;
}

/** STATS: every figure is there. */
export function readStats(bytes: Uint8Array, start: number, end: number): WorkerStats {
  const stats = readObject(bytes, start, end);
  if (!isLike(stats, EMPTY_STATS)) throw new LinkError('STATS with something else than figures');
  return stats as WorkerStats;
}

/** Whether a value is built as a model is: every figure a number, every list as long, and in a record of counts nothing else. */
function isLike(value: unknown, model: unknown): boolean {
  if (typeof model === 'number') return Number.isFinite(value);
  if (typeof model !== 'object' || model === null) return typeof value === typeof model;
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== Array.isArray(model)) return false;
  if (Array.isArray(model) && (value as unknown[]).length !== model.length) return false;
  const parts = Object.entries(model);
  if (parts.length === 0) return Object.values(value).every(Number.isFinite);
  return parts.every(([name, part]) => isLike((value as Record<string, unknown>)[name], part));
}

/** ADDRESSES. */
export function readAddressCounts(bytes: Uint8Array, start: number, end: number): AddressCounts {
  const counts: unknown = readObject(bytes, start, end);
  const isEntry = (entry: unknown) =>
    Array.isArray(entry) &&
    entry.length === 2 &&
    typeof entry[0] === 'string' &&
    /^[0-9a-f]{16}$/.test(entry[0]) &&
    isCount(entry[1]);
  if (!Array.isArray(counts) || !counts.every(isEntry)) throw new LinkError('ADDRESSES that are none');
  return counts as AddressCounts;
}

/** WANTED. */
export function readTokens(bytes: Uint8Array, start: number, end: number): number {
  const { tokens } = readObject(bytes, start, end) as Partial<Tokens>;
  if (!isCount(tokens) || tokens === 0) throw new LinkError('WANTED without tokens');
  return tokens as number;
}

/** EVENTS. */
export function readClientChanges(bytes: Uint8Array, start: number, end: number): ClientChanges {
  const { all, changes } = readObject(bytes, start, end) as Partial<ClientChanges>;
  if (all !== undefined && !['begin', 'more', 'end', 'whole'].includes(all)) throw new LinkError('EVENTS of no kind');
  const isChange = (change: unknown) =>
    Array.isArray(change) &&
    (change[0] === 1 || change[0] === -1) &&
    change.length >= 2 &&
    change.length <= 2 + CHANGE_CHANNELS_MAX &&
    change.slice(1).every((text) => typeof text === 'string');
  if (!Array.isArray(changes) || !changes.every(isChange)) throw new LinkError('EVENTS without changes');
  return { ...(all !== undefined && { all }), changes };
}

/** RECEIVED and DELIVERED are of one form. */
export function checkVerdict(start: number, end: number): void {
  if (end - start !== 10) throw new LinkError('a verdict of a wrong length');
}

/** READ. */
export function readRead(
  bytes: Uint8Array,
  start: number,
  end: number,
): { request: number; after: number; channel: string } {
  if (end - start < 10) throw new LinkError('a READ that is too short');
  return {
    request: readUint32(bytes, start),
    after: readSequence(bytes, start + 4),
    channel: readName(bytes, start + 10, end),
  };
}

/** PUBLISH. The bytes are copied: the log keeps them. */
export function readPublish(bytes: Uint8Array, start: number, end: number): ClientPublication {
  const idStart = start + 6;
  const idEnd = idStart + (bytes[start + 5] ?? 0);
  const nameStart = idEnd + 1;
  const nameEnd = nameStart + (bytes[idEnd] ?? 0);
  if (nameEnd > end) throw new LinkError('a PUBLISH that is too short');
  const kind = bytes[start + 4]!;
  if (kind !== KIND_TEXT && kind !== KIND_JSON) throw new LinkError(`a PUBLISH of unknown kind ${kind}`);
  if (end - nameEnd > MESSAGE_BYTES_MAX) throw new LinkError('a PUBLISH that is too large');
  if (!isUtf8(view(bytes, idStart, idEnd)) || !isUtf8(view(bytes, nameEnd, end))) {
    throw new LinkError('a PUBLISH that is not UTF-8');
  }
  const channel = readName(bytes, nameStart, nameEnd);
  if (!isChannelName(channel)) throw new LinkError('a PUBLISH to what is no channel');
  const publication: NewPublication = { channel, kind, data: Buffer.from(view(bytes, nameEnd, end)) };
  if (idEnd > idStart) {
    if (idEnd - idStart > PUBLICATION_ID_BYTES_MAX) throw new LinkError('a PUBLISH whose id is too long');
    publication.id = view(bytes, idStart, idEnd).toString();
  }
  return { request: readUint32(bytes, start), publication };
}

function readObject(bytes: Uint8Array, start: number, end: number): object {
  try {
    const value = readJson(bytes, start, end);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new LinkError('a payload that is no JSON object');
}

/** A whole number from 0. Takes anything: what it is given came from another process. */
export function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function view(bytes: Uint8Array, start: number, end: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
}
