/** Entry point of the command line, imported by bin/megacomet: runs the command in process.argv and sets the exit code. */

import { describeFailure } from './errors.js';
import { createProgram, usageHint } from './program.js';

// Whoever reads the output may go away (`serve | head`); that is no reason to drop a million clients.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const program = createProgram();
try {
  await program.parseAsync(process.argv);
} catch (error) {
  const failure = describeFailure(error, (problem) => usageHint(program, problem, process.argv.slice(2)));
  if (failure === null) throw error;
  if (failure.line !== '') process.stderr.write(`${failure.line}\n`);
  process.exitCode = failure.exitCode;
}
