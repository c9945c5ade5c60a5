/** Publications as applications write them, and what they are told of each: for all routes that publish. */

import { jsonText } from '../json-text.js';
import { BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import type { NewPublication } from '../log/log.js';
import type { Publisher } from '../manager/publisher.js';
import { ApiError } from './errors.js';
import { channelSchema, cursorSchema } from './schemas.js';

/** What a publisher says of one publication. */
export interface PublicationBody {
  channel: string;
  data: unknown;
  id?: string;
  receipt: boolean;
}

/** What he is told. */
export interface PublicationAnswer {
  cursor: string;
  status?: 'delivered' | 'queued';
  receivers?: number;
  incomplete?: true;
  duplicate?: true;
}

/** Members of a publication that is no matter of its channel. */
export const publicationProperties = {
  data: {
    description:
      'Any JSON. A string is delivered as its text, anything else as its JSON. Numbers have the precision of JavaScript: send large ' +
      'integers as strings.',
  },
  id: {
    type: 'string',
    format: 'publication-id',
    description:
      'Makes publishing idempotent: while a publication of this id is retained on the channel, another one is not appended.',
  },
  receipt: {
    type: 'boolean',
    default: true,
    description:
      'Whether to wait, at most a second, until it is known how many connections took it. With `false` the answer comes as soon as ' +
      'the log has it.',
  },
};

export const publicationSchema = {
  type: 'object',
  required: ['channel', 'data'],
  additionalProperties: false,
  properties: { channel: channelSchema, ...publicationProperties },
};

export const batchSchema = {
  type: 'array',
  minItems: 1,
  maxItems: BATCH_PUBLICATIONS_MAX,
  items: publicationSchema,
};

export const publicationAnswerProperties = {
  cursor: cursorSchema,
  status: {
    enum: ['delivered', 'queued'],
    description: '`delivered` when at least one connection was handed the whole message. With a receipt.',
  },
  receivers: { type: 'integer', minimum: 0, description: 'Connections that were handed it. With a receipt.' },
  incomplete: { const: true, description: 'Not all workers had said so in time: there may be more receivers.' },
  duplicate: {
    const: true,
    description: 'The id was known: the cursor is that of the first one, and nothing was sent.',
  },
};

export const publicationAnswerSchema = {
  type: 'object',
  required: ['cursor'],
  properties: publicationAnswerProperties,
};

/** Publishes all or none, and waits for those that want to hear who got them. */
export async function publish(
  publisher: Pick<Publisher, 'publish' | 'accept'>,
  epoch: string,
  batch: readonly NewPublication[],
  receipts: readonly boolean[],
): Promise<PublicationAnswer[]> {
  if (!receipts.includes(true)) {
    const appended = await publisher.accept(batch);
    return appended.map(({ sequence, duplicate }) => ({
      cursor: `${epoch}-${sequence}`,
      ...(duplicate && { duplicate }),
    }));
  }
  const answers = await publisher.publish(batch);
  return answers.map(({ cursor, status, receivers, incomplete, duplicate }, i) => ({
    cursor,
    ...(receipts[i] && { status, receivers, ...(incomplete && { incomplete }) }),
    ...(duplicate && { duplicate }),
  }));
}

/**
 * A string is delivered as its text, anything else as its JSON.
 *
 * @param prefix of the names of fields in errors
 */
export function encodePublication(
  { channel, data, id }: Omit<PublicationBody, 'receipt'>,
  prefix: string,
): NewPublication {
  const text = typeof data === 'string';
  const encoded = Buffer.from(text ? data : dataText(data, `${prefix}data`));
  if (encoded.length > MESSAGE_BYTES_MAX) {
    const message = `data must have at most ${MESSAGE_BYTES_MAX} bytes, it has ${encoded.length}`;
    throw new ApiError(413, 'too_large', message, { field: `${prefix}data` });
  }
  return { channel, kind: text ? KIND_TEXT : KIND_JSON, data: encoded, ...(id !== undefined && { id }) };
}

function dataText(data: unknown, field: string): string {
  const text = jsonText(data);
  if (typeof text === 'string') return text;
  // An object may say of itself that it is nothing (toJSON).
  const what = text === null ? 'is nested too deeply' : 'is nothing that JSON can say';
  throw new ApiError(400, 'invalid', `${field} ${what}`, { field });
}
