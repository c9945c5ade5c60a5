import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { LINGER_MS, SEND_TIMEOUT_MS, SEND_TIMEOUTS_MAX } from '../limits.js';
import { SendBuffers } from '../reactor/send-buffers.js';
import { TimerWheel } from '../reactor/timer-wheel.js';
import { ConnectionControl } from './connection-control.js';
import { Connections, FLAG_EXCESS, PHASE_FREE, PHASE_KEEP_ALIVE, PHASE_LINGERING } from './connections.js';
import { ScriptedReactor } from './testing/scripted-reactor.js';

describe('ConnectionControl', () => {
  let buffers: SendBuffers;
  let reactor: ScriptedReactor;
  let connections: Connections;
  let control: ConnectionControl;
  let nowMs: number;
  let events: string[];
  const expired: number[] = [];

  beforeEach(() => {
    buffers = new SendBuffers();
    reactor = new ScriptedReactor(buffers, 4);
    connections = new Connections(4);
    nowMs = 0;
    events = [];
    expired.length = 0;
    const parts = { reactor, buffers, connections, timers: new TimerWheel(), clock: () => nowMs };
    control = new ConnectionControl(parts, {
      idle: () => {},
      departing: (connection) => events.push(`departing ${connection} from ${connections.phase[connection]}`),
      freed: () => events.push('freed'),
    });
    connections.open(1);
  });

  const tick = (ms: number) => {
    nowMs = ms;
    control.tick((connection) => expired.push(connection));
    control.turnOver();
  };

  test('an answer that persists leaves the connection in its phase, any other lets it linger', () => {
    assert.equal(control.answer(1, Buffer.from('answer'), true), true);
    control.idle(1);
    assert.equal(connections.phase[1], PHASE_KEEP_ALIVE);
    assert.equal(control.answer(1, Buffer.from('last'), false), false);
    assert.equal(connections.phase[1], PHASE_LINGERING);
    assert.deepEqual(reactor.told, ['send 1 answer', 'send 1 last', 'shutdown 1']);
    assert.deepEqual(events, [`departing 1 from ${PHASE_KEEP_ALIVE}`]);
    tick(LINGER_MS + 500);
    assert.deepEqual(expired, [1]);
    assert.equal(buffers.liveBytes, 0);
  });

  test('a connection that breaks at a send is forgotten, after it was taken out of all tables', () => {
    reactor.sendResult = -32;
    control.schedule(1, 100);
    assert.equal(control.sendCopy(1, Buffer.from('x')), -32);
    assert.deepEqual(events, ['departing 1 from 1', 'freed']);
    assert.deepEqual([connections.phase[1], connections.held, buffers.liveBytes], [PHASE_FREE, 0, 0]);
    tick(1000);
    assert.deepEqual(expired, []);
  });

  test('a refusal is counted by its status', () => {
    control.refuse(1, 404);
    connections.open(2);
    control.refuse(2, 404, true);
    assert.deepEqual(control.rejected, { 404: 2 });
    assert.match(reactor.told[0]!, /^send 1 HTTP\/1\.1 404 Not Found\r\n[\s\S]*\r\n\r\n404/);
    assert.match(reactor.told[2]!, /\r\n\r\n$/);
  });

  test('after the last answer a connection is closed, or lingers where the client has sent more', () => {
    control.finish(1);
    connections.open(2);
    connections.flags[2] |= FLAG_EXCESS;
    control.finish(2);
    assert.deepEqual(reactor.told, ['close 1', 'shutdown 2']);
    assert.equal(connections.held, 1);
  });

  test('a slow reader may go on while it takes bytes, but not for ever', () => {
    for (const [pending, goesOn] of [
      [100_000, true],
      [95_000, true],
      [94_999, false],
    ] as const) {
      reactor.pending = pending;
      assert.equal(control.slowReader(1), goesOn, `${pending}`);
    }
    assert.deepEqual(reactor.told, ['abort 1']);
    connections.open(1);
    reactor.pending = 1_000_000;
    for (let timeouts = 1; timeouts < SEND_TIMEOUTS_MAX; timeouts++) {
      assert(control.slowReader(1), 'what the last one with this number did is forgotten');
      reactor.pending -= 10_000;
      tick(timeouts * (SEND_TIMEOUT_MS + 500));
    }
    assert.equal(control.slowReader(1), false);
  });

  test('the time of a turn is asked of the clock once', () => {
    nowMs = 5;
    assert.equal(control.nowMs(), 5);
    nowMs = 9;
    assert.equal(control.nowMs(), 5);
    control.turnOver();
    assert.equal(control.nowMs(), 9);
  });
});
