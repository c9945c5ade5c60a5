// The progress of a job: each job has a channel of its own. Who opens the page in the middle of it gets what was said so far.

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { serve } from '../serve.mjs';

const STEPS = ['reading', 'sorting', 'compressing', 'writing'];
/** How long a step of the job takes, in milliseconds. */
const STEP_MS = Number(process.env.STEP_MS ?? 100);

/** Stands for work of yours. */
async function work(job, server) {
  for (const [i, step] of STEPS.entries()) {
    for (let done = 0; done < 25; done++) {
      await delay(STEP_MS);
      await server.publish(`jobs/${job}`, { step, percent: i * 25 + done + 1 });
    }
  }
  await server.publish(`jobs/${job}`, { step: 'done', percent: 100 });
}

await serve(
  new URL('.', import.meta.url),
  { retain: { 'jobs/*': '200/10m' } },
  {
    'POST /jobs': (_, server) => {
      const job = randomUUID();
      work(job, server).catch(console.error);
      return { job };
    },
  },
);
