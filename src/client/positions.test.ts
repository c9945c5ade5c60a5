import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { distance, makePositions } from './positions.js';
import type { Gap, Message } from './types.js';

const message = (channel: string, cursor: string): Message => ({
  type: 'message',
  channel,
  cursor,
  data: null,
  time: 0,
});
const gap = (members: Omit<Gap, 'type'>): Gap => ({ type: 'gap', ...members });

/** Positions of channels that are live at a cursor. */
function liveAt(cursor: string, ...channels: string[]) {
  const positions = makePositions();
  positions.add(channels, 'now');
  positions.begin();
  positions.live(cursor, channels);
  return positions;
}

test('cursors of one epoch have a distance, others have none', () => {
  assert.equal(distance('e-17', 'e-3'), 14);
  assert.equal(distance('e-3', 'e-281474976710654'), 3 - 281474976710654);
  for (const [a, b] of [
    ['e-1', 'f-1'],
    ['now', 'e-1'],
    ['now', 'now'],
    ['start', 'now'],
  ]) {
    assert.ok(Number.isNaN(distance(a!, b!)), `${a} ${b}`);
  }
});

describe('channels', () => {
  test('are added once, and tell which are new', () => {
    const positions = makePositions();
    assert.deepEqual(positions.add(['a', 'b'], 'now'), ['a', 'b']);
    assert.deepEqual(positions.add(['b', 'c'], 'start'), ['c']);
    assert.deepEqual(positions.remove(['a', 'z']), ['a']);
    assert.deepEqual(positions.channels(), ['b', 'c']);
    assert.deepEqual(
      positions.begin(),
      new Map([
        ['now', ['b']],
        ['start', ['c']],
      ]),
    );
  });

  test('are live when the server has said so of each on this connection, and never when there are none', () => {
    const positions = makePositions();
    assert.equal(positions.isLive(), false);
    positions.add(['a', 'b'], 'now');
    positions.begin();
    positions.live('e-1', ['a']);
    assert.equal(positions.isLive(), false);
    positions.live('e-2', ['b']);
    assert.equal(positions.isLive(), true);
    positions.begin();
    assert.equal(positions.isLive(), false);
  });
});

describe('the cursor', () => {
  test('of live channels is the highest that any of them has had', () => {
    const positions = liveAt('e-5', 'a', 'b');
    positions.message(message('a', 'e-9'));
    assert.equal(positions.cursor(), 'e-9');
    positions.add(['c'], 'e-2');
    positions.live('e-12', ['c']);
    assert.equal(positions.cursor(), 'e-12');
    positions.message(message('b', 'e-13'));
    assert.deepEqual(positions.begin(), new Map([['e-13', ['a', 'b', 'c']]]));
  });

  test('while some catch up is the lowest, and each goes on from its own', () => {
    const positions = liveAt('e-50', 'a');
    positions.add(['b'], 'e-20');
    assert.equal(positions.cursor(), 'e-20');
    positions.message(message('b', 'e-30'));
    positions.message(message('a', 'e-51'));
    assert.equal(positions.cursor(), 'e-30');
    assert.deepEqual(
      positions.begin(),
      new Map([
        ['e-51', ['a']],
        ['e-30', ['b']],
      ]),
    );
    // Asked for what comes after 30, the server tells `a` again what it had.
    assert.equal(positions.message(message('a', 'e-51')), false);
    assert.equal(positions.message(message('b', 'e-40')), true);
    assert.equal(positions.message(message('a', 'e-52')), true);
  });

  test('is none where there are places that cannot be compared', () => {
    const positions = liveAt('e-50', 'a');
    positions.add(['b'], 'now');
    assert.equal(positions.cursor(), undefined);
    positions.reached('e-48', ['b']);
    assert.equal(positions.cursor(), 'e-48');
    positions.add(['c'], 'f-1');
    assert.equal(positions.cursor(), undefined);
  });

  test('does not jump over what a channel is still owed, when another becomes live', () => {
    const positions = makePositions();
    positions.add(['slow'], 'e-1');
    positions.add(['quick'], 'e-90');
    positions.begin();
    positions.message(message('slow', 'e-2'));
    positions.live('e-100', ['quick']);
    assert.equal(positions.cursor(), 'e-2');
    assert.equal(positions.message(message('slow', 'e-3')), true);
  });
});

describe('a message', () => {
  test('is news once', () => {
    const positions = liveAt('e-5', 'a');
    assert.equal(positions.message(message('a', 'e-5')), false);
    assert.equal(positions.message(message('a', 'e-7')), true);
    assert.equal(positions.message(message('a', 'e-7')), false);
    assert.equal(positions.message(message('a', 'e-6')), false);
  });

  test('is none where nobody asked for its channel', () => {
    assert.equal(liveAt('e-5', 'a').message(message('b', 'e-9')), false);
  });

  test('of a new epoch is news', () => {
    assert.equal(liveAt('e-5', 'a').message(message('a', 'f-1')), true);
  });
});

