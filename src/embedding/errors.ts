/** What the library throws for reasons that its user can do something about. Anything else that is thrown is a bug. */

/**
 * | code | |
 * |---|---|
 * | `EOPTIONS` | options are wrong or contradict each other: {@link OptionsError} |
 * | `EPUBLICATION` | a publication is none: its channel, id or data |
 * | `ESTOPPED` | the server has been stopped |
 * | `ERUNNING`, `ERUNDIR`, `EADOPT` | the run directory is another server's, or not ours, or has workers with other ports |
 * | `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` | a port cannot be opened |
 * | `ELOG…` | the log cannot be opened, or cannot keep a publication (docs/operations.md) |
 * | `EAPIKEYS` … | a file of keys is wrong |
 */
export class ServerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = 'ServerError';
    this.code = code;
  }
}

/** Options that a server cannot be started or reloaded with. */
export class OptionsError extends ServerError {
  /** A line for each. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[], cause?: unknown) {
    super('EOPTIONS', problems.join('; '), cause);
    this.name = 'OptionsError';
    this.problems = problems;
  }
}
