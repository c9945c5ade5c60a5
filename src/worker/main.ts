/** Entry point of a worker process: `node main.js <WorkerConfig as JSON>`, started by the manager. */

import { raiseDescriptorLimit } from '../linux/sockets.js';
import { workerLogger } from '../log-line.js';
import type { WorkerConfig } from './config.js';
import { Worker } from './worker.js';

const config = JSON.parse(process.argv[2]) as WorkerConfig;
raiseDescriptorLimit();

// Whoever read our output (a terminal, the manager's log) may be gone before us; that must not end the clients.
process.stderr.on('error', () => {});
const write = (line: string): void => void process.stderr.write(line);
const worker = new Worker(config, workerLogger(config.worker, config.logFormat, config.logLevel, write));

process.on('SIGTERM', () => worker.stop());
// Ctrl-C reaches the manager, which decides.
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});

await worker.run();
