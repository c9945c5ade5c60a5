// An answer of a language model, token by token. The model writes to a channel, not to a connection: an answer goes on when the
// reader's connection breaks, several windows may follow it, and who reloads the page gets it from its beginning.

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { serve } from '../serve.mjs';

/** Between two tokens, in milliseconds. */
const TOKEN_MS = Number(process.env.TOKEN_MS ?? 40);

/** Stands for a model of yours: any async iterable of text will do. */
async function* generate(question) {
  const answer =
    `You asked: “${question}” I am only a stand-in that cannot know, so here is how this text came to you. ` +
    'Each token is a publication on a channel that only this answer has. The server keeps them for a while, in order, and your ' +
    'browser knows the cursor of the last one that it has shown. Cut the network, close the lid, reload the page: it asks for ' +
    'what comes after that cursor, and nothing is missing or said twice.';
  for (const token of answer.match(/\s*\S{1,6}/g)) {
    await delay(TOKEN_MS);
    yield token;
  }
}

async function answer(id, question, server) {
  for await (const token of generate(question)) await server.publish(`answers/${id}`, { token });
  await server.publish(`answers/${id}`, { end: true });
}

await serve(
  new URL('.', import.meta.url),
  { retain: { 'answers/*': '10000/10m' } },
  {
    'POST /ask': ({ question }, server) => {
      const id = randomUUID();
      answer(id, question, server).catch(console.error);
      return { id };
    },
  },
);
