/** Whole clients, two workers and a manager, each of their steps in whatever order: nobody misses anything, nor gets it twice. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SEND_DONE, SEND_PENDING } from '../reactor/reactor.js';
import { ModelClient, type Transport } from './testing/model-client.js';
import { ModelLink, ModelManager } from './testing/model-manager.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const CHANNELS = ['a', 'b', 'c', 'd'];
const TRANSPORTS: Transport[] = ['poll', 'sse', 'stream', 'ws'];
const STEPS = 3000;
/** Another one is tried by MEGACOMET_TEST_SEED. */
const SEEDS = process.env['MEGACOMET_TEST_SEED']
  ? [Number(process.env['MEGACOMET_TEST_SEED'])]
  : [1, 2, 3, 4, 5, 6, 1446498416, 513305710];

/** A linear congruential generator (Knuth 3.3.4, table 1, line 16): numbers below a bound. */
function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** A worker with its clients, and the kernel between them: what was sent stays with it until a client reads. */
class Side {
  readonly rig = new WorkerRig({ capacity: 12, extraSubscriptions: 40 });
  link: ModelLink | null = null;
  readonly clients = new Map<number, ModelClient>();
  readonly #kernel = new Map<number, Buffer[]>();
  readonly #pending = new Map<number, Buffer[]>();
  readonly #ended = new Set<number>();
  readonly #returned: (client: ModelClient) => void;

