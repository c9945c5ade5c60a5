/**
 * The client library: `megacomet/client`, and `/megacomet.js` of every server. For browsers and Node, without dependencies.
 * docs/client.md is the reference.
 */

import { makeClient } from './client.js';
import { platformOf } from './platform.js';
import type { Client, ConnectOptions } from './types.js';

export * from './types.js';

/**
 * Connects to a server, and stays connected until `close`: over WebSocket, or Server-Sent Events or long-polls where the
 * network lets no better pass. After every cut it goes on from where it was: nothing is lost or repeated, or else a `gap` says so.
 *
 * @param url of the server's client port, such as `https://push.example.org`; in a browser it may be relative to the page
 * @throws TypeError for an address that is none, and where `transports` leaves nothing that this platform has
 *
 * @example
 * const client = connect('https://push.example.org', { channels: ['news'] });
 * for await (const { channel, data } of client) console.log(channel, data);
 */
export function connect<Data = unknown>(url: string | URL, options: ConnectOptions = {}): Client<Data> {
  return makeClient<Data>(url, options, platformOf(options));
}
