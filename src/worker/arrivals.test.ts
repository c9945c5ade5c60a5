import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FAILED_TOKENS_MAX, LINGER_MS, REFUSALS_PER_SECOND } from '../limits.js';
import type { ClientPolicy } from '../link/policy.js';
import { encodeSocketAddress } from '../linux/socket-address.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const REQUEST = 'GET /alice.js HTTP/1.1\r\nHost: h\r\n\r\n';

class ArrivalsRig extends WorkerRig {
  constructor(policy: Partial<ClientPolicy>, capacity = 32) {
    super({ capacity, policy });
    this.welcome('e', 7);
  }

  connect(connection: number, host = '192.0.2.1'): void {
    this.reactor.peer = encodeSocketAddress(host, 1000 + connection);
    this.clients.accepted(connection);
  }

  /** Connects and polls. @returns whether it may wait */
  isServed(connection: number, host?: string): boolean {
    this.connect(connection, host);
    this.receive(connection, REQUEST);
    return this.sent(connection) === '';
  }

  forwarded(connection: number, list: string): string {
    this.receive(connection, `GET /healthz HTTP/1.1\r\nHost: h\r\n${list}\r\n`);
    return this.sent(connection);
  }
}

describe('connections for each address', () => {
  test('one too many is refused with 503 when it asks, and the others go on', () => {
    const rig = new ArrivalsRig({ connectionsPerAddress: 2 });
    assert.equal(rig.reactor.peerAddresses, true);
    assert(rig.isServed(1));
    assert(rig.isServed(2));
    rig.connect(3);
    assert.equal(rig.sent(3), '', 'before it asks');
    rig.receive(3, 'GET /alice.js HTTP/1.1\r\n');
    const answer = rig.sent(3);
    assert.match(answer, /^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: \d+\r\n/);
    const { error } = JSON.parse(answer.split('\r\n\r\n')[1]) as { error: { code: string } };
    assert.equal(error.code, 'too_many_connections');
    assert(rig.isServed(4, '192.0.2.2'), 'another address');
    const { rejected, ended } = rig.clients.counters;
    assert.deepEqual([rejected[503], ended.too_many_connections], [1, 1]);
  });

  test('HEAD is refused without a body', () => {
    const rig = new ArrivalsRig({ connectionsPerAddress: 1 });
    assert(rig.isServed(1));
    rig.connect(2);
    rig.receive(2, 'HEAD /alice.js HTTP/1.1\r\n');
    assert.match(rig.sent(2), /^HTTP\/1\.1 503 [\s\S]*\r\n\r\n$/);
  });

  test('who leaves makes room', () => {
    const rig = new ArrivalsRig({ connectionsPerAddress: 1 });
    assert(rig.isServed(1));
    assert(!rig.isServed(2));
    rig.clients.closed(1);
    assert(rig.isServed(3));
  });

  test('one that is refused and asks nothing is closed before long', () => {
    const rig = new ArrivalsRig({ connectionsPerAddress: 1 });
    assert(rig.isServed(1));
    rig.connect(2);
    rig.tick(LINGER_MS + 1000);
    assert.match(rig.reactor.told.at(-1)!, /^close 2/);
    rig.clients.closed(1);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('a limit that is set while clients are there counts those who come from then on; none lifts it', () => {
    const rig = new ArrivalsRig({});
    assert.equal(rig.reactor.peerAddresses, false);
    assert(rig.isServed(1));
    rig.setPolicy({ connectionsPerAddress: 1 });
    assert(rig.isServed(2));
    assert(!rig.isServed(3));
    rig.setPolicy({ connectionsPerAddress: 0 });
    assert(rig.isServed(4));
    rig.clients.closed(2);
    rig.setPolicy({ connectionsPerAddress: 1 });
    assert(rig.isServed(5), 'who left meanwhile is not counted');
  });

  test('a flood of refusals is answered up to a rate, and beyond that reset', () => {
    const rig = new ArrivalsRig({ connectionsPerAddress: 1 }, REFUSALS_PER_SECOND + 100);
    assert(rig.isServed(0));
    for (let i = 1; i <= REFUSALS_PER_SECOND + 1; i++) rig.connect(i);
    assert.equal(rig.reactor.told.filter((told) => told.startsWith('abort')).length, 1);
    assert.equal(rig.clients.counters.ended.too_many_connections, REFUSALS_PER_SECOND + 1);
  });
});

describe('a trusted proxy', () => {
  const policy = { connectionsPerAddress: 1, trustedProxies: ['10.0.0.0/8'] };
  const forward = (client: string) => `X-Forwarded-For: ${client}\r\n`;

  test('may have any number of connections, each counted by the client that it names', () => {
    const rig = new ArrivalsRig(policy);
    for (const connection of [1, 2, 3]) rig.connect(connection, '10.0.0.1');
    rig.get(1, '/alice.js', forward('192.0.2.1'));
    rig.get(2, '/alice.js', forward('192.0.2.2'));
    assert.deepEqual([rig.sent(1), rig.sent(2)], ['', '']);
    rig.get(3, '/alice.js', forward('192.0.2.1'));
    assert.match(rig.sent(3), /^HTTP\/1\.1 503 [\s\S]*too_many_connections/);
    assert(!rig.isServed(4, '192.0.2.1'), 'the same client without the proxy');
  });

  test('that names nobody is not limited', () => {
    const rig = new ArrivalsRig(policy);
    assert(rig.isServed(1, '10.0.0.1'));
    assert(rig.isServed(2, '10.0.0.1'));
  });

  test('has a connection that is idle counted for nobody', () => {
    const rig = new ArrivalsRig(policy);
    for (const connection of [1, 2]) rig.connect(connection, '10.0.0.1');
    assert.match(rig.forwarded(1, forward('192.0.2.1')), /^HTTP\/1\.1 200 /);
    assert.match(rig.forwarded(2, forward('192.0.2.1')), /^HTTP\/1\.1 200 /);
  });

  test('is believed in its own line, not in one that the client sent through it', () => {
    const rig = new ArrivalsRig(policy);
    assert(rig.isServed(9, '192.0.2.1'));
    rig.connect(1, '10.0.0.1');
    const both = `${forward('198.51.100.7')}${forward('192.0.2.1')}`;
    assert.match(rig.forwarded(1, both), /^HTTP\/1\.1 503 /);
  });

  test('may have another one before it, each with a line of its own', () => {
    const rig = new ArrivalsRig(policy);
    assert(rig.isServed(9, '192.0.2.1'));
    rig.connect(1, '10.0.0.1');
    const lines = `${forward('198.51.100.7')}${forward('192.0.2.1')}${forward('10.0.0.2')}`;
    assert.match(rig.forwarded(1, lines), /^HTTP\/1\.1 503 /);
  });

  test('is somebody else than a client that says so', () => {
    const rig = new ArrivalsRig(policy);
    assert(rig.isServed(1));
    rig.connect(2);
    assert.match(rig.forwarded(2, forward('198.51.100.7')), /^HTTP\/1\.1 503 /);
  });
});

describe('the rate of new clients', () => {
  test('lets so many come in a second, refuses the others, and fills up again', () => {
    const rig = new ArrivalsRig({ acceptRate: 5 });
    assert.equal(rig.reactor.peerAddresses, false, 'no address is needed');
    for (let i = 0; i < 5; i++) assert(rig.isServed(i));
    rig.connect(5);
    rig.receive(5, REQUEST);
    assert.match(rig.sent(5), /"rate_limited"/);
    rig.tick(400);
    assert(rig.isServed(6));
    assert(rig.isServed(7));
    assert(!rig.isServed(8));
  });

  test('of several workers is what the manager grants, who is asked before it is used up', () => {
    const rig = new ArrivalsRig({ acceptRate: 10, workers: 2 });
    const { arrivals } = rig.clients;
    for (let i = 0; i < 3; i++) assert(rig.isServed(i));
    assert.equal(arrivals.tokensWanted(), 3);
    for (let i = 3; i < 5; i++) assert(rig.isServed(i));
    rig.tick(1000);
    assert(!rig.isServed(5), 'it does not fill by itself');
    arrivals.granted(1);
    assert(rig.isServed(6));
    arrivals.managerLost();
    rig.tick(2000);
    assert(!rig.isServed(7));
    rig.tick(3000);
    for (let i = 8; i < 13; i++) assert(rig.isServed(i), 'without a manager it has its share');
    rig.setPolicy({ acceptRate: 10, workers: 2 });
    assert.equal(arrivals.tokensWanted(), 5, 'a manager is back');
  });

  test('of less than one a second lets one come at some time', () => {
    const rig = new ArrivalsRig({ acceptRate: 0.25 });
    assert(rig.isServed(1));
    assert(!rig.isServed(2));
    rig.tick(4000);
    assert(rig.isServed(3));
  });
});

describe('wrong tokens', () => {
  const TOKENS: ClientPolicy['tokens'] = {
    keys: [],
    issuer: null,
    audience: null,
    toleranceSeconds: 0,
    rotates: false,
    complete: true,
  };

  test('of one address are too many at some time, of whatever connections, and less after a while', () => {
    const rig = new ArrivalsRig({ tokens: TOKENS });
    const { arrivals } = rig.clients;
    for (let i = 0; i < FAILED_TOKENS_MAX; i++) {
      rig.connect(1);
      assert(!arrivals.isExhausted(1));
      arrivals.failed(1);
      rig.clients.closed(1);
    }
    rig.connect(1);
    rig.connect(2, '192.0.2.2');
    assert.deepEqual([arrivals.isExhausted(1), arrivals.isExhausted(2)], [true, false]);
    rig.tick(30_000);
    assert(!arrivals.isExhausted(1));
  });

  test('are not counted where no tokens are looked at', () => {
    const rig = new ArrivalsRig({});
    rig.connect(1);
    rig.clients.arrivals.failed(1);
    assert(!rig.clients.arrivals.isExhausted(1));
  });
});