describe('a gap', () => {
  test('of a channel is told once for how far it reaches', () => {
    const positions = liveAt('e-5', 'a');
    assert.equal(positions.gap(gap({ channel: 'a', cursor: 'e-20', lost: 'e-50' })), true);
    assert.equal(positions.cursor(), 'e-20', 'messages up to `lost` may follow');
    assert.equal(positions.message(message('a', 'e-30')), true);
    positions.begin();
    assert.equal(positions.gap(gap({ channel: 'a', cursor: 'e-30', lost: 'e-50' })), false);
    assert.equal(positions.gap(gap({ channel: 'a', cursor: 'e-30', lost: 'e-60' })), true);
    assert.equal(positions.gap(gap({ channel: 'b', cursor: 'e-30', lost: 'e-60' })), false);
  });

  test('of what the channel has had is none', () => {
    const positions = liveAt('e-40', 'a');
    positions.add(['b'], 'e-10');
    positions.begin();
    assert.equal(positions.gap(gap({ channel: 'a', cursor: 'e-10', lost: 'e-40' })), false);
    assert.equal(positions.message(message('a', 'e-40')), false, 'nor does it take the channel back');
  });

  test('of all channels moves those whose cursors mean nothing any more', () => {
    const positions = liveAt('e-40', 'a', 'b');
    assert.equal(positions.gap(gap({ cursor: 'f-3' })), true);
    assert.equal(positions.cursor(), 'f-3');
    const above = liveAt('e-40', 'a');
    above.begin();
    assert.equal(above.gap(gap({ cursor: 'e-3' })), true);
    assert.equal(above.cursor(), 'e-3');
  });

  test('of a channel that catches up with a foreign cursor leaves the live ones where they are', () => {
    const positions = liveAt('e-40', 'a');
    positions.add(['b'], 'd-7');
    positions.gap(gap({ cursor: 'e-39' }));
    assert.deepEqual(
      positions.begin(),
      new Map([
        ['e-40', ['a']],
        ['e-39', ['b']],
      ]),
    );
  });
});

// ── A model ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A server with a log of messages on three channels, which does what docs/protocol.md says, and is interrupted at any point:
 * by groups with cursors of their own (`socket`), or from one cursor for all (`stream`).
 */
test('whatever is interrupted where, each message is taken once and in order for its channel', () => {
  const CHANNELS = ['a', 'b', 'c'];
  const step = fc.oneof(
    fc.record({ kind: fc.constant('publish' as const), channel: fc.constantFrom(...CHANNELS), count: fc.nat(4) }),
    fc.record({ kind: fc.constant('subscribe' as const), channel: fc.constantFrom(...CHANNELS) }),
    fc.record({ kind: fc.constantFrom('socket' as const, 'stream' as const), sent: fc.nat(12) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const log: string[] = [];
      const taken = new Map<string, number[]>();
      const positions = makePositions();
      const cursorOf = (index: number) => `e-${index + 1}`;
      const indexAfter = (at: string) => (at === 'start' ? 0 : Number(at.split('-')[1]));
      const give = (index: number) => {
        const channel = log[index]!;
        if (positions.message(message(channel, cursorOf(index)))) taken.get(channel)!.push(index);
      };

      for (const { kind, ...rest } of [...steps, { kind: 'socket' as const, sent: 1_000 }]) {
        if (kind === 'publish') {
          const { channel, count } = rest as { channel: string; count: number };
          for (let i = 0; i < count; i++) log.push(channel);
        } else if (kind === 'subscribe') {
          const { channel } = rest as { channel: string };
          if (positions.add([channel], 'start').length > 0) taken.set(channel, []);
        } else {
          let left = (rest as { sent: number }).sent;
          const places = positions.begin();
          const common = positions.cursor();
          // A server never says that channels are live before it has sent all that they miss.
          const groups = kind === 'stream' && common !== undefined ? new Map([[common, positions.channels()]]) : places;
          for (const [after, channels] of groups) {
            for (let index = indexAfter(after); index < log.length && left > 0; index++) {
              if (!channels.includes(log[index]!)) continue;
              left--;
              give(index);
            }
            if (left-- > 0) positions.live(cursorOf(log.length - 1), channels);
          }
        }
      }
      for (const [channel, indexes] of taken) {
        const all = log.flatMap((name, index) => (name === channel ? [index] : []));
        assert.deepEqual(indexes, all, channel);
      }
    }),
    { numRuns: 500 },
  );
});
