// Notifications for one person: a token says who it is, and lets each listen to nothing but their own channel. The application
// publishes; in this example whoever opens the page may, by a form.

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { serve } from '../serve.mjs';

const secret = randomBytes(32).toString('base64');
const directory = await mkdtemp(join(tmpdir(), 'megacomet-secret-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
const tokenSecretFile = join(directory, 'secret');
await writeFile(tokenSecretFile, secret, { mode: 0o600 });

/** A name goes into a pattern of channels, where `*` would stand for those of everybody. */
function channelOf(user) {
  if (!['alice', 'bob'].includes(user)) throw Object.assign(new Error('there is no such user'), { status: 404 });
  return `notifications/${user}`;
}

await serve(
  new URL('.', import.meta.url),
  // A notification waits for a day for somebody who is away.
  { tokenSecretFile, retain: { 'notifications/*': '100/1d' } },
  {
    // An application of yours knows from its login who asks.
    'GET /token': (_, __, url) => {
      const user = url.searchParams.get('user');
      return new SignJWT({ sub: user, megacomet: { subscribe: [channelOf(user)] } })
        .setProtectedHeader({ alg: 'HS256' })
        .setExpirationTime('60s')
        .sign(Buffer.from(secret));
    },
    'POST /notify': ({ user, text }, server) => server.publish(channelOf(user), { text }),
  },
);
