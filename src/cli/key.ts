/** `megacomet key`: makes an API key. */

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { formatEntry, isKeyName, KEY_NAME_RULE, parseApiKeys } from '../api/key-file.js';
import { type ApiKeyEntry, generateKey, hashKey, RIGHTS, type Right } from '../api/keys.js';
import { CHANNEL_PATTERN_RULE, isChannelPattern } from '../channel-pattern.js';
import { UsageError } from './errors.js';

const HELP = `
The key is printed once; the file of --api-keys gets a line with its hash, from which it cannot be found again.
Rights: publish; read (lists, presence, history, traces); monitor (status, metrics); admin (everything).

Examples:
  megacomet key --name backend --rights publish,read --channels 'news/*,user/*'
  megacomet key --name ops --rights admin --append /etc/megacomet/api-keys > ops.key`;

interface KeyFlags {
  name: string;
  rights: Right[];
  channels: string[];
  append?: string;
}

export function keyCommand(): Command {
  return new Command('key')
    .description('Make a key for the HTTP API.')
    .requiredOption('--name <name>', 'who has it: shown in messages', parseName)
    .requiredOption('--rights <list>', `what it may do: ${RIGHTS.join(', ')}`, parseRights)
    .option('--channels <list>', "channels for publish and read, or prefixes with '*'", parseChannels, [])
    .option('--append <file>', 'add the line to this file, and print the key alone')
    .addHelpText('after', HELP)
    .action((flags: KeyFlags) => {
      process.stdout.write(makeKey(flags));
    });
}

/** @returns what is printed */
function makeKey({ name, rights, channels, append }: KeyFlags): string {
  const key = generateKey();
  const entry: ApiKeyEntry = { name, hash: hashKey(key), rights, channels };
  const line = `${formatEntry(entry)}\n`;
  const before = append !== undefined && existsSync(append) ? readFileSync(append, 'utf8') : '';
  const separator = before === '' || before.endsWith('\n') ? '' : '\n';
  try {
    // The whole file, as the server will read it.
    parseApiKeys(before + separator + line, append ?? 'the key');
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (append === undefined) return `${key}\n\nIts line for the file of --api-keys:\n\n${line}`;
  appendFileSync(append, separator + line, { mode: 0o600 });
  return `${key}\n`;
}

function parseName(text: string): string {
  if (!isKeyName(text)) throw new InvalidArgumentError(`Allowed: ${KEY_NAME_RULE}.`);
  return text;
}

function parseRights(text: string): Right[] {
  const rights = text.split(',');
  if (rights.every((right) => RIGHTS.includes(right as Right))) return [...new Set(rights)] as Right[];
  throw new InvalidArgumentError(`Allowed: a list of ${RIGHTS.join(', ')}.`);
}

function parseChannels(text: string): string[] {
  const patterns = text.split(',');
  if (patterns.every(isChannelPattern)) return patterns;
  throw new InvalidArgumentError(`Allowed: a list of patterns, each ${CHANNEL_PATTERN_RULE}.`);
}
