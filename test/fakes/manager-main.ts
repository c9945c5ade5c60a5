/** A manager in a process of its own, to be killed: prints one JSON line when it serves. */

import { startManager } from '../../src/manager/manager.js';
import type { ServeOptions } from '../../src/manager/options.js';

const [options, workerMain] = process.argv.slice(2);
// However a test ends, nothing of it stays behind.
setTimeout(() => process.exit(3), 20_000);
const manager = await startManager(JSON.parse(options!) as ServeOptions, { workerMain: workerMain! });
process.stdout.write(`${JSON.stringify({ clients: manager.clients, api: manager.api })}\n`);
