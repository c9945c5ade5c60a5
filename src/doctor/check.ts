/** What a check says, and the few words that all checks share. */

/** One answer of the doctor. `--json` prints it as it is, without `setting`. */
export interface Check {
  /** The sysctl's or limit's own name, such as `fs.nr_open`, `RLIMIT_NOFILE` or `memory.max`. */
  name: string;
  ok: boolean;
  is: string;
  needs: string;
  why: string;
  /** The exact command or file line that mends it, on one line; empty where all is well. */
  fix: string;
  /** What `--fix` writes for it. */
  setting?: Setting;
}

export type Setting =
  | { kind: 'sysctl'; name: string; value: string }
  | { kind: 'limit'; item: 'nofile'; value: number };

/** A check of a sysctl: its fix is the command that sets it. */
export function sysctlCheck(check: Omit<Check, 'fix' | 'setting'>, value: string): Check {
  if (check.ok) return { ...check, fix: '' };
  const quoted = value.includes(' ') ? `"${value}"` : value;
  return {
    ...check,
    fix: `sysctl -w ${check.name}=${quoted}`,
    setting: { kind: 'sysctl', name: check.name, value },
  };
}

/** The power of two that is not smaller: settings are easier to read, and have some room. */
export function roundUp(value: number): number {
  return 2 ** Math.ceil(Math.log2(value));
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

/** Bytes for people: `4.4 GiB`, `112 MiB`. */
export function formatBytes(bytes: number): string {
  const gibibytes = bytes / 2 ** 30;
  return gibibytes >= 1 ? `${gibibytes.toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
