import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Entry,
  blockOf,
  decodeBlock,
  encodeBlock,
  findInBlock,
  mergeBlocks,
} from '../../src/roomserver/state/blocks.ts';
import { emptySnapshot, entriesOf, StateStore, tierOf } from '../../src/roomserver/state/snapshots.ts';
import { Counter } from '../../src/roomserver/storage/nids.ts';
import type { SnapshotNid } from '../../src/roomserver/types.ts';
import { type Tx, sql } from '../../src/storage/index.ts';
import { openTestRooms } from '../support/room-core.ts';

const selectBlocks = sql<[], { nid: number; size: number }>('SELECT nid, size FROM room_blocks ORDER BY nid');
const [create, member, message] = [1, 2, 3] as const;
const [none, foo, bar] = [1, 2, 3] as const;

async function withStates(work: (tx: Tx, states: StateStore) => void): Promise<void> {
  await using rooms = openTestRooms();
  const states = new StateStore({ blockNids: new Counter(0), snapshotNids: new Counter(1) });
  await rooms.db.write((tx) => work(tx, states));
}
const triples = (entries: readonly Entry[]): number[][] => entries.map(({ type, key, event }) => [type, key, event]);

describe('state snapshots of the room server document', () => {
  test('three blocks make three snapshots, in which a later block overrides an earlier one', () =>
    withStates((tx, states) => {
      // Block 1 holds the create event and the join of foo, block 2 the join of bar, block 3 what foo sent then (event 5).
      const first = states.overlay(tx, emptySnapshot, [
        { type: create, key: none, event: 1 },
        { type: member, key: foo, event: 2 },
      ]);
      const second = states.append(tx, first, member, bar, 3);
      // Event 4 is a message: it stands on the second snapshot and leaves it as it is.
      const third = states.append(tx, second, member, foo, 5);
      expect([first, second, third].map((nid) => states.blockList(tx, nid))).toEqual([[1], [1, 2], [1, 2, 3]]);
      expect(tx.all(selectBlocks)).toEqual([
        { nid: 1, size: 2 },
        { nid: 2, size: 1 },
        { nid: 3, size: 1 },
      ]);
      expect(triples(entriesOf(states.entries(tx, third)))).toEqual([
        [create, none, 1],
        [member, foo, 5],
        [member, bar, 3],
      ]);
      expect(states.get(tx, second, member, foo)).toBe(2);
      expect(states.get(tx, third, member, foo)).toBe(5);
      expect(states.get(tx, third, message, none)).toBe(0);
      expect(states.difference(tx, first, third)).toEqual([
        { type: member, key: foo, from: 2, to: 5 },
        { type: member, key: bar, from: 0, to: 3 },
      ]);
    }));
});

describe('the fifteen events of the sync document', () => {
  // Letters are state events, an apostrophe is a new value of the same key, numbers are messages.
  const history = ['A', 'B', 'C', 'D', '1', '2', '3', "D'", '4', "D''", '5', "B'", "D'''", "D''''", '6'];
  const keyOf = (name: string): number => 'ABCD'.indexOf(name[0] ?? '') + 1;

  test('the state at the start of the timeline is the difference of two snapshots', () =>
    withStates((tx, states) => {
      const before: SnapshotNid[] = [];
      let state: SnapshotNid = emptySnapshot;
      history.forEach((name, index) => {
        before[index + 1] = state;
        if (keyOf(name) > 0) state = states.append(tx, state, create, keyOf(name), index + 1);
      });
      const names = (entries: readonly Entry[]): string[] => entries.map(({ event }) => history[event - 1] ?? '');
      expect(names(entriesOf(states.entries(tx, state)))).toEqual(['A', "B'", 'C', "D''''"]);
      const after = (position: number): SnapshotNid => before[position + 1] ?? state;
      const delta = (since: number, timelineStart: number): string[] =>
        states.difference(tx, after(since), before[timelineStart] ?? state).map(({ to }) => history[to - 1] ?? '');
      // since=14, limit 5: the timeline is event 15 alone, and nothing changed before it.
      expect(delta(14, 15)).toEqual([]);
      // since=9, limit 5: the timeline is 11 to 15; the full state at its start, and the part of it since 9.
      expect(names(entriesOf(states.entries(tx, before[11] ?? state)))).toEqual(['A', 'B', 'C', "D''"]);
      expect(delta(9, 11)).toEqual(["D''"]);
    }));
});

