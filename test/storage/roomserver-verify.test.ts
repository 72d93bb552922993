import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { sql } from '../../src/storage/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { type TestRooms, openTestRooms, roomIdOf } from '../support/room-core.ts';

const alice = '@alice:one.example';
const bob = '@bob:two.example';

let rooms: TestRooms;
beforeEach(async () => {
  rooms = openTestRooms();
  const room = SignedRoom.open('11', bob);
  room.join(alice);
  const said = room.message(bob, 'secret');
  const fork = room.events.at(-1)?.eventId ?? '';
  room.say({ type: 'm.room.redaction', sender: bob, redacts: said.eventId });
  room.say({ type: 'm.room.name', sender: bob, stateKey: '', content: { name: 'x' }, prev: [fork] });
  const relates = { 'm.relates_to': { rel_type: 'm.annotation', event_id: said.eventId, key: 'a' } };
  room.say({ type: 'm.reaction', sender: bob, content: relates });
  await rooms.core.input(roomIdOf(room.roomId), room.events, 'live');
});
afterEach(async () => {
  await rooms[Symbol.asyncDispose]();
});

const verify = (): string[] => verifyRoomserver(rooms.db, 'one.example' as ServerName);

describe('INVARIANTS 7: verification and rebuild', () => {
  test('finds nothing in a database as it was written', () => {
    expect(verify()).toEqual([]);
  });

  // Events by number: 1 create, 2 bob joins, 3 power levels, 4 join rules, 5 alice joins, 6 message, 7 its redaction,
  // 8 name, 9 reaction.
  test.each([
    ['UPDATE room_events SET snapshot = 1 WHERE nid = 6', 'event 6: state before it'],
    ['UPDATE room_events SET state_after = 0 WHERE nid = 8', 'event 8: the state after it'],
    ['UPDATE room_events SET flags = 2 WHERE nid = 9', 'event 9: rejected, should be accepted'],
    ['UPDATE room_events SET depth = 99 WHERE nid = 9', 'event 9: depth is not that of its JSON'],
    ['UPDATE room_events SET membership = 4 WHERE nid = 5', 'event 5: membership is not that of its JSON'],
    ["UPDATE room_events SET auth = x'0204' WHERE nid = 9", 'event 9: event_id is not that of its JSON'],
    ['UPDATE room_events SET redacted_by = 0 WHERE nid = 6', 'event 6: redacted by 0, should be by 7'],
    ['DELETE FROM room_redactions', 'event 7: there is no mark of its redaction'],
    ['DELETE FROM room_relations', 'event 9: relation none, should be m.annotation'],
    ['DELETE FROM room_extremities', 'forward extremity 9: stored nothing, should be true'],
    ['INSERT INTO room_extremities (room, event) VALUES (1, 6)', 'forward extremity 6: stored true, should be nothing'],
    ['DELETE FROM room_edges WHERE child = 6', 'edge from 5 to 6: stored nothing'],
    ["INSERT INTO room_missing (room, event_id, child) VALUES (1, '$x', 6)", 'missing prev event $x before 6'],
    ['DELETE FROM room_state WHERE type = 10', 'row of the current state at 10 1: stored nothing, should be 8'],
    ['UPDATE room_rooms SET snapshot = 1', 'the newest row of its history is not its current state'],
    ['UPDATE room_rooms SET joined = 7', '7 members counted as joined, should be 2'],
    ['UPDATE room_rooms SET last_position = 1', 'last change at 1'],
    ['DELETE FROM room_servers', 'joined members of server one.example: stored nothing, should be 1'],
    ['DELETE FROM room_members', 'member '],
    ['UPDATE room_local_membership SET membership = 4', 'local membership of user'],
    ['UPDATE room_events SET slot = 5, live = 1 WHERE slot IS NOT NULL', 'two live events have the same slot'],
    ['UPDATE room_events SET flags = 4 WHERE nid = 9', 'event 9: has a place, though it was not accepted'],
    ['DELETE FROM room_snapshots WHERE nid > 1', 'is missing'],
  ])('names what is wrong after %s', async (statement, line) => {
    await rooms.db.write((tx) => void tx.run(sql<[]>(statement)));
    expect(verify()).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
  });
});
