/**
 * Where processes of one machine meet: a Unix socket in a directory of their own, and a named pipe on Windows, which has no sockets in
 * directories that Node could use. A pipe has a flat name, so the path becomes a hash in it; it is gone with the process that
 * listens.
 */

import { createHash } from 'node:crypto';

/**
 * sun_path of struct sockaddr_un with its ending 0: unix(7) on Linux, unix(4) on macOS and the BSDs.
 */
export function endpointBytesMax(system: NodeJS.Platform = process.platform): number {
  return system === 'linux' ? 107 : 103;
}

/** @param path absolute; of a socket file that may not exist */
export function endpoint(path: string, system: NodeJS.Platform = process.platform): string {
  if (system !== 'win32') return path;
  // Windows' paths are the same in any case.
  const hash = createHash('sha256').update(path.toLowerCase()).digest('hex').slice(0, 32);
  return `\\\\.\\pipe\\megacomet-${hash}`;
}

/** Whether an endpoint is a file, which an ended process may have left behind. */
export function isFile(endpoint: string): boolean {
  return !endpoint.startsWith('\\\\.\\pipe\\');
}
