/** What may be the name of a channel where it comes as a string: the HTTP API, the command line. */

import { CHANNEL_NAME_BYTES_MAX } from '../limits.js';

/** The rule, for messages. */
export const CHANNEL_NAME_RULE = `1 to ${CHANNEL_NAME_BYTES_MAX} bytes of UTF-8 without control characters`;

/** A lone surrogate has no UTF-8 and would become another name; control characters have no place in a name. */
export function isChannelName(name: string): boolean {
  return (
    name.length > 0 &&
    name.length <= CHANNEL_NAME_BYTES_MAX &&
    Buffer.byteLength(name) <= CHANNEL_NAME_BYTES_MAX &&
    !/\p{Surrogate}|\p{Control}/u.test(name)
  );
}
