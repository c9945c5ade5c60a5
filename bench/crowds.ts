/** Clients for bench/memory.ts, each on a channel of its own: megatest's for the classic protocol, the bench's own for the others. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { BenchClient } from './client-control.js';
import type { Protocol } from './wires.js';

/** As many as the descriptors of one process allow. */
const CLIENT_CONNECTIONS_MAX = 18_000;
const IN_FLIGHT = { connectingMax: 64, acceptQueueMax: 256 };

export interface Crowd {
  /** The channel of each, in the order in which they came. */
  readonly channels: string[];
  /** So many more. Resolves when they have begun; the server tells when it has all of them. */
  hold(count: number): Promise<void>;
  /** A message will be published to each. */
  expect(message: string): Promise<void>;
  /** Resolves when each has it, where the clients can tell. */
  receive(): Promise<void>;
  end(): Promise<void>;
}

export class ClassicCrowd implements Crowd {
  readonly channels: string[] = [];
  private readonly testers: ChildProcess[] = [];
  private readonly main: string;
  private readonly target: string;

  /** @param main dist/src/cli/main.js */
  constructor(main: string, target: string) {
    this.main = main;
    this.target = target;
  }

  async hold(count: number): Promise<void> {
    const prefix = `p${this.testers.length}x`;
    const options = ['--connections', `${count}`, '--prefix', prefix, '--hold', '600'];
    const argumentList = [this.main, 'megatest', '--target', this.target, ...options];
    this.testers.push(spawn(process.execPath, argumentList, { stdio: 'ignore' }));
    for (let n = 0; n < count; n++) this.channels.push(`${prefix}${n}`);
  }

  async expect(): Promise<void> {}
  async receive(): Promise<void> {}

  async end(): Promise<void> {
    for (const tester of this.testers) {
      if (tester.exitCode !== null || tester.signalCode !== null) continue;
      tester.kill('SIGINT');
      await once(tester, 'exit');
    }
  }
}

export class StreamCrowd implements Crowd {
  readonly channels: string[] = [];
  private readonly clients: BenchClient[] = [];
  private readonly port: number;
  private readonly protocol: Protocol;

  constructor(port: number, protocol: Protocol) {
    this.port = port;
    this.protocol = protocol;
  }

  async hold(count: number): Promise<void> {
    for (let left = count; left > 0; left -= CLIENT_CONNECTIONS_MAX) {
      const client = new BenchClient();
      this.clients.push(client);
      const work = { port: this.port, protocol: this.protocol, channels: null, ...IN_FLIGHT };
      const first = this.channels.length;
      const length = Math.min(left, CLIENT_CONNECTIONS_MAX);
      await client.open({ ...work, count: length, first });
      for (let n = 0; n < length; n++) this.channels.push(`c${first + n}`);
    }
  }

  async expect(message: string): Promise<void> {
    await Promise.all(this.clients.map((client) => client.expect(message)));
  }

  async receive(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.receive()));
  }

  async end(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
  }
}
