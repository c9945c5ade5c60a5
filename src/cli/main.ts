/** Entry point of the command line, imported by bin/megacomet: runs the command in process.argv and sets the exit code. */

import { describeFailure } from './errors.js';
import { createProgram } from './program.js';

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  const failure = describeFailure(error);
  if (failure === null) throw error;
  if (failure.line !== '') process.stderr.write(`${failure.line}\n`);
  process.exitCode = failure.exitCode;
}
