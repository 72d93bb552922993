import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { repairRoomserver, verifyRoomserver } from '../../src/roomserver/index.ts';
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

const verify = (): string[] => [...verifyRoomserver(rooms.db, 'one.example' as ServerName)];

const change = (statement: string): Promise<void> => rooms.db.write((tx) => void tx.run(sql<[]>(statement)));

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
    ['UPDATE room_rooms SET snapshot = 1', 'the newest row of its history is not its current state'],
    ['UPDATE room_events SET slot = 5, live = 1 WHERE slot IS NOT NULL', 'two live events have the same slot'],
    ['UPDATE room_events SET flags = 4 WHERE nid = 9', 'event 9: has a place, though it was not accepted'],
    ['DELETE FROM room_snapshots WHERE nid > 1', 'is missing'],
  ])('names facts that are wrong, as after %s', async (statement, line) => {
    await change(statement);
    expect(verify()).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
  });

  test.each([
    ['UPDATE room_events SET redacted_by = 0 WHERE nid = 6', 'event 6: redacted by 0, should be by 7'],
    [
      'UPDATE room_event_json SET client = (SELECT client FROM room_originals WHERE nid = 6) WHERE nid = 6',
      'event 6: marked as redacted, but its text is not',
    ],
    ['DELETE FROM room_redactions', 'event 7: there is no mark of its redaction'],
    ['DELETE FROM room_relations', 'event 9: relation none, should be m.annotation'],
    [
      "INSERT INTO room_relations (parent, rel_type, child) VALUES ('$x', 'm.thread', 6)",
      'relation m.thread of event 6 to $x: should not be there',
    ],
    ['DELETE FROM room_extremities', 'forward extremity 1 9: not stored, should be there'],
    [
      'INSERT INTO room_extremities (room, event) VALUES (1, 6)',
      'forward extremity 1 6: stored there, should not be there',
    ],
    ['INSERT INTO room_extremities (room, event) VALUES (9, 6)', '1 forward extremities hang on nothing'],
    ['DELETE FROM room_edges WHERE child = 6', 'edge 5 6: not stored, should be there'],
    ["INSERT INTO room_missing (room, event_id, child) VALUES (1, '$x', 6)", 'missing prev event 1 $x 6: stored'],
    ['DELETE FROM room_state WHERE type = 10', 'row of the current state at m.room.name: not stored, should be 8'],
    ['UPDATE room_rooms SET joined = 7', 'joined, invited, last change 1: stored 7 0'],
    ['UPDATE room_rooms SET last_position = 1', 'joined, invited, last change 1: stored 2 0 1'],
    ['DELETE FROM room_servers', 'joined members of server one.example: not stored, should be 1'],
    ['DELETE FROM room_members', 'member @bob:two.example: not stored, should be 2 0 2'],
    ['UPDATE room_members SET membership = 4', 'member @alice:one.example: stored 4 1 5, should be 2 1 5'],
    ['UPDATE room_local_membership SET membership = 4', 'local membership of user @alice:one.example at'],
    ['DELETE FROM room_local_membership', 'local membership of user @alice:one.example at'],
  ])('names what is derived and wrong, as after %s, and rebuilds it', async (statement, line) => {
    await change(statement);
    const found = verify();
    expect(found).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
    const repaired: string[] = [];
    await repairRoomserver(
      rooms.db,
      rooms.core.stores,
      () => 1,
      (what) => void repaired.push(what),
    );
    expect(repaired).toEqual(expect.arrayContaining([expect.stringContaining(line)]));
    expect(verify()).toEqual([]);
  });

  test('rebuilds every derived table from nothing as it was', async () => {
    const tables = ['edges', 'missing', 'extremities', 'state', 'members', 'servers', 'relations', 'redactions'];
    const dump = (): unknown[][] =>
      tables.map((table) => rooms.read((snapshot) => snapshot.all(sql<[]>(`SELECT * FROM room_${table}`))));
    const before = dump();
    expect(before.filter((rows) => rows.length === 0)).toHaveLength(1);
    for (const table of tables) await change(`DELETE FROM room_${table}`);
    await repairRoomserver(
      rooms.db,
      rooms.core.stores,
      () => 1,
      () => undefined,
    );
    expect(dump()).toEqual(before);
  });
});
