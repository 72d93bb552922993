/** Rooms with many branches: merged by an event that says nothing; state that a resolution takes back is told. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { mergeExtremities } from '../../src/roomserver/remote/merging.ts';
import type { StateReset } from '../../src/roomserver/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { openTestRooms, roomIdOf, type TestRooms, user } from '../support/room-core.ts';

const alice = '@alice:one.example';
const bob = '@bob:two.example';

let rooms: TestRooms;
beforeEach(() => {
  rooms = openTestRooms();
});
afterEach(async () => {
  await rooms[Symbol.asyncDispose]();
});

const take = (room: SignedRoom, events: readonly RoomEvent[] = room.events) =>
  rooms.core.input(roomIdOf(room.roomId), events, 'live');
const extremities = (room: SignedRoom): number =>
  rooms.read((snapshot) => {
    const { nid } = rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
    return rooms.core.forwardExtremities(snapshot, nid).length;
  });
const merge = (): Promise<void> => {
  const log = createLogger({ level: 'silent', format: 'json' });
  return mergeExtremities({ db: rooms.db, rooms: rooms.core, log }, new AbortController().signal);
};

describe('forward extremities', () => {
  test('of a room with too many are merged by an event of a user of ours, which nobody is shown', async () => {
    const room = SignedRoom.open('11', bob);
    const joined = room.join(alice);
    for (let n = 0; n < 45; n += 1) room.message(bob, String(n), [joined.eventId]);
    await take(room);
    expect(extremities(room)).toBe(45);
    await merge();
    expect(extremities(room)).toBeLessThanOrEqual(10);
    rooms.read((snapshot) => {
      const { nid } = rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
      const dummy = rooms.core.forwardExtremities(snapshot, nid).find(({ sender }) => sender === alice);
      expect(dummy?.type).toBe('org.matrix.dummy_event');
      expect(dummy && rooms.core.mayView(snapshot, user(alice), dummy)).toBe(false);
    });
  });

  test('stay where nobody of ours may write', async () => {
    const room = SignedRoom.open('11', bob, { events_default: 50 });
    const joined = room.join(alice);
    for (let n = 0; n < 15; n += 1) room.message(bob, String(n), [joined.eventId]);
    await take(room);
    await merge();
    expect(extremities(room)).toBe(15);
  });
});

describe('a state reset', () => {
  test('is told with the room, the events and what was resolved', async () => {
    const told: StateReset[] = [];
    rooms.core.onStateReset((reset) => void told.push(reset));
    // Version 1 goes by depth, which senders choose: an older rule with a greater one comes back.
    const room = SignedRoom.open('1', bob);
    const rule = (depth: number, join_rule: string): RoomEvent =>
      room.say({ type: 'm.room.join_rules', sender: bob, stateKey: '', content: { join_rule }, depth });
    const [older, newer] = [rule(100, 'invite'), rule(10, 'public')];
    room.message(bob, 'on the newer');
    await take(room);
    expect(told).toEqual([]);
    const fork = room.message(bob, 'on the older', [older.eventId]);
    await take(room, [fork]);
    expect(told).toEqual([
      {
        room: room.roomId,
        event: fork.eventId,
        extremities: expect.arrayContaining([fork.eventId]),
        changes: [{ type: 'm.room.join_rules', stateKey: '', from: newer.eventId, to: older.eventId }],
      },
    ]);
  });

  test('is none when the event that comes sets such state itself, or one branch follows the other', async () => {
    const told: StateReset[] = [];
    rooms.core.onStateReset((reset) => void told.push(reset));
    const room = SignedRoom.open('11', bob);
    const joined = room.join(alice);
    const base = room.message(bob, 'base');
    room.message(bob, 'left', [base.eventId]);
    room.say({
      type: 'm.room.member',
      sender: bob,
      stateKey: alice,
      content: { membership: 'ban' },
      prev: [joined.eventId],
    });
    room.message(bob, 'merged');
    await take(room);
    expect(told).toEqual([]);
  });
});
