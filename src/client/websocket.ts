/** `/v1/ws`. Channels are subscribed by messages once it is open, each group with its own cursor. */

import type { Transport } from './context.js';
import { CLOSE_FORBIDDEN, CLOSE_TOKEN_EXPIRED } from './limits.js';
import { MegaCometError } from './types.js';

export const webSocket: Transport = async ({ platform, token, url }, { signal, heard, event, opened }) => {
  const bearer = await token.get();
  signal.throwIfAborted();
  const protocols = bearer ? ['megacomet', `megacomet.token.${bearer}`] : [];
  const socket = new platform.WebSocket!(String(new URL('v1/ws', url)).replace('http', 'ws'), protocols);
  signal.addEventListener('abort', () => socket.close());
  return new Promise((_, reject) => {
    socket.onopen = () => opened((message) => socket.send(JSON.stringify(message)));
    socket.onmessage = ({ data }: { data: string }) => {
      heard();
      event(JSON.parse(data));
    };
    // `onclose` follows and says more; but some implementations throw where nobody listens.
    socket.onerror = () => {};
    socket.onclose = ({ code }: { code: number }) => {
      const why =
        code === CLOSE_TOKEN_EXPIRED ? 'token_expired' : code === CLOSE_FORBIDDEN ? 'forbidden' : 'unavailable';
      reject(new MegaCometError(why, `closed: ${code}`, { reconnect: code !== CLOSE_FORBIDDEN }));
    };
  });
};
