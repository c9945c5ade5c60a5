/** The bench's handle of its client process (client.ts): one request at a time, each answered or failed. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClientReply, ClientRequest, OpenRequest } from './client-protocol.js';

export class BenchClient {
  private readonly process: ChildProcess;

  constructor() {
    this.process = fork(fileURLToPath(new URL('client.js', import.meta.url)));
  }

  /** Opens so many more connections. Resolves when their requests are sent; upgrades: when they are answered. */
  open(work: Omit<OpenRequest, 'type'>): Promise<number> {
    return this.request({ type: 'open', ...work });
  }

  /** Makes it fail unless every connection receives exactly this. */
  expect(message: string): Promise<number> {
    return this.request({ type: 'expect', message });
  }

  /** Waits until every connection has received what it had to, and long-polls were closed by the server. */
  receive(): Promise<number> {
    return this.request({ type: 'receive' });
  }

  /** Resets all connections. */
  abort(): Promise<number> {
    return this.request({ type: 'abort' });
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.disconnect();
    await exited;
  }

  /** Resolves to the seconds it took; rejects with the client's reason. */
  private request(request: ClientRequest): Promise<number> {
    return new Promise((resolve, reject) => {
      const answered = (reply: ClientReply): void => {
        this.process.off('exit', exited);
        if (reply.ok) resolve(reply.seconds);
        else reject(new Error(reply.reason));
      };
      const exited = (): void => {
        this.process.off('message', answered);
        reject(new Error('the client process has ended'));
      };
      this.process.once('message', answered);
      this.process.once('exit', exited);
      this.process.send(request);
    });
  }
}
