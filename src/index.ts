/**
 * MegaComet as a library.
 *
 *     import { start } from 'megacomet';
 *
 *     const server = await start({ clientPorts: 8000, log: 'memory' });
 *     await server.publish('news', { score: 3 });
 *     await server.stop();
 *
 * docs/operations.md, "In a program of yours".
 */

export { OptionsError, ServerError } from './embedding/errors.js';
export type { StartOptions } from './embedding/options.js';
export {
  type Addresses,
  type PublicationInput,
  type Published,
  type Server,
  type StartParts,
  start,
} from './embedding/server.js';
export type { Fields, Logger } from './log-line.js';
export type { ReloadReport } from './manager/reload.js';
export type { ManagerStatus, WorkerStatus } from './manager/status.js';
