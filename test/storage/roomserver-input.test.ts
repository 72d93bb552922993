import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { type InputKind, type InputOptions, verifyRoomserver } from '../../src/roomserver/index.ts';
import { asPosition } from '../../src/storage/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { type TestRooms, openTestRooms, roomIdOf, user } from '../support/room-core.ts';

const alice = '@alice:one.example';
const bob = '@bob:two.example';
const carol = '@carol:three.example';
const end = asPosition(Number.MAX_SAFE_INTEGER);
const start = asPosition(0);

let rooms: TestRooms;
beforeEach(() => {
  rooms = openTestRooms();
});
afterEach(async () => {
  await rooms[Symbol.asyncDispose]();
});

const receive = (room: SignedRoom, events: readonly RoomEvent[], kind: InputKind = 'live', options?: InputOptions) =>
  rooms.core.input(roomIdOf(room.roomId), events, kind, options);
const verify = (): string[] => [...verifyRoomserver(rooms.db, 'one.example' as ServerName)];

/** Current state as `type|key` → event id. */
function current(room: SignedRoom): Record<string, string> {
  return rooms.read((snapshot) => {
    const { nid } = rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
    const entries = rooms.core
      .currentState(snapshot, nid)
      .map(
        ({ type, stateKey, event }) =>
          [`${type}|${stateKey}`, rooms.core.event(snapshot, event)?.eventId ?? ''] as const,
      );
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
function timeline(room: SignedRoom): string[] {
  return rooms.read((snapshot) => {
    const { nid } = rooms.core.room(snapshot, room.roomId) ?? { nid: 0 as never };
    return rooms.core.timelineForward(snapshot, nid, start, end, 1000).map(({ eventId }) => eventId);
  });
}
const kinds = async (verdicts: ReturnType<typeof receive>): Promise<string[]> =>
  [...(await verdicts).values()].map(({ kind }) => kind);

describe('receiving events', () => {
  test('a room made elsewhere is taken in event by event', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(alice);
    room.message(bob, 'hello');
    expect(new Set(await kinds(receive(room, room.events)))).toEqual(new Set(['accepted']));
    expect(timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(current(room)).toEqual(room.ids(room.currentState()));
    expect(verify()).toEqual([]);
    expect(rooms.topics().filter((topic) => topic === 'room.event')).toHaveLength(6);
    rooms.read((snapshot) =>
      expect(rooms.core.localMemberships(snapshot, user(alice))[0]).toMatchObject({
        membership: 'join',
        outOfBand: false,
      }),
    );
  });

  test('a known event has the verdict that it got', async () => {
    const room = SignedRoom.open('11', bob);
    const bad = room.message(carol, 'not joined');
    const first = await receive(room, room.events);
    expect(first.get(bad.eventId)).toMatchObject({ kind: 'rejected', reason: 'the sender is not joined' });
    expect(await receive(room, room.events)).toEqual(first);
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 10: a child of a rejected event stands on the state before that one', async () => {
    const room = SignedRoom.open('11', bob);
    const rejected = room.say({ type: 'm.room.name', sender: carol, stateKey: '', content: { name: 'x' } });
    const child = room.message(bob, 'child', [rejected.eventId]);
    expect((await receive(room, room.events)).get(child.eventId)?.kind).toBe('accepted');
    expect(current(room)).not.toHaveProperty('m.room.name|');
    expect(timeline(room)).not.toContain(rejected.eventId);
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 10: a late event that the current state forbids is soft-failed: in no timeline, no extremity, but state for what follows', async () => {
    const room = SignedRoom.open('11', bob);
    const joined = room.join(carol);
    const ban = room.say({ type: 'm.room.member', sender: bob, stateKey: carol, content: { membership: 'ban' } });
    await receive(room, room.events);
    const late = room.make({
      type: 'm.room.message',
      sender: carol,
      content: { body: 'late' },
      prev: [joined.eventId],
    });
    const verdict = (await receive(room, [late])).get(late.eventId);
    expect(verdict?.kind).toBe('soft-failed');
    expect(timeline(room)).not.toContain(late.eventId);
    room.receive(late);
    const child = room.message(bob, 'child', [ban.eventId, late.eventId]);
    expect((await receive(room, [child])).get(child.eventId)?.kind).toBe('accepted');
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 9: what cannot be judged is not stored', async () => {
    const room = SignedRoom.open('11', bob);
    const lost = room.message(bob, 'lost');
    const child = room.message(bob, 'child');
    const joined = room.join(carol, [child.eventId]);
    const said = room.message(carol, 'x', [lost.eventId]);
    await receive(room, room.events.slice(0, 4));
    expect((await receive(room, [child])).get(child.eventId)).toMatchObject({ kind: 'dropped' });
    expect((await receive(room, [said])).get(said.eventId)).toMatchObject({ kind: 'dropped' });
    expect((await receive(room, [joined])).get(joined.eventId)).toMatchObject({ kind: 'dropped' });
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 8: two branches meet: extremities, state and a room.state entry where no timeline event brings the change', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(carol);
    const fork = room.message(bob, 'fork');
    const left = room.say({
      type: 'm.room.name',
      sender: bob,
      stateKey: '',
      content: { name: 'left' },
      prev: [fork.eventId],
    });
    const right = room.say({
      type: 'm.room.topic',
      sender: bob,
      stateKey: '',
      content: { topic: 'right' },
      prev: [fork.eventId],
    });
    await receive(room, room.events);
    expect(current(room)).toMatchObject({ 'm.room.name|': left.eventId, 'm.room.topic|': right.eventId });
    const merge = room.message(bob, 'merge');
    expect(merge.prevEvents).toHaveLength(2);
    await receive(room, [merge]);
    expect(verify()).toEqual([]);
    expect(current(room)).toEqual(room.ids(room.currentState()));
  });

  test('INVARIANTS 11: outliers have no place and no state until they come with their prev events', async () => {
    const room = SignedRoom.open('12', bob);
    const joined = room.join(alice);
    const said = room.message(alice, 'x');
    expect(new Set(await kinds(receive(room, room.events.slice(0, 5), 'outlier')))).toEqual(new Set(['accepted']));
    expect(timeline(room)).toEqual([]);
    expect(current(room)).toEqual({});
    expect(verify()).toEqual([]);
    await receive(room, room.events);
    expect(timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    rooms.read((snapshot) => expect(rooms.core.eventById(snapshot, joined.eventId)?.outlier).toBe(false));
    expect(current(room)).toEqual(room.ids(room.currentState()));
    expect(said.prevEvents).toEqual([joined.eventId]);
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 13: a join through another server brings its state; the gap behind it is filled in order and says so', async () => {
    const room = SignedRoom.open('11', bob);
    const lost = [room.message(bob, '1'), room.message(bob, '2'), room.message(bob, '3')];
    const joined = room.join(alice);
    const stateEvents = room.events.slice(0, 4);
    await receive(room, stateEvents, 'outlier');
    const stateBefore = new Map([[joined.eventId, stateEvents.map(({ eventId }) => eventId)]]);
    await receive(room, [joined], 'live', { stateBefore, replacesRoom: joined.eventId });
    const after = room.message(bob, 'after');
    await receive(room, [after]);
    expect(timeline(room)).toEqual([joined.eventId, after.eventId]);
    expect(verify()).toEqual([]);
    rooms.read((snapshot) => {
      const stored = (id: EventId) => rooms.core.eventById(snapshot, id);
      const [one, two] = [stored(joined.eventId), stored(after.eventId)];
      expect(one && rooms.core.isBehindGap(snapshot, one)).toBe(true);
      expect(two && rooms.core.isBehindGap(snapshot, two)).toBe(false);
    });
    const before = current(room);
    const topics = rooms.topics().length;
    await receive(room, [...stateEvents, ...lost], 'backfilled');
    expect(timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(current(room)).toEqual(before);
    expect(new Set(rooms.topics().slice(topics))).toEqual(new Set(['room.backfilled']));
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 12: a filled gap takes the extremity behind it away', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(alice);
    const lost = room.message(bob, 'lost');
    const seen = room.message(bob, 'seen');
    await receive(room, room.events.slice(0, 5));
    const state = room.events.slice(0, 5).map(({ eventId }) => eventId);
    await receive(room, [seen], 'live', { stateBefore: new Map([[seen.eventId, state]]) });
    expect(verify()).toEqual([]);
    const before = rooms.read((snapshot) => rooms.core.stores.rooms.extremities(snapshot, 1 as never));
    await receive(room, [lost], 'backfilled');
    expect(rooms.read((snapshot) => rooms.core.stores.rooms.extremities(snapshot, 1 as never))).toHaveLength(
      before.length - 1,
    );
    expect(timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(verify()).toEqual([]);
  });

  test('INVARIANTS 11: an outlier that turns out rejected takes along what cites it', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(carol);
    const before = room.events.at(-1)?.eventId ?? '';
    const ban = room.say({ type: 'm.room.member', sender: bob, stateKey: carol, content: { membership: 'ban' } });
    // It passes by its auth events, which are from before the ban, and fails by the state before it.
    const authOf = room.make({
      type: 'm.room.name',
      sender: carol,
      stateKey: '',
      content: {},
      prev: [before],
    }).authEvents;
    const renamed = room.make({
      type: 'm.room.member',
      sender: carol,
      stateKey: carol,
      content: { membership: 'join', displayname: 'C' },
      prev: [ban.eventId],
      auth: [...authOf, ...room.events.slice(3, 4).map(({ eventId }) => eventId)],
    });
    await receive(room, room.events.slice(0, 5));
    expect((await receive(room, [renamed], 'outlier')).get(renamed.eventId)?.kind).toBe('accepted');
    room.receive(renamed);
    const said = room.make({
      type: 'm.room.message',
      sender: carol,
      content: { body: 'x' },
      prev: [before],
      auth: [...authOf.filter((id) => id !== before), renamed.eventId],
    });
    expect((await receive(room, [said])).get(said.eventId)?.kind).toBe('accepted');
    expect(timeline(room)).toContain(said.eventId);
    await receive(room, [ban, renamed]);
    expect((await receive(room, [renamed])).get(renamed.eventId)?.kind).toBe('rejected');
    expect((await receive(room, [said])).get(said.eventId)?.kind).toBe('rejected');
    expect(timeline(room)).not.toContain(said.eventId);
    expect(verify()).toEqual([]);
  });
});

describe('INVARIANTS 20: redactions', () => {
  test.each(['1', '2', '3', '10', '11', '12'])('apply in both orders of arrival in version %s', async (version) => {
    const room = SignedRoom.open(version, bob);
    room.join(carol);
    const target = room.message(carol, 'secret');
    const fork = room.events.at(-2)?.eventId ?? '';
    const redaction = room.say({ type: 'm.room.redaction', sender: bob, redacts: target.eventId, prev: [fork] });
    const others = room.events.filter((event) => event !== target && event !== redaction);
    const content = () =>
      rooms.read(
        (snapshot) => rooms.core.roomEvent(snapshot, rooms.core.stores.events.nidOf(snapshot, target.eventId)).content,
      );
    await receive(room, [...others, redaction, target]);
    expect(content()).toEqual({});
    expect(verify()).toEqual([]);
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
      const verdicts = await receive(room, room.events);
      expect(verdicts.get(redaction.eventId)?.kind).toBe(version === '2' ? 'rejected' : 'accepted');
      rooms.read((snapshot) => expect(rooms.core.eventById(snapshot, target.eventId)).toMatchObject({ redactedBy: 0 }));
    }
    expect(verify()).toEqual([]);
  });
});

describe('INVARIANTS 17: who may see what', () => {
  const seen = (who: string, events: readonly RoomEvent[]): string[] =>
    rooms.read((snapshot) => {
      const stored = events.flatMap(({ eventId }) => rooms.core.eventById(snapshot, eventId) ?? []);
      return rooms.core.visibleTo(snapshot, user(who), stored).map(({ eventId }) => eventId);
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
    await receive(room, room.events);
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
