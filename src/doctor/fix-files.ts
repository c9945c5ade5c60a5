/**
 * The text of the two files of `--fix`. Only what is not sufficient is in them; what no file can mend (memory, limits of a
 * control group) is a comment.
 */

import type { Check } from './check.js';

export interface FixFiles {
  /** For /etc/sysctl.d, sysctl.d(5). */
  sysctls: string;
  /** For /etc/security/limits.d, limits.conf(5), with the line for systemd. */
  limits: string;
}

/**
 * The limits file that goes with a sysctl file, beside it. It must not end in `.conf`: in /etc/sysctl.d that would make it
 * a second file of sysctls.
 */
export function limitsPath(sysctlPath: string): string {
  return `${sysctlPath.replace(/\.conf$/, '')}.limits`;
}

/** @param command the command that made them, for the first line */
export function fixFiles(checks: readonly Check[], command: string): FixFiles {
  const sysctls: string[] = [];
  const limits: string[] = [];
  const others: string[] = [];
  for (const check of checks.filter(({ ok }) => !ok)) {
    const explanation = `# ${check.name} is ${check.is}; needed: ${check.needs}.`;
    const { setting } = check;
    if (setting === undefined) others.push(explanation, `# ${check.fix}`, '');
    else if (setting.kind === 'sysctl') sysctls.push(explanation, `${setting.name} = ${setting.value}`, '');
    else {
      limits.push(explanation, `* hard ${setting.item} ${setting.value}`, `root hard ${setting.item} ${setting.value}`);
      limits.push('', '# A systemd unit does not read this file; it needs, under [Service]:');
      limits.push(`#   LimitNOFILE=${setting.value}`, '');
    }
  }
  if (sysctls.length === 0) sysctls.push('# All sysctls are sufficient.', '');
  if (limits.length === 0) limits.push('# All limits are sufficient.', '');
  if (others.length > 0) others.unshift('# No file mends these:', '');
  return {
    sysctls: [
      `# Written by: ${command}`,
      '# Put it into /etc/sysctl.d/, then: sysctl --system',
      '',
      ...sysctls,
      ...others,
    ].join('\n'),
    limits: [
      `# Written by: ${command}`,
      '# Put it into /etc/security/limits.d/ under a name that ends in .conf, then log in again.',
      '',
      ...limits,
    ].join('\n'),
  };
}
