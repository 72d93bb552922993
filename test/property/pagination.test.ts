import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Room } from '../../src/roomserver/index.ts';
import { type TestReads, openTestReads } from '../support/room-reads.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';

type Step = 'say' | 'bob says' | 'bob comes or goes' | 'hide' | 'show';
const step = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Step>('say') },
  { weight: 3, arbitrary: fc.constantFrom<Step>('bob says', 'bob comes or goes') },
  { weight: 1, arbitrary: fc.constantFrom<Step>('hide', 'show') },
);

async function play(reads: TestReads, room: Room, steps: readonly Step[]): Promise<void> {
  let isJoined = false;
  for (const [index, what] of steps.entries()) {
    if (what === 'say') await reads.say(room, alice, `${index}`);
    else if (what === 'bob comes or goes') {
      isJoined = !isJoined;
      await reads.member(room, bob, bob, isJoined ? 'join' : 'leave');
    } else if (what === 'bob says') {
      if (isJoined) await reads.say(room, bob, `${index}`);
    } else {
      const content = { history_visibility: what === 'hide' ? 'joined' : 'shared' };
      await reads.state(room, alice, 'm.room.history_visibility', content);
    }
  }
}

/** Pages from a token to the end, with the limits in turn. */
async function pageThrough(
  reads: TestReads,
  room: Room,
  reader: string,
  direction: 'b' | 'f',
  from: string | undefined,
  limits: readonly number[],
): Promise<string[]> {
  const ids: string[] = [];
  for (let page = 0, token = from; ; page++) {
    const limit = limits[page % limits.length];
    const answer = await reads.messages(room, reader, { from: token, direction, limit });
    ids.push(...answer.chunk.map(({ event_id: id }) => id));
    token = answer.end;
    if (token === undefined) return ids;
    if (page > 500) throw new Error('the paging does not end');
  }
}

describe('paging through random rooms', () => {
  test('meets every event that the user may see exactly once, in either direction and from any token', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (steps, limits, where) => {
          await using reads = openTestReads();
          const room = await reads.openRoom(alice);
          await play(reads, room, [...steps, 'bob comes or goes']);
          for (const reader of [alice, bob]) {
            const all = (await reads.messages(room, reader, { direction: 'f', limit: 1000 })).chunk;
            const ids = all.map(({ event_id: id }) => id);
            expect(await pageThrough(reads, room, reader, 'b', undefined, limits)).toEqual(ids.toReversed());
            expect(await pageThrough(reads, room, reader, 'f', undefined, limits)).toEqual(ids);
            const token = String(Math.round(where * reads.db.head));
            const before = await pageThrough(reads, room, reader, 'b', token, limits);
            const after = await pageThrough(reads, room, reader, 'f', token, limits);
            expect([...before.toReversed(), ...after]).toEqual(ids);
          }
        },
      ),
      { numRuns: 25 },
    );
  }, 60_000);
});
