/** Options about the keys of the API: the server's, and those of the commands that use it. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { isLoopback } from '../../loopback.js';
import { OperatorError, UsageError } from '../errors.js';
import { flag } from '../flag.js';

/** The flags of `serve` about the API. */
export interface ApiFlags {
  apiHost: string;
  /** Absolute path. */
  apiKeys?: string;
}

export function addApiFlags(command: Command): Command {
  return command.addOption(
    flag(
      '--api-keys <path>',
      'file of the API keys (megacomet key); needed where --api-host is not loopback',
      parsePath,
    ),
  );
}

/** @throws UsageError where others could reach an API without keys */
export function assertApiKeys({ apiHost, apiKeys }: ApiFlags): void {
  if (isLoopback(apiHost) || apiKeys !== undefined) return;
  throw new UsageError(
    `--api-host ${apiHost} lets other machines reach the API: it needs --api-keys <file> (megacomet key makes a first key)`,
  );
}

/** Which key a command shows to the API. */
export interface ApiKeyFlags {
  apiKeyFile?: string;
}

/** `--api-key-file`, of every command that uses the API. The key itself may be in MEGACOMET_API_KEY; it is never an argument. */
export function apiKeyFileFlag(): Option {
  return flag('--api-key-file <path>', 'file with the API key (or the key in MEGACOMET_API_KEY)', parsePath);
}

/**
 * The key to show, if there is one.
 *
 * @throws OperatorError where the file cannot be read, or what is given cannot be a key; it is not repeated
 */
export function readApiKey({ apiKeyFile }: ApiKeyFlags): string | undefined {
  if (apiKeyFile === undefined) {
    const key = process.env['MEGACOMET_API_KEY']?.trim() || undefined;
    if (key !== undefined && !isKeyText(key)) throw new OperatorError('MEGACOMET_API_KEY is no key, or more than one');
    return key;
  }
  let text: string;
  try {
    text = readFileSync(apiKeyFile, 'utf8').trim();
  } catch (error) {
    throw new OperatorError(`--api-key-file ${apiKeyFile} cannot be read: ${(error as Error).message}`);
  }
  if (!isKeyText(text)) throw new OperatorError(`--api-key-file ${apiKeyFile} has no key, or more than one`);
  return text;
}

/** Whether it could be one: what a header field cannot have would end up in the message of whoever refuses to send it. */
function isKeyText(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw new InvalidArgumentError('Allowed: a path.');
  return resolve(text);
}
