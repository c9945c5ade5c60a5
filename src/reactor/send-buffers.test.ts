import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ffiProblem } from '../linux/ffi.js';
import { sendBuffersFor } from './choose.js';

for (const name of ffiProblem === null ? (['epoll', 'portable'] as const) : (['portable'] as const))
  describe(`send buffers of ${name}`, () => {
    test('a buffer has exactly the length that was asked for, and keeps what is written', () => {
      const buffers = sendBuffersFor(name);
      for (const length of [1, 255, 256, 257, 65535, 65536, 65537, 3_000_000]) {
        const handle = buffers.allocate(length);
        assert.equal(buffers.length(handle), length);
        assert.equal(buffers.bytes(handle).length, length);
        buffers.bytes(handle).fill(length & 0xff);
        assert(buffers.bytes(handle).every((byte) => byte === (length & 0xff)));
        buffers.release(handle);
      }
      assert.equal(buffers.liveBytes, 0);
    });

    test('live bytes count whole classes, and large buffers as they are', () => {
      const buffers = sendBuffersFor(name);
      const handles = [1, 257, 65536, 65537].map((length) => buffers.allocate(length));
      assert.equal(buffers.liveBytes, 256 + 512 + 65536 + 65537);
      for (const handle of handles) buffers.release(handle);
      assert.equal(buffers.liveBytes, 0);
    });

    test('a buffer lives as long as one reference to it', () => {
      const buffers = sendBuffersFor(name);
      const handle = buffers.allocate(10);
      buffers.retain(handle);
      buffers.release(handle);
      assert.equal(buffers.liveBytes, 256);
      assert.notEqual(buffers.allocate(10), handle);
      buffers.release(handle);
      assert.equal(buffers.allocate(10), handle, 'the block is used again');
    });

    test('to release, retain or fill a free buffer is a bug that throws', () => {
      const buffers = sendBuffersFor(name);
      for (const length of [10, 100_000]) {
        const handle = buffers.allocate(length);
        buffers.release(handle);
        assert.throws(() => buffers.release(handle), /not in use/);
        assert.throws(() => buffers.retain(handle), /not in use/);
        assert.throws(() => buffers.bytes(handle), /not in use/);
      }
      assert.throws(() => buffers.allocate(0));
      assert.throws(() => buffers.allocate(1.5));
    });

    test('no two buffers in use overlap, whatever the order of allocation and release', () => {
      const step = fc.oneof(
        fc.record({ allocate: fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 200_000 })) }),
        fc.record({ release: fc.nat() }),
      );
      fc.assert(
        fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
          const buffers = sendBuffersFor(name);
          const live: { handle: number; mark: number }[] = [];
          let mark = 0;
          for (const each of steps) {
            if ('allocate' in each) {
              const handle = buffers.allocate(each.allocate);
              mark = (mark + 1) & 0xff;
              const bytes = buffers.bytes(handle);
              bytes[0] = mark;
              bytes[bytes.length - 1] = mark;
              live.push({ handle, mark });
            } else if (live.length > 0) {
              const [{ handle }] = live.splice(each.release % live.length, 1);
              buffers.release(handle);
            }
            for (const { handle, mark } of live) {
              const bytes = buffers.bytes(handle);
              assert(bytes[0] === mark && bytes[bytes.length - 1] === mark);
            }
          }
          for (const { handle } of live) buffers.release(handle);
          assert.equal(buffers.liveBytes, 0);
        }),
        { numRuns: 50 },
      );
    });
  });
