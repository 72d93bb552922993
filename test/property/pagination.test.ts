import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EventId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { Room } from '../../src/roomserver/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { roomIdOf } from '../support/room-core.ts';
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

describe('INVARIANTS 12: paging through random rooms', () => {
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

  test('goes on through gaps that are filled between two pages', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 1, max: 10 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
        async (lost, firstLimit, limits) => {
          await using reads = openTestReads();
          const { signed, gaps } = await receiveWithGaps(reads, lost);
          const room = reads.read((snapshot) => reads.core.room(snapshot, signed.roomId));
          if (room === undefined) throw new Error('no room');
          const first = await reads.messages(room, alice, { limit: firstLimit });
          for (const gap of gaps) await reads.core.input(roomIdOf(signed.roomId), gap, 'backfilled');
          const all = signed.events.map(({ eventId }) => eventId).toReversed();
          expect(await pageThrough(reads, room, alice, 'b', undefined, limits)).toEqual(all);
          expect(await pageThrough(reads, room, alice, 'f', undefined, limits)).toEqual(all.toReversed());
          if (first.end === undefined) return;
          const last = all.indexOf((first.chunk.at(-1)?.event_id ?? '') as EventId);
          expect(await pageThrough(reads, room, alice, 'b', first.end, limits)).toEqual(all.slice(last + 1));
        },
      ),
      { numRuns: 25 },
    );
  }, 60_000);
});

/** A room made elsewhere, with a local member; messages marked lost are not received, but given back as gaps. */
async function receiveWithGaps(
  reads: TestReads,
  lost: readonly boolean[],
): Promise<{ readonly signed: SignedRoom; readonly gaps: readonly (readonly RoomEvent[])[] }> {
  const remote = '@bob:two.example';
  const signed = SignedRoom.open('11', remote);
  signed.join(alice);
  const state = signed.events.map(({ eventId }) => eventId);
  const receive = (event: RoomEvent, missesPrev: boolean): Promise<unknown> => {
    const options = missesPrev ? { stateBefore: new Map([[event.eventId, state]]) } : {};
    return reads.core.input(roomIdOf(signed.roomId), [event], 'live', options);
  };
  for (const event of signed.events) await receive(event, false);
  const gaps: RoomEvent[][] = [];
  let open: RoomEvent[] = [];
  for (const isLost of [...lost, false]) {
    const event = signed.message(remote, 'message');
    if (isLost) open.push(event);
    else {
      await receive(event, open.length > 0);
      if (open.length > 0) gaps.push(open);
      open = [];
    }
  }
  return { signed, gaps };
}
