import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that bind and connect choose by themselves (ip(7), ip_local_port_range), so that it stays free. */
const FIRST = 20_000;
const COUNT = 12_000;

/** A port of 127.0.0.1 that is free, and that nobody gets who does not ask for it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(FIRST + Math.floor(Math.random() * COUNT), '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
      throw error;
    }
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    return port;
  }
}
