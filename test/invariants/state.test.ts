/** Invariants of state and graph that no test beside the module shows whole. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import { type RoomEvent, toRoomEvent } from '../../src/matrix/pdu.ts';
import { collectState, verifyRoomserver } from '../../src/roomserver/index.ts';
import { asPosition, sql } from '../../src/storage/index.ts';
import { fork } from '../support/fork.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { roomIdOf, user } from '../support/room-core.ts';
import { bodies, keysOf, openTestSync, type TestSync } from '../support/sync.ts';

const alice = user('@alice:one.example');
const bob = '@bob:two.example';
const carol = '@carol:three.example';

let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => {
  expect([...verifyRoomserver(server.rooms.db, 'one.example' as ServerName)]).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const receive = (room: SignedRoom, events: readonly RoomEvent[], kind: 'live' | 'outlier' = 'live') =>
  server.rooms.core.input(roomIdOf(room.roomId), events, kind);
const extremities = (room: SignedRoom): string[] =>
  server.rooms.read((db) => {
    const { core } = server.rooms;
    const nid = core.room(db, room.roomId)?.nid ?? (0 as never);
    return core.stores.graph.extremities(db, nid).map((event) => core.event(db, event)?.eventId as string);
  });

describe('INVARIANTS 3: two lanes a room', () => {
  test('sends at once go one by one: each stands on the one before', async () => {
    const room = await server.rooms.openRoom(alice);
    const sent = await Promise.all(Array.from({ length: 50 }, (_, index) => server.say(room, alice, `${index}`)));
    server.rooms.read((db) => {
      const { core } = server.rooms;
      for (const [index, id] of sent.entries()) {
        if (index === 0) continue;
        const event = core.roomEvent(db, core.eventById(db, id)?.nid as never);
        expect(event.prevEvents).toEqual([sent[index - 1]]);
      }
      expect(core.stores.graph.extremities(db, room.nid)).toHaveLength(1);
    });
  });

  test('who is banned in the same turn is judged by the state that he meets in the lane', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, '@dave:one.example');
    const outcomes = await Promise.allSettled([
      server.say(room, '@dave:one.example', 'before'),
      server.member(room, alice, '@dave:one.example', 'ban'),
      server.say(room, '@dave:one.example', 'after'),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
  });

  test('a resolution prepared outside the lane is made again when the room has moved meanwhile', async () => {
    const room = await server.rooms.openRoom(alice);
    const base = await server.say(room, alice, 'base');
    const topic = (text: string) => ({
      type: 'm.room.topic',
      stateKey: '',
      sender: alice as string,
      content: { topic: text },
    });
    // Both are under way at once: the fork is judged on what it meets when it is its turn.
    await Promise.all([
      fork(server.rooms, room, base, topic('fork')),
      server.state(room, alice, 'm.room.topic', { topic: 'live' }),
      fork(server.rooms, room, base, topic('other fork')),
      server.state(room, alice, 'm.room.name', { name: 'live' }),
    ]);
    server.rooms.read((db) =>
      expect(server.rooms.core.currentEvent(db, room.nid, 'm.room.name', '')?.client).toContain('live'),
    );
  });
});

describe('INVARIANTS 8: history of the current state', () => {
  test('a change without a timeline event brings the room into /sync, and a vanished member counts as left', async () => {
    const room = new SignedRoom('11', bob);
    room.join(bob);
    const users = { [bob]: 100, [carol]: 50 };
    room.say({ type: 'm.room.power_levels', sender: bob, stateKey: '', content: { users } });
    room.say({ type: 'm.room.join_rules', sender: bob, stateKey: '', content: { join_rule: 'public' } });
    room.join(carol);
    const closed = room.say({
      type: 'm.room.join_rules',
      sender: bob,
      stateKey: '',
      content: { join_rule: 'invite' },
    });
    // Carol opens the door and Alice comes in, while Bob bans Carol.
    room.say({ type: 'm.room.join_rules', sender: carol, stateKey: '', content: { join_rule: 'public' } });
    room.join(alice);
    await receive(room, room.events);
    const { next_batch: since } = await server.sync(alice);
    const ban = room.say({
      type: 'm.room.member',
      sender: bob,
      stateKey: carol,
      content: { membership: 'ban' },
      prev: [closed.eventId],
    });
    await receive(room, [ban]);
    server.rooms.read((db) => {
      const { core } = server.rooms;
      const nid = core.room(db, room.roomId)?.nid ?? (0 as never);
      expect(core.membership(db, nid, alice)).toBeUndefined();
      expect(core.localMemberships(db, alice)[0]).toMatchObject({ membership: 'leave', event: 0 });
      // S(p): as of the old token she was there, as of now she is not.
      const member = (position: number): number =>
        core.stateEvent(db, core.snapshotAt(db, nid, asPosition(position)), 'm.room.member', alice);
      expect(member(Number(since))).toBeGreaterThan(0);
      expect(member(Number.MAX_SAFE_INTEGER)).toBe(0);
    });
    const { rooms } = await server.sync(alice, { since });
    expect(Object.keys(rooms?.leave ?? {})).toEqual([room.roomId]);
    expect(rooms).not.toHaveProperty('join');
  });

  test('state_after is the difference of S(since) and S(next), rows of the history included that no timeline shows', async () => {
    const room = await server.rooms.openRoom(alice);
    const base = await server.say(room, alice, 'base');
    await server.state(room, alice, 'm.room.topic', { topic: 'one' });
    const { next_batch: since } = await server.sync(alice);
    // A fork from before the topic, with a later topic: whichever wins, S(p) says so.
    const content = { topic: 'two' };
    await fork(server.rooms, room, base, { type: 'm.room.topic', stateKey: '', sender: alice, content });
    const after = (await server.sync(alice, { since, stateAfter: 'state_after' })).rooms?.join?.[room.roomId];
    const [changed] = server.rooms.read((db) => {
      const { core } = server.rooms;
      const [from, to] = [core.snapshotAt(db, room.nid, asPosition(Number(since))), core.currentSnapshot(db, room.nid)];
      return core.stateDifference(db, from, to).map(({ to: event }) => core.event(db, event)?.eventId);
    });
    expect(after?.state_after?.events.map(({ event_id: id }) => id)).toEqual(changed === undefined ? [] : [changed]);
  });
});

describe('INVARIANTS 9: NID order', () => {
  test('auth events have lower numbers; what lacks one is forgotten and may come again', async () => {
    const room = SignedRoom.open('11', bob);
    const joined = room.join(carol);
    const said = room.message(carol, 'hello');
    await receive(room, room.events.slice(0, 4));
    expect((await receive(room, [said])).get(said.eventId)?.kind).toBe('dropped');
    const verdicts = await receive(room, [joined, said]);
    expect([...verdicts.values()].map(({ kind }) => kind)).toEqual(['accepted', 'accepted']);
    server.rooms.read((db) => {
      const { events } = server.rooms.core.stores;
      for (const { eventId } of room.events) {
        const nid = events.nidOf(db, eventId);
        expect(events.authNids(db, nid).every((cited) => cited < nid)).toBe(true);
      }
    });
  });

  test('events that cite each other, as versions 1 and 2 allow, are dropped all', async () => {
    const room = SignedRoom.open('1', bob);
    await receive(room, room.events);
    const [one, two] = [room.message(bob, 'one'), room.message(bob, 'two')];
    const citing = (event: RoomEvent, other: EventId): RoomEvent => {
      const pdu = { ...event.pdu, auth_events: [...(event.pdu.auth_events as never[]), [other, { sha256: 'x' }]] };
      return toRoomEvent(pdu as never, room.rules, event.eventId);
    };
    const verdicts = await receive(room, [citing(one, two.eventId), citing(two, one.eventId)]);
    expect([...verdicts.values()].map(({ kind }) => kind)).toEqual(['dropped', 'dropped']);
    server.rooms.read((db) => expect(server.rooms.core.eventById(db, one.eventId)).toBeUndefined());
  });
});

describe('INVARIANTS 10: state after, extremities', () => {
  test('a late event with an accepted child never becomes an extremity; rejected ones are passed through', async () => {
    const room = SignedRoom.open('11', bob);
    const base = room.events.at(-1)?.eventId ?? '';
    const rejected = room.say({ type: 'm.room.message', sender: carol, content: {}, prev: [base] });
    const child = room.message(bob, 'child', [rejected.eventId]);
    await receive(room, room.events);
    expect(extremities(room)).toEqual([child.eventId]);
    const side = room.message(bob, 'side', [base]);
    const over = room.message(bob, 'over', [side.eventId, child.eventId]);
    await receive(room, [side, over]);
    expect(extremities(room)).toEqual([over.eventId]);
  });

  test('a soft-failed event that becomes current state is sent in state, never in a timeline', async () => {
    const room = SignedRoom.open('11', bob, { events: { 'm.room.topic': 50 } });
    room.join(alice);
    room.join(carol);
    const give = room.say({
      type: 'm.room.power_levels',
      sender: bob,
      stateKey: '',
      content: { users: { [bob]: 100, [carol]: 50 } },
    });
    const take = room.say({
      type: 'm.room.power_levels',
      sender: bob,
      stateKey: '',
      content: { users: { [bob]: 100 } },
      prev: [give.eventId],
    });
    await receive(room, room.events);
    // Carol's topic stands on the state in which she had the power; the current state forbids it.
    const late = room.say({
      type: 'm.room.topic',
      sender: carol,
      stateKey: '',
      content: { topic: 'late' },
      prev: [give.eventId],
    });
    expect((await receive(room, [late])).get(late.eventId)?.kind).toBe('soft-failed');
    expect(extremities(room)).toEqual([take.eventId]);
    const { next_batch: since } = await server.sync(alice);
    // Somebody who had not soft-failed it builds on both.
    const merge = room.message(bob, 'merge', [take.eventId, late.eventId]);
    expect((await receive(room, [merge])).get(merge.eventId)?.kind).toBe('accepted');
    const current = server.rooms.read((db) => {
      const nid = server.rooms.core.room(db, room.roomId)?.nid ?? (0 as never);
      return server.rooms.core.currentEvent(db, nid, 'm.room.topic', '')?.eventId;
    });
    expect(current === undefined || current === late.eventId).toBe(true);
    const joined = (await server.sync(alice, { since })).rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['merge']);
    expect(keysOf(joined?.state)).toEqual(current === undefined ? [] : ['m.room.topic|']);
  });
});

describe('INVARIANTS 14: garbage', () => {
  test('what an event, a row of the history or the current state names is never collected', async () => {
    const room = await server.rooms.openRoom(alice);
    for (let index = 0; index < 60; index += 1) await server.state(room, alice, 'x', { index }, `${index % 20}`);
    const { db, core } = server.rooms;
    const count = sql<[], { n: number }>('SELECT count(*) AS n FROM room_snapshots');
    const before = db.read((snapshot) => snapshot.get(count)?.n);
    for (const minutes of [0, 11, 22, 33]) await collectState(db, core.stores, minutes * 60_000);
    expect(db.read((snapshot) => snapshot.get(count)?.n)).toBe(before);
    // The state as of every Position is still there.
    db.read((snapshot) => {
      for (let position = 1; position <= db.head; position += 1) {
        core.stateEntries(snapshot, core.snapshotAt(snapshot, room.nid, asPosition(position)));
      }
    });
  });
});
