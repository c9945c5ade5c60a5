/** Readers for /proc, proc(5): what a process costs, as its operator and megatest report it. */

import { openSync, readdirSync, readFileSync, readSync } from 'node:fs';

export interface ProcessMemory {
  /** Resident, shared pages counted whole. */
  rssBytes: number;
  /** Resident, each shared page divided by the number of processes that share it. */
  pssBytes: number;
  /** Pages of this process alone, clean or dirty: what would be freed if it ended. */
  privateBytes: number;
}

/** @throws Error ENOENT or ESRCH when there is no such process, EACCES when it is somebody else's. */
export function processMemory(pid: number): ProcessMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return {
    rssBytes: kilobytes(text, 'Rss'),
    pssBytes: kilobytes(text, 'Pss'),
    privateBytes: kilobytes(text, 'Private_Clean') + kilobytes(text, 'Private_Dirty'),
  };
}

function kilobytes(smaps: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(smaps);
  if (match === null) throw new Error(`no line '${name}' for a process's memory`);
  return Number(match[1]) * 1024;
}

/**
 * Resident memory of a process, shared pages included: cheap, where processMemory walks all its mappings. Null when there
 * is no such process.
 */
export function residentBytes(pid: number): number | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
  // A zombie has no memory and no such line.
  return text.includes('\nVmRSS:') ? kilobytes(text, 'VmRSS') : null;
}

/**
 * Memory of this process that no file is behind: what it has for itself, without the program's text. Where there is no /proc,
 * all of its resident memory.
 */
export function ownMemoryBytes(): number {
  ownStatus ??= openOwnStatus();
  if (ownStatus === NOT_THERE) return process.memoryUsage.rss();
  const length = readSync(ownStatus, statusBytes, 0, statusBytes.length, 0);
  const text = statusBytes.toString('latin1', 0, length);
  return kilobytes(text, 'RssAnon') + kilobytes(text, 'RssShmem');
}

const NOT_THERE = -1;
const statusBytes = Buffer.alloc(8192);
/** Stays open: a worker that is out of descriptors reports its memory too. */
let ownStatus: number | undefined;

function openOwnStatus(): number {
  try {
    return openSync('/proc/self/status', 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ERR_ACCESS_DENIED') return NOT_THERE;
    throw error;
  }
}

export interface ProcessCpu {
  userSeconds: number;
  systemSeconds: number;
}

/** USER_HZ is 100 on every Linux that user space can see. */
const TICKS_PER_SECOND = 100;

/** CPU time of all threads of a process, living and ended. @throws as processMemory */
export function processCpu(pid: number): ProcessCpu {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is the program's name in brackets and may hold spaces and brackets; the third follows the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { userSeconds: Number(fields[11]) / TICKS_PER_SECOND, systemSeconds: Number(fields[12]) / TICKS_PER_SECOND };
}

/** How many descriptors a process has open. */
export function openDescriptors(pid: number | 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
