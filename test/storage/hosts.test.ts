import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServerName, UserId } from '../../src/matrix/ids.ts';
import type { RoomNid } from '../../src/roomserver/index.ts';
import { repairRoomserver, verifyRoomserver } from '../../src/roomserver/index.ts';
import { type Position, sql } from '../../src/storage/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { type TestRooms, openTestRooms, roomIdOf } from '../support/room-core.ts';

const alice = '@alice:one.example';
const bob = '@bob:two.example';
const ben = '@ben:two.example';
const carol = '@carol:three.example';

let rooms: TestRooms;
let room: SignedRoom;
beforeEach(async () => {
  rooms = openTestRooms();
  room = SignedRoom.open('11', bob);
  room.join(alice);
  await receive();
});
afterEach(async () => {
  await rooms[Symbol.asyncDispose]();
});

let received = 0;
async function receive(): Promise<void> {
  const nid = rooms.read((snapshot) => rooms.core.room(snapshot, room.roomId));
  if (nid === undefined) received = 0;
  await rooms.core.input(roomIdOf(room.roomId), room.events.slice(received), 'live');
  received = room.events.length;
}

const nid = (): RoomNid => rooms.read((snapshot) => rooms.core.room(snapshot, room.roomId)?.nid ?? (0 as RoomNid));
const slot = (eventId: string): Position =>
  rooms.read((snapshot) => rooms.core.eventById(snapshot, eventId)?.place?.slot ?? (0 as Position));
const at = (eventId: string): string[] =>
  rooms.read((snapshot) => rooms.core.hostsAt(snapshot, nid(), slot(eventId))).sort();
const now = (): string[] => rooms.read((snapshot) => rooms.core.hostsNow(snapshot, nid())).sort();
const leave = (sender: string, target = sender, prev?: readonly string[]) =>
  room.say({
    type: 'm.room.member',
    sender,
    stateKey: target,
    content: { membership: 'leave' },
    ...(prev === undefined ? {} : { prev }),
  });

describe('INVARIANTS 21: hosts of a room as intervals', () => {
  test('an event is for those who were in the room before it, whatever came after', async () => {
    const joined = room.join(carol);
    const said = room.message(bob, 'hello');
    const left = leave(carol);
    const after = room.message(bob, 'gone?');
    await receive();
    expect(at(joined.eventId)).toEqual(['one.example', 'two.example']);
    expect(at(said.eventId)).toEqual(['one.example', 'three.example', 'two.example']);
    expect(at(left.eventId)).toEqual(['one.example', 'three.example', 'two.example']);
    expect(at(after.eventId)).toEqual(['one.example', 'two.example']);
    expect(now()).toEqual(['one.example', 'two.example']);
    rooms.read((snapshot) => {
      const carols = 'three.example' as ServerName;
      expect(rooms.core.wasHost(snapshot, carols, nid(), slot(said.eventId))).toBe(true);
      expect(rooms.core.wasHost(snapshot, carols, nid(), slot(after.eventId))).toBe(false);
      expect(rooms.core.hostsOpenedAt(snapshot, nid(), slot(joined.eventId))).toEqual([carols]);
      const interval = { room: nid(), from: slot(joined.eventId), to: slot(left.eventId) };
      expect(rooms.core.roomsOfHost(snapshot, carols)).toEqual([interval]);
      expect(rooms.core.roomsOfHost(snapshot, carols, slot(left.eventId))).toEqual([]);
      expect(rooms.core.hasOtherHosts(snapshot, nid(), slot(said.eventId))).toBe(true);
    });
  });

  test('a server stays while one of its members goes and another comes', async () => {
    const first = room.join(ben);
    const second = leave(bob);
    await receive();
    expect(at(first.eventId)).toEqual(['one.example', 'two.example']);
    expect(at(second.eventId)).toEqual(['one.example', 'two.example']);
    expect(rooms.read((snapshot) => rooms.core.roomsOfHost(snapshot, 'two.example' as ServerName))).toHaveLength(1);
  });

  test('a server that comes again gets an interval of its own', async () => {
    room.join(carol);
    leave(carol);
    room.join(carol);
    await receive();
    const intervals = rooms.read((snapshot) => rooms.core.roomsOfHost(snapshot, 'three.example' as ServerName));
    expect(intervals).toHaveLength(2);
    expect(intervals.at(-1)?.to).toBeUndefined();
  });

  test('users share rooms with the servers of all rooms they are joined in', async () => {
    room.join(carol);
    await receive();
    const sharing = (user: string) =>
      rooms.read((snapshot) => rooms.core.hostsSharingWith(snapshot, user as UserId)).sort();
    expect(sharing(alice)).toEqual(['one.example', 'three.example', 'two.example']);
    leave(alice);
    await receive();
    expect(sharing(alice)).toEqual([]);
  });

  test('at no step of a join and a resolution of forks is the list empty or without a server that stays', async () => {
    const fork = room.events.at(-1)?.eventId ?? '';
    room.join(carol);
    await receive();
    expect(now()).toEqual(['one.example', 'three.example', 'two.example']);
    // On another branch the room is renamed and bob's second user joins; each step resolves the two.
    const other = room.say({ type: 'm.room.name', sender: bob, stateKey: '', content: { name: 'x' }, prev: [fork] });
    await receive();
    expect(now()).toEqual(['one.example', 'three.example', 'two.example']);
    room.join(ben, [other.eventId]);
    await receive();
    expect(now()).toEqual(['one.example', 'three.example', 'two.example']);
    room.message(bob, 'together');
    await receive();
    expect(now()).toEqual(['one.example', 'three.example', 'two.example']);
    expect(rooms.read((snapshot) => rooms.core.roomsOfHost(snapshot, 'three.example' as ServerName))).toHaveLength(1);
    expect([...verifyRoomserver(rooms.db, 'one.example' as ServerName)]).toEqual([]);
  });

  test.each([
    ['DELETE FROM room_hosts', 'not stored'],
    ['UPDATE room_hosts SET to_position = 9999999', 'stored 9999999, should be null'],
    ['UPDATE room_hosts SET from_position = from_position + 1000000', 'should not be there'],
  ])('verify names and repairs what is wrong after %s', async (statement, line) => {
    room.join(carol);
    leave(carol);
    await receive();
    await rooms.db.write((tx) => void tx.run(sql<[]>(statement)));
    const verify = (): string[] => [...verifyRoomserver(rooms.db, 'one.example' as ServerName)];
    expect(verify()).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
    await repairRoomserver(
      rooms.db,
      rooms.core.stores,
      () => 0,
      () => undefined,
    );
    expect(verify()).toEqual([]);
  });
});
