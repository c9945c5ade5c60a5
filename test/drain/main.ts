/** `node dist/test/drain/main.js --clients 50000 --seconds 20`: the drain of test/evacuation.test.ts, as large as one likes. */

import { Command, InvalidArgumentError } from 'commander';
import { evacuate } from './evacuation.js';
import type { HerdConfig } from './protocol.js';

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number, 1 or more');
  return value;
}

const program = new Command('drain')
  .description('Drains a server of very many clients, which go on at a second one: evenly, and is anything lost?')
  .option('--clients <count>', 'over all transports', count, 50_000)
  .option('--seconds <s>', 'over how long they are told to leave', count, 20)
  .option('--processes <count>', 'of clients', count, 1)
  .option('--channels <count>', 'which the clients share', count, 1000)
  .option('--rate <count>', 'publications a second, to both servers', count, 100)
  .option('--reactor <name>', 'of servers and clients: auto, io-uring, epoll', 'auto')
  .parse();
const flags = program.opts<{
  clients: number;
  seconds: number;
  processes: number;
  channels: number;
  rate: number;
  reactor: HerdConfig['reactor'];
}>();

const startMs = performance.now();
const log = (line: string) =>
  console.log(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}`);
const { errors, perSecond, worstOverMean, unadvised, ...figures } = await evacuate({ ...flags, log });
console.log(`told to come back in each second: ${perSecond.join(' ')}`);
console.log(`busiest second over the mean: ${worstOverMean.toFixed(2)}`);
console.log(`connections that ended without advice: ${JSON.stringify(unadvised)}`);
for (const [name, value] of Object.entries(figures)) console.log(`${name}: ${Math.round(value)}`);
for (const error of errors) console.error(`wrong: ${error}`);
process.exitCode = errors.length === 0 ? 0 : 1;
