/**
 * What ends a command: a wrong request (exit 2) or a failure that the operator can do something about (exit 1). Both are
 * one line on stderr. Anything else that is thrown is a bug and keeps its stack.
 */

import { CommanderError } from 'commander';

/** A wrong option or value: exit 2. The message says what is wrong and what is allowed. */
export class UsageError extends Error {}

/** A failure at run time: exit 1. The message says what failed and, where there is one, the cure. */
export class OperatorError extends Error {}

/**
 * True for failures whose message was written for the operator: ours, the kernel's (ENOENT, EADDRINUSE …) and those of
 * other parts with a stable code. Node's own `ERR_…` codes mark wrong calls, so they count as bugs.
 */
export function isOperational(error: unknown): error is Error {
  if (error instanceof OperatorError) return true;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  return !error.code.startsWith('ERR_');
}

/** Puts a message on one line, whatever it was made of. */
export function oneLine(message: string): string {
  return message.trim().replace(/\s*\n\s*/g, ' ');
}

/**
 * Exit code and line of a failed command, or null for a bug. An empty line says that all was said already (--help).
 *
 * @param hint what to add to one of commander's messages
 */
export function describeFailure(
  error: unknown,
  hint: (error: CommanderError) => string,
): { exitCode: number; line: string } | null {
  if (error instanceof UsageError) return { exitCode: 2, line: `megacomet: ${oneLine(error.message)}` };
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { exitCode: 0, line: '' };
    // Commander's code 'commander.help' means that help was shown because no command was given.
    if (error.code === 'commander.help') return { exitCode: 2, line: '' };
    return { exitCode: 2, line: `megacomet: ${oneLine(error.message.replace(/^error: /, '') + hint(error))}` };
  }
  if (isOperational(error)) return { exitCode: 1, line: `megacomet: ${oneLine(error.message)}` };
  return null;
}
