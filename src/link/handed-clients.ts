/** What manager and worker say of clients that are handed over, on the channel that Node keeps to a child process. */

/** What goes to the worker, with the client. */
export interface HandedClient {
  /** Number of the port that it came to, from 0. */
  listener: number;
  /** Number of the client, for the answer. */
  client: number;
}

/** What comes from it. */
export type HandedAnswer = { wanted: boolean } | { client: number; taken: boolean };