  /** @param returned a client whose connection has ended */
  constructor(isSlow: () => boolean, returned: (client: ModelClient) => void) {
    this.#returned = returned;
    const { reactor } = this.rig;
    reactor.onSend = (connection, bytes) => {
      const pending = this.#pending.get(connection);
      if (pending !== undefined || isSlow()) {
        this.#pending.set(connection, [...(pending ?? []), bytes]);
        return SEND_PENDING;
      }
      this.#kernel.set(connection, [...(this.#kernel.get(connection) ?? []), bytes]);
      return SEND_DONE;
    };
    reactor.pendingBytes = (connection) =>
      (this.#pending.get(connection) ?? []).reduce((sum, bytes) => sum + bytes.length, 0);
    reactor.shutdown = (connection) => void this.#ended.add(connection);
    reactor.close = (connection) => {
      this.clients.get(connection)!.receive(Buffer.concat(this.#kernel.get(connection) ?? []));
      this.#forget(connection);
    };
    reactor.abort = (connection) => this.#forget(connection);
  }

  /** The kernel takes what was pending. */
  drain(connection: number): void {
    const pending = this.#pending.get(connection);
    if (pending === undefined) return;
    this.#pending.delete(connection);
    this.#kernel.set(connection, [...(this.#kernel.get(connection) ?? []), ...pending]);
    this.rig.clients.sent(connection);
  }

  connect(connection: number, client: ModelClient, timeout: number): void {
    this.clients.set(connection, client);
    this.rig.clients.accepted(connection);
    this.rig.receive(connection, client.request(timeout));
  }

  /** The client reads what there is, in pieces, and asks again if it is a poll that was answered. */
  read(connection: number, cutAt: number, timeout: number): void {
    const client = this.clients.get(connection)!;
    const bytes = Buffer.concat(this.#kernel.get(connection) ?? []);
    this.#kernel.delete(connection);
    const middle = Math.min(cutAt, bytes.length);
    client.receive(bytes.subarray(0, middle));
    client.receive(bytes.subarray(middle));
    if (this.#ended.has(connection) && !this.#pending.has(connection)) this.cut(connection);
    else if (client.answered) this.rig.receive(connection, client.request(timeout));
  }

  /** The client goes away, with whatever it has not read. */
  cut(connection: number): void {
    this.#forget(connection);
    this.rig.clients.closed(connection);
  }

  #forget(connection: number): void {
    this.#kernel.delete(connection);
    this.#pending.delete(connection);
    this.#ended.delete(connection);
    const client = this.clients.get(connection)!;
    this.clients.delete(connection);
    this.#returned(client);
  }

  get isDrained(): boolean {
    return this.#pending.size === 0 && this.#kernel.size === 0;
  }
}

function run(seed: number): { messages: number; gaps: number } {
  const random = generator(seed);
  const chance = (percent: number) => random(100) < percent;
  const keep = 1 + random(12);
  const slowPercent = random(3) * 20;
  let epochs = 1;
  let manager = new ModelManager('e1', keep);
  const managers = new Map([[manager.epoch, manager]]);
  let calm = false;
  /** Clients that are not connected now. */
  const idle: ModelClient[] = [];
  const newSide = () =>
    new Side(
      () => !calm && chance(slowPercent),
      (client) => void idle.push(client),
    );
  const sides = [newSide(), newSide()];
  const all: ModelClient[] = [];
  let nowMs = 0;

  const dial = (side: Side) => {
    side.link = new ModelLink(manager, side.rig, 1 + random(5));
  };
  const lose = (side: Side) => {
    if (side.link === null) return;
    manager.links.delete(side.link);
    side.link = null;
    side.rig.lose();
  };
  const letThrough = (side: Side) => {
    const { link, rig } = side;
    if (link === null) return;
    link.collect();
    if (chance(50)) link.toManager.shift()?.();
    if (chance(50)) link.toWorker.shift()?.(rig);
    if (chance(30)) link.catchUp();
  };
  const timeout = () => (chance(20) ? 0 : 1 + random(20));
  const newClient = () => {
    const transport = TRANSPORTS[random(4)]!;
    const channels = CHANNELS.filter(() => chance(40));
    if (channels.length === 0) channels.push('a');
    const beyond = `${manager.epoch}-${manager.last + 1000}`;
    const places = ['now', 'now', 'start', `${manager.epoch}-${random(manager.last + 1)}`, 'old-7', beyond];
    const client = new ModelClient(transport, channels, places[random(places.length)]!, managers);
    idle.push(client);
    all.push(client);
  };
  const step = () => {
    const side = sides[random(2)]!;
    const { rig, clients } = side;
    const connected = [...clients.keys()];
    const one = connected[random(connected.length)] ?? -1;
    switch (random(14)) {
      case 0:
      case 1:
        manager.publish(CHANNELS[random(4)]!, 'x'.repeat(chance(5) ? 30_000 : random(10)));
        break;
      case 2:
      case 3:
        if (all.length < 16) newClient();
        else if (idle.length > 0 && rig.connections.held < 12) {
          const free = rig.connections.phase.indexOf(0);
          side.connect(free, idle.splice(random(idle.length), 1)[0]!, timeout());
        }
        break;
      case 4:
        if (one >= 0 && chance(40)) side.cut(one);
        break;
      case 5:
        if (chance(10)) manager.expire(CHANNELS[random(4)]!);
        break;
      case 6:
        if (chance(20)) lose(side);
        break;
      case 7:
        if (side.link === null && chance(60)) dial(side);
        else if (chance(30)) side.link?.fallBehind();
        else side.link?.position();
        break;
      case 8:
        if (one >= 0) side.drain(one);
        break;
      case 9:
        nowMs += random(3000);
        for (const { rig } of sides) rig.tick(nowMs);
        break;
      case 10:
      case 11:
        if (one >= 0) side.read(one, random(400), timeout());
        break;
      default:
        for (let frames = random(6); frames > 0; frames--) letThrough(side);
    }
    if (chance(1) && chance(15)) {
      for (const other of sides) lose(other);
      manager = new ModelManager(`e${++epochs}`, keep);
      managers.set(manager.epoch, manager);
    }
    for (const other of sides) other.link?.collect();
  };
  for (const side of sides) {
    dial(side);
    // Workers accept when they have been welcomed.
    while (side.rig.clients.streams.epoch === '') letThrough(side);
  }
  try {
    for (let i = 0; i < STEPS; i++) step();
    calm = true;
    for (let round = 0; round < 400; round++) {
      for (const side of sides) {
        if (side.link === null) dial(side);
        side.link!.collect();
        for (let frames = 0; frames < 20; frames++) letThrough(side);
        for (const connection of [...side.clients.keys()]) {
          side.drain(connection);
          if (side.clients.has(connection)) side.read(connection, random(400), 300);
        }
        side.link!.position();
      }
      while (idle.length > 0) {
        const side = sides.find(({ rig }) => rig.connections.held < 12)!;
        side.connect(side.rig.connections.phase.indexOf(0), idle.pop()!, 300);
      }
    }
    for (const client of all) client.checkComplete(manager);
    for (const side of sides) {
      assert(side.isDrained);
      assert.equal(side.rig.clients.streams.catchUps.size, 0, 'all have caught up');
      for (const connection of [...side.clients.keys()]) side.cut(connection);
      side.rig.tick(nowMs + 100_000);
      assert.deepEqual(side.rig.leftovers(), NOTHING_LEFT);
    }
  } catch (error) {
    (error as Error).message = `MEGACOMET_TEST_SEED=${seed}: ${(error as Error).message}`;
    throw error;
  }
  return {
    messages: all.reduce((sum, client) => sum + client.messages, 0),
    gaps: all.reduce((sum, client) => sum + client.gaps, 0),
  };
}

test('whatever comes in whatever order, each client gets all after its cursor once, in order, or a gap', (context) => {
  for (const seed of SEEDS) {
    const { messages, gaps } = run(seed);
    context.diagnostic(`seed ${seed}: ${messages} messages, ${gaps} gaps`);
    assert(messages > 0);
  }
});
