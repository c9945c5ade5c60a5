import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandOuts } from './hand-outs.js';

function recorded() {
  const verdicts: [number, number][] = [];
  const handOuts = new HandOuts((sequence, receivers) => verdicts.push([sequence, receivers]));
  return { handOuts, verdicts };
}

test('the verdict is immediate where every connection was decided at once', () => {
  const { handOuts, verdicts } = recorded();
  handOuts.begun(handOuts.next(), 7, 2, 0);
  handOuts.begun(handOuts.next(), 8, 0, 0);
  assert.deepEqual(verdicts, [
    [7, 2],
    [8, 0],
  ]);
  assert.equal(handOuts.open, 0);
});

test('one that has the message decides for all, and slower ones neither delay nor repeat the verdict', () => {
  const { handOuts, verdicts } = recorded();
  const handOut = handOuts.next();
  handOuts.begun(handOut, 9, 1, 2);
  assert.deepEqual(verdicts, [[9, 1]]);
  handOuts.settled(handOut, true);
  handOuts.settled(handOut, false);
  assert.deepEqual(verdicts, [[9, 1]]);
  assert.equal(handOuts.open, 0);
});

test('half-written messages are undecided until one is whole', () => {
  const { handOuts, verdicts } = recorded();
  const handOut = handOuts.next();
  handOuts.begun(handOut, 10, 0, 3);
  handOuts.settled(handOut, false);
  assert.deepEqual(verdicts, []);
  handOuts.settled(handOut, true);
  assert.deepEqual(verdicts, [[10, 1]]);
  handOuts.settled(handOut, true);
  assert.deepEqual(verdicts, [[10, 1]]);
});

test('a message that no connection got whole has no receivers', () => {
  const { handOuts, verdicts } = recorded();
  const [first, second] = [handOuts.next(), handOuts.next()];
  handOuts.begun(first, 11, 0, 2);
  handOuts.begun(second, 12, 0, 1);
  handOuts.settled(first, false);
  handOuts.settled(second, false);
  handOuts.settled(first, false);
  assert.deepEqual(verdicts, [
    [12, 0],
    [11, 0],
  ]);
});

test('verdicts for a manager that is gone are not given to the next one', () => {
  const { handOuts, verdicts } = recorded();
  const handOut = handOuts.next();
  handOuts.begun(handOut, 13, 0, 2);
  handOuts.forgetVerdicts();
  handOuts.settled(handOut, true);
  handOuts.settled(handOut, false);
  assert.deepEqual(verdicts, []);
  assert.equal(handOuts.open, 0);
});
