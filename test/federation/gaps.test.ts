/** INVARIANTS 12: paging through history that others have to fill in. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EventId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { Room } from '../../src/roomserver/index.ts';
import type { HistoryWish, MissingHistory, NearerWish } from '../../src/syncapi/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { roomIdOf } from '../support/room-core.ts';
import { openTestReads, type TestReads } from '../support/room-reads.ts';

const alice = '@alice:one.example';
const remote = '@bob:two.example';

/** Another server: it knows all events, and gives a few at a time of those before a gap. */
class OtherServer implements MissingHistory {
  readonly #reads: TestReads;
  readonly #signed: SignedRoom;
  readonly #state: readonly EventId[];
  readonly #atATime: number;
  readonly asked: HistoryWish[] = [];
  knows = true;

  constructor(reads: TestReads, signed: SignedRoom, state: readonly EventId[], atATime: number) {
    this.#reads = reads;
    this.#signed = signed;
    this.#state = state;
    this.#atATime = atATime;
  }

  hasGap(): boolean {
    return true;
  }

  async backfill(_room: Room, wish: HistoryWish): Promise<boolean> {
    this.asked.push(wish);
    if (!this.knows) return false;
    const child = this.#reads.read((snapshot) => this.#reads.core.event(snapshot, wish.behind));
    const at = this.#signed.events.findIndex(({ eventId }) => eventId === child?.eventId);
    const found: RoomEvent[] = [];
    for (let index = at - 1; index > 0 && found.length < this.#atATime; index--) {
      const event = this.#signed.events[index];
      if (event === undefined || this.#isKnown(event.eventId)) break;
      found.unshift(event);
    }
    const before = found[0]?.prevEvents ?? [];
    const stateAfterMissing = new Map(before.map((id) => [id, this.#state]));
    await this.#reads.core.input(roomIdOf(this.#signed.roomId), found, 'backfilled', { stateAfterMissing });
    return found.length > 0;
  }

  /** Gives one event alone. */
  async fetchNearer(_room: Room, { ts, direction }: NearerWish): Promise<boolean> {
    const events = direction === 'b' ? this.#signed.events.toReversed() : this.#signed.events;
    const found = events.find(({ originServerTs: at }) => (direction === 'b' ? at <= ts : at >= ts));
    if (found === undefined || this.#isKnown(found.eventId)) return false;
    const stateAfterMissing = new Map(found.prevEvents.map((id) => [id, this.#state]));
    await this.#reads.core.input(found.roomId, [found], 'backfilled', { stateAfterMissing, apart: true });
    return true;
  }

  #isKnown(eventId: string): boolean {
    return this.#reads.read((snapshot) => this.#reads.core.eventById(snapshot, eventId)) !== undefined;
  }
}

/** A room made elsewhere, with a local member; messages marked lost are not received. */
async function receiveWithGaps(reads: TestReads, lost: readonly boolean[], atATime: number) {
  const signed = SignedRoom.open('11', remote);
  signed.join(alice);
  const state = signed.events.map(({ eventId }) => eventId);
  for (const event of signed.events) await reads.core.input(roomIdOf(signed.roomId), [event], 'live');
  let isBehindGap = false;
  for (const isLost of [...lost, false]) {
    const event = signed.message(remote, 'message');
    if (!isLost) {
      const options = isBehindGap ? { stateBefore: new Map([[event.eventId, state]]) } : {};
      await reads.core.input(roomIdOf(signed.roomId), [event], 'live', options);
    }
    isBehindGap = isLost;
  }
  const room = reads.read((snapshot) => reads.core.room(snapshot, signed.roomId));
  if (room === undefined) throw new Error('no room');
  const other = new OtherServer(reads, signed, state, atATime);
  reads.parts.history = other;
  return { room, signed, other, all: signed.events.map(({ eventId }) => eventId) };
}

async function pageThrough(
  reads: TestReads,
  room: Room,
  direction: 'b' | 'f',
  limits: readonly number[],
  from?: string,
): Promise<string[]> {
  const ids: string[] = [];
  let token = from;
  for (let page = 0; page < 500; page++) {
    const answer = await reads.messages(room, alice, { from: token, direction, limit: limits[page % limits.length] });
    ids.push(...answer.chunk.map(({ event_id: id }) => id));
    token = answer.end;
    if (token === undefined) return ids;
  }
  throw new Error('the paging does not end');
}

describe('history that others fill in', () => {
  test('is met event by event, each once, in either direction, however little comes at a time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 3, max: 8 }),
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('b' as const, 'f' as const),
        async (lost, atATime, limits, direction) => {
          await using reads = openTestReads();
          const { room, all } = await receiveWithGaps(reads, lost, atATime);
          const ids = await pageThrough(reads, room, direction, limits);
          expect(ids).toEqual(direction === 'f' ? all : all.toReversed());
        },
      ),
      { numRuns: 20 },
    );
  }, 60_000);

  test('is fetched in the background while what is here suffices, and waited for where it does not', async () => {
    await using reads = openTestReads();
    const { room, other, all } = await receiveWithGaps(reads, [false, true, true, false], 50);
    const full = await reads.messages(room, alice, { limit: 2 });
    expect(full.chunk.map(({ event_id: id }) => id)).toEqual(all.slice(-2).toReversed());
    expect(other.asked).toHaveLength(1);
    const rest = await reads.messages(room, alice, { limit: 3, from: full.end });
    expect(rest.chunk.map(({ event_id: id }) => id)).toEqual(all.slice(-5, -2).toReversed());
  });

  test('is passed over when nobody has it', async () => {
    await using reads = openTestReads();
    const { room, other, all } = await receiveWithGaps(reads, [true, true], 50);
    other.knows = false;
    const page = await reads.messages(room, alice, { limit: 2 });
    expect(page.chunk.map(({ event_id: id }) => id)).toEqual([all.at(-1), all.at(-4)]);
  });

  test('stands around an event too', async () => {
    await using reads = openTestReads();
    const { room, all } = await receiveWithGaps(reads, [true, true], 50);
    const last = reads.read((snapshot) => reads.core.eventById(snapshot, all.at(-1) ?? ''));
    if (last === undefined) throw new Error('no event');
    const page = await reads.context(room, alice, last, { limit: 4 });
    expect(page.events_before.map(({ event_id: id }) => id)).toEqual(all.slice(-3, -1).toReversed());
  });

  test('goes on in both directions from an event that was fetched apart from the others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 25 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 3, max: 8 }),
        fc.constantFrom('b' as const, 'f' as const),
        async (lost, where, atATime, direction) => {
          await using reads = openTestReads();
          const missing = Array.from({ length: lost }, () => true);
          const { room, signed, all } = await receiveWithGaps(reads, missing, atATime);
          const wanted = signed.events[all.length - 1 - Math.max(1, Math.round(where * lost))];
          if (wanted === undefined) throw new Error('no event');
          const found = await reads.eventAt(room, alice, wanted.originServerTs, direction);
          expect(found).toBe(wanted.eventId);
          const event = reads.read((snapshot) => reads.core.eventById(snapshot, found));
          if (event === undefined) throw new Error('the event was not fetched');
          const { start, end } = await reads.context(room, alice, event, { limit: 0 });
          const before = await pageThrough(reads, room, 'b', [4], start);
          const after = await pageThrough(reads, room, 'f', [4], end);
          expect([...before.toReversed(), found, ...after]).toEqual(all);
        },
      ),
      { numRuns: 15 },
    );
  }, 60_000);
});
