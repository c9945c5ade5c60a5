/** Files that an operator names by an option: read whole, within a bound. Where one cannot be read, the reason is in words. */

import { isUtf8 } from 'node:buffer';
import { readFileSync, statSync } from 'node:fs';

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
  try {
    size = statSync(path).size;
    if (size <= bytesMax) return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw refused(REASONS[code] ?? message, code);
  }
  throw refused(`it has ${size} bytes, of ${bytesMax} at most`);
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