const entry = fc.record({
  type: fc.integer({ min: 1, max: 6 }),
  key: fc.integer({ min: 1, max: 40 }),
  event: fc.nat(2 ** 31),
});

describe('blocks', () => {
  test('a block is the same after it was stored', () => {
    fc.assert(
      fc.property(fc.uniqueArray(entry, { selector: ({ type, key }) => `${type} ${key}` }), (entries) => {
        const block = blockOf(entries);
        expect(decodeBlock(encodeBlock(block), entries.length)).toEqual(block);
        for (const { type, key, event } of entries) expect(findInBlock(block, type, key)).toBe(event);
        expect(findInBlock(block, 7, 1)).toBeUndefined();
      }),
      { seed: 1 },
    );
  });

  test('a merged block says what the newer one says, and keeps tombstones until nothing lies below', () => {
    const older = blockOf([
      { type: 1, key: 1, event: 5 },
      { type: 1, key: 2, event: 6 },
    ]);
    const newer = blockOf([
      { type: 1, key: 2, event: 0 },
      { type: 2, key: 1, event: 7 },
    ]);
    expect(triples(entriesOf(mergeBlocks(older, newer, false)))).toEqual([
      [1, 1, 5],
      [1, 2, 0],
      [2, 1, 7],
    ]);
    expect(triples(entriesOf(mergeBlocks(older, newer, true)))).toEqual([
      [1, 1, 5],
      [2, 1, 7],
    ]);
  });

  test('snapshots answer like plain maps, in few blocks, whatever is set, removed, forked and compared', () =>
    withStates((tx, states) => {
      fc.assert(
        fc.property(
          fc.array(
            fc.record({
              parent: fc.nat(30),
              entries: fc.uniqueArray(entry, { maxLength: 90, selector: ({ type, key }) => `${type} ${key}` }),
            }),
            { minLength: 1, maxLength: 60 },
          ),
          fc.nat(100),
          (steps, other) => {
            const made: { nid: SnapshotNid; plain: Map<string, number> }[] = [{ nid: emptySnapshot, plain: new Map() }];
            for (const { parent, entries } of steps) {
              const from = made.at(-1 - (parent % made.length)) ?? { nid: emptySnapshot, plain: new Map() };
              const plain = new Map(from.plain);
              const set = entries.map((one) => (one.event % 5 === 0 ? { ...one, event: 0 } : one));
              for (const { type, key, event } of set) {
                if (event === 0) plain.delete(`${type} ${key}`);
                else plain.set(`${type} ${key}`, event);
              }
              const [single] = set;
              const nid =
                set.length === 1 && single !== undefined
                  ? states.append(tx, from.nid, single.type, single.key, single.event)
                  : states.overlay(tx, from.nid, set);
              made.push({ nid, plain });
            }
            for (const { nid, plain } of made) {
              const read = entriesOf(states.entries(tx, nid));
              expect(new Map(read.map(({ type, key, event }) => [`${type} ${key}`, event]))).toEqual(plain);
              const sizes = states.blockList(tx, nid).length;
              expect(sizes).toBeLessThanOrEqual(3 * (tierOf(Math.max(plain.size, 1) * 4) + 2));
              expect(triples(entriesOf(states.entries(tx, nid, 2)))).toEqual(
                triples(read.filter(({ type }) => type === 2)),
              );
              expect(triples(entriesOf(states.entriesWithout(tx, nid, 2)))).toEqual(
                triples(read.filter(({ type }) => type !== 2)),
              );
            }
            const [one, two] = [made[other % made.length], made.at(-1)];
            if (one === undefined || two === undefined) return;
            const expected = [...new Set([...one.plain.keys(), ...two.plain.keys()])].filter(
              (pair) => one.plain.get(pair) !== two.plain.get(pair),
            );
            const changes = states.difference(tx, one.nid, two.nid);
            expect(changes.map(({ type, key }) => `${type} ${key}`).sort()).toEqual(expected.sort());
            for (const { type, key, from, to } of changes) {
              expect([one.plain.get(`${type} ${key}`) ?? 0, two.plain.get(`${type} ${key}`) ?? 0]).toEqual([from, to]);
            }
          },
        ),
        { seed: 2, numRuns: 60 },
      );
    }));
});
