import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CURSOR_BYTES_MAX, CURSOR_NOW, CURSOR_START, Cursor, formatCursor, SEQUENCE_MAX } from './cursor.js';

/** Parses text that stands between bytes which would lengthen the cursor. */
function parsed(text: string): { position: number; epoch: string } | undefined {
  const cursor = new Cursor();
  const bytes = Buffer.from(`1${text}1`, 'latin1');
  if (!cursor.parse(bytes, 1, bytes.length - 1)) {
    assert.equal(cursor.position, CURSOR_NOW);
    return undefined;
  }
  return { position: cursor.position, epoch: Buffer.from(cursor.epoch.subarray(0, cursor.epochLength)).toString() };
}

test('a cursor is an epoch and a sequence', () => {
  assert.deepEqual(parsed('7fd875aaeb0e-17'), { position: 17, epoch: '7fd875aaeb0e' });
  assert.deepEqual(parsed('e-0'), { position: 0, epoch: 'e' });
  assert.deepEqual(parsed(`A_z.~9-${SEQUENCE_MAX}`), { position: SEQUENCE_MAX, epoch: 'A_z.~9' });
  assert.deepEqual(parsed(`${'e'.repeat(32)}-1`), { position: 1, epoch: 'e'.repeat(32) });
  assert.equal(formatCursor('e'.repeat(32), SEQUENCE_MAX).length, CURSOR_BYTES_MAX);
});

test('now and start are places too', () => {
  assert.deepEqual(parsed('now'), { position: CURSOR_NOW, epoch: '' });
  assert.deepEqual(parsed('start'), { position: CURSOR_START, epoch: '' });
});

test('everything else is no cursor', () => {
  const none = [
    '',
    '-',
    'e',
    'e-',
    '-1',
    'e--1',
    'e-1-1',
    'e-01',
    'e-00',
    'e-1x',
    'e-+1',
    'e- 1',
    'e-1 ',
    ' e-1',
    'e-0x1',
  ];
  none.push('NOW', 'now-', 'starts', 'e f-1', 'e%-1', 'é-1', 'e-1\0', 'e\n-1', 'e-1e3', 'e-1.5', `${'e'.repeat(33)}-1`);
  none.push(`e-${SEQUENCE_MAX + 1}`, `e-${2 ** 53}`, `e-${'9'.repeat(15)}`, `e-${'1'.repeat(400)}`);
  for (const text of none) assert.equal(parsed(text), undefined, text);
});

test('what is formatted is parsed back, and one bit of it changed is never the same cursor', () => {
  const epoch = fc.stringMatching(/^[A-Za-z0-9_.~]{1,32}$/);
  fc.assert(
    fc.property(epoch, fc.nat(SEQUENCE_MAX), fc.nat(1000), (name, position, flip) => {
      const text = formatCursor(name, position);
      assert.deepEqual(parsed(text), { position, epoch: name });
      const bytes = Buffer.from(text);
      bytes[flip % bytes.length]! ^= 1 << (flip % 7);
      const other = parsed(bytes.toString('latin1'));
      assert.notDeepEqual(other, { position, epoch: name });
    }),
  );
});

test('a cursor belongs to its own epoch only', () => {
  const cursor = new Cursor();
  const epoch = Buffer.from('abc');
  for (const [text, expected] of [
    ['abc-1', true],
    ['abcd-1', false],
    ['ab-1', false],
    ['abd-1', false],
    ['now', false],
    ['start', false],
  ] as const) {
    assert.ok(cursor.parse(Buffer.from(text), 0, text.length));
    assert.equal(cursor.isOf(epoch), expected, text);
  }
});
