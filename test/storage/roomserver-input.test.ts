/** Receiving events of rooms that were made elsewhere. */
import { describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import { alice, bob, carol, kinds, useReceivedRooms } from '../support/receive-scene.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { user } from '../support/room-core.ts';

const scene = useReceivedRooms();

describe('receiving events', () => {
  test('a room made elsewhere is taken in event by event', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(alice);
    room.message(bob, 'hello');
    expect(new Set(await kinds(scene.receive(room, room.events)))).toEqual(new Set(['accepted']));
    expect(scene.timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(scene.current(room)).toEqual(room.ids(room.currentState()));
    expect(scene.verify()).toEqual([]);
    expect(scene.rooms.topics().filter((topic) => topic === 'room.event')).toHaveLength(6);
    scene.rooms.read((snapshot) =>
      expect(scene.rooms.core.localMemberships(snapshot, user(alice))[0]).toMatchObject({
        membership: 'join',
        outOfBand: false,
      }),
    );
  });

  test('a known event has the verdict that it got', async () => {
    const room = SignedRoom.open('11', bob);
    const bad = room.message(carol, 'not joined');
    const first = await scene.receive(room, room.events);
    expect(first.get(bad.eventId)).toMatchObject({ kind: 'rejected', reason: 'the sender is not joined' });
    expect(await scene.receive(room, room.events)).toEqual(first);
    expect(scene.verify()).toEqual([]);
  });

  test('INVARIANTS 10: a child of a rejected event stands on the state before that one', async () => {
    const room = SignedRoom.open('11', bob);
    const rejected = room.say({ type: 'm.room.name', sender: carol, stateKey: '', content: { name: 'x' } });
    const child = room.message(bob, 'child', [rejected.eventId]);
    expect((await scene.receive(room, room.events)).get(child.eventId)?.kind).toBe('accepted');
    expect(scene.current(room)).not.toHaveProperty('m.room.name|');
    expect(scene.timeline(room)).not.toContain(rejected.eventId);
    expect(scene.verify()).toEqual([]);
  });

  test('INVARIANTS 10: a late event that the current state forbids is soft-failed: in no timeline, no extremity, but state for what follows', async () => {
    const room = SignedRoom.open('11', bob);
    const joined = room.join(carol);
    const ban = room.say({ type: 'm.room.member', sender: bob, stateKey: carol, content: { membership: 'ban' } });
    await scene.receive(room, room.events);
    const late = room.make({
      type: 'm.room.message',
      sender: carol,
      content: { body: 'late' },
      prev: [joined.eventId],
    });
    const verdict = (await scene.receive(room, [late])).get(late.eventId);
    expect(verdict?.kind).toBe('soft-failed');
    expect(scene.timeline(room)).not.toContain(late.eventId);
    room.receive(late);
    const child = room.message(bob, 'child', [ban.eventId, late.eventId]);
    expect((await scene.receive(room, [child])).get(child.eventId)?.kind).toBe('accepted');
    expect(scene.verify()).toEqual([]);
  });

  test('INVARIANTS 9: what cannot be judged is not stored', async () => {
    const room = SignedRoom.open('11', bob);
    const lost = room.message(bob, 'lost');
    const child = room.message(bob, 'child');
    const joined = room.join(carol, [child.eventId]);
    const said = room.message(carol, 'x', [lost.eventId]);
    await scene.receive(room, room.events.slice(0, 4));
    expect((await scene.receive(room, [child])).get(child.eventId)).toMatchObject({ kind: 'dropped' });
    expect((await scene.receive(room, [said])).get(said.eventId)).toMatchObject({ kind: 'dropped' });
    expect((await scene.receive(room, [joined])).get(joined.eventId)).toMatchObject({ kind: 'dropped' });
    expect(scene.verify()).toEqual([]);
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
    await scene.receive(room, room.events);
    expect(scene.current(room)).toMatchObject({ 'm.room.name|': left.eventId, 'm.room.topic|': right.eventId });
    const merge = room.message(bob, 'merge');
    expect(merge.prevEvents).toHaveLength(2);
    await scene.receive(room, [merge]);
    expect(scene.verify()).toEqual([]);
    expect(scene.current(room)).toEqual(room.ids(room.currentState()));
  });

  test('INVARIANTS 11: outliers have no place and no state until they come with their prev events', async () => {
    const room = SignedRoom.open('12', bob);
    const joined = room.join(alice);
    const said = room.message(alice, 'x');
    expect(new Set(await kinds(scene.receive(room, room.events.slice(0, 5), 'outlier')))).toEqual(
      new Set(['accepted']),
    );
    expect(scene.timeline(room)).toEqual([]);
    expect(scene.current(room)).toEqual({});
    expect(scene.verify()).toEqual([]);
    await scene.receive(room, room.events);
    expect(scene.timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    scene.rooms.read((snapshot) => expect(scene.rooms.core.eventById(snapshot, joined.eventId)?.outlier).toBe(false));
    expect(scene.current(room)).toEqual(room.ids(room.currentState()));
    expect(said.prevEvents).toEqual([joined.eventId]);
    expect(scene.verify()).toEqual([]);
  });

  test('INVARIANTS 13: a join through another server brings its state; the gap behind it is filled in order and says so', async () => {
    const room = SignedRoom.open('11', bob);
    const lost = [room.message(bob, '1'), room.message(bob, '2'), room.message(bob, '3')];
    const joined = room.join(alice);
    const stateEvents = room.events.slice(0, 4);
    await scene.receive(room, stateEvents, 'outlier');
    const stateBefore = new Map([[joined.eventId, stateEvents.map(({ eventId }) => eventId)]]);
    await scene.receive(room, [joined], 'live', { stateBefore, replacesRoom: joined.eventId });
    const after = room.message(bob, 'after');
    await scene.receive(room, [after]);
    expect(scene.timeline(room)).toEqual([joined.eventId, after.eventId]);
    expect(scene.verify()).toEqual([]);
    scene.rooms.read((snapshot) => {
      const stored = (id: EventId) => scene.rooms.core.eventById(snapshot, id);
      const [one, two] = [stored(joined.eventId), stored(after.eventId)];
      expect(one && scene.rooms.core.isBehindGap(snapshot, one)).toBe(true);
      expect(two && scene.rooms.core.isBehindGap(snapshot, two)).toBe(false);
    });
    const before = scene.current(room);
    const topics = scene.rooms.topics().length;
    await scene.receive(room, [...stateEvents, ...lost], 'backfilled');
    expect(scene.timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(scene.current(room)).toEqual(before);
    expect(new Set(scene.rooms.topics().slice(topics))).toEqual(new Set(['room.backfilled']));
    expect(scene.verify()).toEqual([]);
  });

  test('INVARIANTS 12: a filled gap takes the extremity behind it away', async () => {
    const room = SignedRoom.open('11', bob);
    room.join(alice);
    const lost = room.message(bob, 'lost');
    const seen = room.message(bob, 'seen');
    await scene.receive(room, room.events.slice(0, 5));
    const state = room.events.slice(0, 5).map(({ eventId }) => eventId);
    await scene.receive(room, [seen], 'live', { stateBefore: new Map([[seen.eventId, state]]) });
    expect(scene.verify()).toEqual([]);
    const before = scene.rooms.read((snapshot) => scene.rooms.core.stores.graph.extremities(snapshot, 1 as never));
    await scene.receive(room, [lost], 'backfilled');
    expect(
      scene.rooms.read((snapshot) => scene.rooms.core.stores.graph.extremities(snapshot, 1 as never)),
    ).toHaveLength(before.length - 1);
    expect(scene.timeline(room)).toEqual(room.events.map(({ eventId }) => eventId));
    expect(scene.verify()).toEqual([]);
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
    await scene.receive(room, room.events.slice(0, 5));
    expect((await scene.receive(room, [renamed], 'outlier')).get(renamed.eventId)?.kind).toBe('accepted');
    room.receive(renamed);
    const said = room.make({
      type: 'm.room.message',
      sender: carol,
      content: { body: 'x' },
      prev: [before],
      auth: [...authOf.filter((id) => id !== before), renamed.eventId],
    });
    expect((await scene.receive(room, [said])).get(said.eventId)?.kind).toBe('accepted');
    expect(scene.timeline(room)).toContain(said.eventId);
    await scene.receive(room, [ban, renamed]);
    expect((await scene.receive(room, [renamed])).get(renamed.eventId)?.kind).toBe('rejected');
    expect((await scene.receive(room, [said])).get(said.eventId)?.kind).toBe('rejected');
    expect(scene.timeline(room)).not.toContain(said.eventId);
    expect(scene.verify()).toEqual([]);
  });
});
