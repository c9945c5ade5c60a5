/** `node dist/test/soak/main.js --seconds 3600 --seed 7`: the soak of test/soak.test.ts, for as long as one likes. */

import { Command, InvalidArgumentError } from 'commander';
import { soak } from './soak.js';

function number(text: string): number {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError('a number, 0 or more');
  return value;
}

const program = new Command('soak')
  .description(
    'Publishers at full rate, subscribers that are cut and return, processes that are killed: is anything lost?',
  )
  .option('--seconds <s>', 'how long', number, 60)
  .option('--seed <number>', 'of all random numbers', number, Math.floor(Math.random() * 2 ** 31))
  .option('--subscribers <count>', 'over all transports', number, 1000)
  .option('--rate <count>', 'publications a second on streams', number, 1000)
  .option('--kill-worker <s>', 'how often a worker is killed; 0: never', number, 8)
  .option('--kill-manager <s>', 'how often the manager is killed; 0: never', number, 20)
  .parse();
const flags = program.opts<{
  seconds: number;
  seed: number;
  subscribers: number;
  rate: number;
  killWorker: number;
  killManager: number;
}>();

const startMs = performance.now();
const { lines, errors } = await soak({
  seconds: flags.seconds,
  seed: flags.seed,
  subscribers: flags.subscribers,
  rate: flags.rate,
  killWorkerS: flags.killWorker,
  killManagerS: flags.killManager,
  log: (line) => console.log(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}`),
});
console.log(lines.join('\n'));
for (const error of errors) console.error(`wrong: ${error}`);
process.exitCode = errors.length === 0 ? 0 : 1;
