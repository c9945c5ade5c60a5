/** `megacomet publish`: one publication through the HTTP API of a running server. */

import { Command } from 'commander';
import { MESSAGE_BYTES_MAX } from '../limits.js';
import { requestApi } from './api-client.js';
import { UsageError } from './errors.js';
import { flag } from './flag.js';
import { type ApiKeyFlags, apiKeyFileFlag, readApiKey } from './flags/api.js';
import { parseApiUrl } from './options.js';

const HELP = `
DATA is text, delivered as it is; with --json it is any JSON. '-' reads it from standard input.
The answer is one line of JSON: the cursor, 'delivered' or 'queued', and the number of receivers.

Example:
  megacomet publish alice 'hello'
  megacomet publish alice '{"score": 3}' --json`;

interface PublishFlags extends ApiKeyFlags {
  json?: true;
  api: string;
}

export function publishCommand(): Command {
  return new Command('publish')
    .description('Send one message to a channel and print what became of it.')
    .argument('<channel>', 'channel, or client id of the 2011 protocol')
    .argument('<data>', "message, or '-' for standard input")
    .option('--json', 'DATA is JSON, not text')
    .addOption(flag('--api <url>', 'address of the HTTP API', parseApiUrl, 'http://127.0.0.1:9001'))
    .addOption(apiKeyFileFlag())
    .addHelpText('after', HELP)
    .action(async (channel: string, data: string, flags: PublishFlags) => {
      const text = data === '-' ? await readStandardInput() : data;
      const body = { channel, data: flags.json ? parseData(text) : text };
      const answer = await requestApi(flags.api, '/v1/publish', { body, key: readApiKey(flags) });
      process.stdout.write(`${JSON.stringify(answer)}\n`);
    });
}

function parseData(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`DATA is not JSON: ${(error as Error).message} (leave --json out to send it as text)`);
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MESSAGE_BYTES_MAX) {
      throw new UsageError(`standard input is longer than a message may be (${MESSAGE_BYTES_MAX} bytes)`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
