/** Files that an operator names by an option: read whole, within a bound. Where one cannot be read, the reason is in words. */

import { isUtf8 } from 'node:buffer';
import { closeSync, openSync, readSync, statSync } from 'node:fs';

const CHUNK_BYTES = 64 << 10;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
};

/**
 * The bytes of a file.
 *
 * @param refused makes the error that is thrown, of a reason such as `it is a directory`; `code` is the system's, if it was one
 * @throws what `refused` makes
 */
export function readNamedFile(
  path: string,
  bytesMax: number,
  refused: (reason: string, code?: string) => Error,
): Buffer {
  let size: number;
  let bytes: Buffer | null;
  try {
    size = statSync(path).size;
    bytes = size > bytesMax ? null : readUpTo(path, bytesMax + 1);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw refused(REASONS[code] ?? message, code);
  }
  if (bytes === null) throw refused(`it has ${size} bytes, of ${bytesMax} at most`);
  if (bytes.length > bytesMax) throw refused(`it has more than ${bytesMax} bytes`);
  return bytes;
}

/** What a file says of its size may be nothing: a device, a pipe and /proc have 0. */
function readUpTo(path: string, bytesMax: number): Buffer {
  const chunks: Buffer[] = [];
  const file = openSync(path, 'r');
  try {
    for (let left = bytesMax; left > 0; left -= chunks.at(-1)!.length) {
      const chunk = Buffer.alloc(Math.min(left, CHUNK_BYTES));
      const count = readSync(file, chunk);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
  return Buffer.concat(chunks);
}

/** As {@link readNamedFile}, its text. Decoded leniently, a wrong byte would make other names of those in it. */
export function readNamedText(
  path: string,
  bytesMax: number,
  refused: (reason: string, code?: string) => Error,
): string {
  const bytes = readNamedFile(path, bytesMax, refused);
  if (!isUtf8(bytes)) throw refused('it is not UTF-8');
  return bytes.toString();
}

const SPACE = 0x20;
const TAB = 0x09;
const CR = 0x0d;

/**
 * A secret as its file has it: white space at the end (space, and tab to carriage return) belongs to the file. Bytes above ASCII
 * never do: 0xA0, a space in Latin-1, ends an `à` in UTF-8.
 */
export function withoutSpaceAtEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1]! === SPACE || (bytes[end - 1]! >= TAB && bytes[end - 1]! <= CR))) end--;
  return bytes.subarray(0, end);
}
