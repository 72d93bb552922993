/** What is made of received events: redactions, who may see them, states that are large to resolve. */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { alice, bob, carol, useReceivedRooms } from '../support/receive-scene.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { openTestRooms, roomIdOf, user } from '../support/room-core.ts';

const scene = useReceivedRooms();

describe('INVARIANTS 20: redactions', () => {
  test.each(['1', '2', '3', '10', '11', '12'])('apply in both orders of arrival in version %s', async (version) => {
    const room = SignedRoom.open(version, bob);
    room.join(carol);
    const target = room.message(carol, 'secret');
    const fork = room.events.at(-2)?.eventId ?? '';
    const redaction = room.say({ type: 'm.room.redaction', sender: bob, redacts: target.eventId, prev: [fork] });
    const others = room.events.filter((event) => event !== target && event !== redaction);
    const content = () =>
      scene.rooms.read(
        (snapshot) =>
          scene.rooms.core.roomEvent(snapshot, scene.rooms.core.stores.events.nidOf(snapshot, target.eventId)).content,
      );
    await scene.receive(room, [...others, redaction, target]);
    expect(content()).toEqual({});
    expect(scene.verify()).toEqual([]);
    const again = openTestRooms('two.example');
    await again.core.input(roomIdOf(room.roomId), [...others, target, redaction], 'live');
    expect(again.topics().at(-1)).toBe('event.redacted');
    expect([...verifyRoomserver(again.db, 'two.example' as ServerName)]).toEqual([]);
    await again[Symbol.asyncDispose]();
  });

  test('a redaction by who may not has no effect from version 3 on, and is rejected before', async () => {
    for (const version of ['2', '3']) {
      const room = SignedRoom.open(version, bob);
      room.join(carol);
      const target = room.message(bob, 'keep');
      const redaction = room.say({ type: 'm.room.redaction', sender: carol, redacts: target.eventId });
      const verdicts = await scene.receive(room, room.events);
      expect(verdicts.get(redaction.eventId)?.kind).toBe(version === '2' ? 'rejected' : 'accepted');
      scene.rooms.read((snapshot) =>
        expect(scene.rooms.core.eventById(snapshot, target.eventId)).toMatchObject({ redactedBy: 0 }),
      );
    }
    expect(scene.verify()).toEqual([]);
  });
});

describe('INVARIANTS 17: who may see what', () => {
  const seen = (who: string, events: readonly RoomEvent[]): string[] =>
    scene.rooms.read((snapshot) => {
      const stored = events.flatMap(({ eventId }) => scene.rooms.core.eventById(snapshot, eventId) ?? []);
      return scene.rooms.core.visibleTo(snapshot, user(who), stored).map(({ eventId }) => eventId);
    });
  const visibility = (room: SignedRoom, value: string): RoomEvent =>
    room.say({ type: 'm.room.history_visibility', sender: bob, stateKey: '', content: { history_visibility: value } });

  test.each([
    ['world_readable', { never: true, invited: true, joined: true }],
    ['shared', { never: false, invited: true, joined: true }],
    ['invited', { never: false, invited: true, joined: true }],
    ['joined', { never: false, invited: false, joined: true }],
  ] as const)('%s history', async (value, expected) => {
    const room = SignedRoom.open('11', bob);
    visibility(room, value);
    const before = room.message(bob, 'before the invite');
    room.say({ type: 'm.room.member', sender: bob, stateKey: alice, content: { membership: 'invite' } });
    const invited = room.message(bob, 'while invited');
    room.join(alice);
    const joined = room.message(bob, 'while joined');
    const leave = room.say({ type: 'm.room.member', sender: alice, stateKey: alice, content: { membership: 'leave' } });
    const after = room.message(bob, 'after the leave');
    await scene.receive(room, room.events);
    const ids = seen(alice, [before, invited, joined, leave, after]);
    expect(ids.includes(before.eventId)).toBe(value === 'world_readable' || value === 'shared');
    expect(ids.includes(invited.eventId)).toBe(expected.invited);
    expect(ids.includes(joined.eventId)).toBe(expected.joined);
    expect(ids.includes(leave.eventId)).toBe(true);
    expect(ids.includes(after.eventId)).toBe(value === 'world_readable');
    expect(seen('@stranger:one.example', [before])).toHaveLength(expected.never ? 1 : 0);
  });
});

describe('a state resolution too large for a transaction', () => {
  test('is prepared between two of them, for the state before an event and for the current state', async () => {
    await using small = openTestRooms('one.example', undefined, 3);
    const room = SignedRoom.open('11', bob);
    for (const who of [alice, carol]) room.join(who);
    const fork = room.events.at(-1)?.eventId ?? '';
    const heads = [0, 1].map((side) => {
      let prev = [fork];
      for (const type of ['m.room.name', 'm.room.topic', 'm.room.avatar']) {
        prev = [room.say({ type, sender: bob, stateKey: '', content: { side }, prev, ts: 10 + side }).eventId];
      }
      return prev[0] ?? '';
    });
    room.message(bob, 'merge', heads);
    const verdicts = await small.core.input(roomIdOf(room.roomId), room.events, 'live');
    expect(new Set([...verdicts.values()].map(({ kind }) => kind))).toEqual(new Set(['accepted']));
    expect([...verifyRoomserver(small.db, 'one.example' as ServerName)]).toEqual([]);
    small.read((snapshot) => {
      const known = small.core.room(snapshot, room.roomId);
      const name = known && small.core.currentEvent(snapshot, known.nid, 'm.room.name', '');
      expect(name?.eventId).toBe(room.ids(room.currentState())['m.room.name|']);
    });
  });
});
