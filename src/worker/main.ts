/** Entry point of a worker process: `node main.js <WorkerConfig as JSON>`, started by the manager. */

import { workerLogger } from '../log-line.js';
import { platform } from '../platform/platform.js';
import type { WorkerConfig } from './config.js';
import { Worker } from './worker.js';

const config = JSON.parse(process.argv[2]) as WorkerConfig;
platform.raiseDescriptorLimit();

// Whoever read our output (a terminal, the manager's log) may be gone before us; that must not end the clients.
process.stderr.on('error', () => {});
const write = (line: string): void => void process.stderr.write(line);
const worker = new Worker(config, workerLogger(config.worker, config.logFormat, config.logLevel, write));

process.on('SIGTERM', () => worker.stop());
// Ctrl-C reaches the manager, which decides.
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
// Whoever hands us our clients is gone: they find others who serve, and go on where they were.
process.once('disconnect', () => process.exit(0));

await worker.run();
// The channel on which it was handed clients would keep it alive.
process.disconnect?.();
