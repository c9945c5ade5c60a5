/**
 * Whether this process can call the kernel itself. It cannot on another system than Linux, where koffi was not installed, and
 * where native add-ons are not allowed (`--no-addons`, Node's permission model).
 *
 * Modules that import libc.js need it and fail to load without. Whoever has another way looks here first and imports them
 * dynamically, at the top of its module: after that a call costs what it costs with a static import.
 */

/** Why not, as the end of a sentence; null where it can. */
export const ffiProblem: string | null = await examine();

async function examine(): Promise<string | null> {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`;
  try {
    await import('./libc.js');
    return null;
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    return `system calls are not to be had here (${reason})`;
  }
}
