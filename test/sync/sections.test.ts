import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { bodies, keysOf, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => server[Symbol.asyncDispose]());

const fullStateKeys = (who: string): string[] =>
  ['m.room.create|', 'm.room.join_rules|', `m.room.member|${alice}`, 'm.room.power_levels|'].concat(
    who === alice ? [] : [`m.room.member|${who}`],
  );

describe('joining', () => {
  test('newly joined rooms carry full state', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.state(room, alice, 'x', { old: true });
    for (let index = 0; index < 12; index += 1) await server.say(room, alice, `${index}`);
    const { next_batch: since } = await server.sync(bob);
    await server.rooms.join(room, bob);
    const joined = (await server.sync(bob, { since })).rooms?.join?.[room.roomId];
    expect(keysOf(joined?.state)).toEqual([...fullStateKeys(alice), 'x|'].sort());
    expect(joined?.timeline.events.at(-1)).toMatchObject({ type: 'm.room.member', state_key: bob });
    expect(joined?.summary).toEqual({ 'm.heroes': [alice], 'm.joined_member_count': 2, 'm.invited_member_count': 0 });
  });

  test('who left and came back between two syncs gets the room anew', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, bob, bob, 'leave');
    await server.state(room, alice, 'm.room.topic', { topic: 'meanwhile' });
    await server.rooms.join(room, bob);
    const filter = { room: { timeline: { limit: 1 } } };
    const { rooms } = await server.sync(bob, { since, filter });
    expect(Object.keys(rooms ?? {})).toEqual(['join']);
    expect(keysOf(rooms?.join?.[room.roomId]?.state)).toEqual([...fullStateKeys(bob), 'm.room.topic|'].sort());
  });

  test('a duplicate join is a no-op', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    const { next_batch: since } = await server.sync(bob);
    await server.rooms.join(room, bob);
    expect((await server.sync(bob, { since })).rooms).toBeUndefined();
    await server.member(room, bob, bob, 'join', { displayname: 'Bob' });
    const joined = (await server.sync(bob, { since })).rooms?.join?.[room.roomId];
    expect(joined?.timeline.events).toHaveLength(1);
    expect(joined?.timeline.limited).toBe(false);
    expect(joined?.state?.events).toEqual([]);
  });

  test('full_state returns all state, while the timeline stays behind since', async () => {
    const room = await server.rooms.openRoom(alice);
    const quiet = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    await server.say(room, alice, 'new');
    const { rooms } = await server.sync(alice, { since, fullState: true, timeout: 30_000 });
    expect(bodies(rooms?.join?.[room.roomId])).toEqual(['new']);
    expect(keysOf(rooms?.join?.[room.roomId]?.state)).toEqual(fullStateKeys(alice));
    expect(bodies(rooms?.join?.[quiet.roomId])).toEqual([]);
    expect(keysOf(rooms?.join?.[quiet.roomId]?.state)).toEqual(fullStateKeys(alice));
  });
});

describe('invites and knocks', () => {
  test('an invite comes with invite_state: name, join rules, encryption, the inviter and the invite itself', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.state(room, alice, 'm.room.name', { name: 'Tea' });
    await server.state(room, alice, 'secret', { not: 'for guests' });
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, alice, bob, 'invite');
    const { rooms, next_batch: next } = await server.sync(bob, { since });
    expect(Object.keys(rooms ?? {})).toEqual(['invite']);
    const stripped = rooms?.invite?.[room.roomId]?.invite_state;
    expect(keysOf(stripped)).toEqual([
      'm.room.create|',
      'm.room.join_rules|',
      `m.room.member|${alice}`,
      `m.room.member|${bob}`,
      'm.room.name|',
    ]);
    expect((await server.sync(bob, { since: next })).rooms).toBeUndefined();
    expect((await server.sync(bob)).rooms?.invite).toHaveProperty([room.roomId]);
  });

  test('what is said in the room is not for who is only invited', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.member(room, alice, bob, 'invite');
    const { next_batch: since } = await server.sync(bob);
    await server.say(room, alice, 'behind closed doors');
    expect((await server.sync(bob, { since })).rooms).toBeUndefined();
  });

  test('a rejected invite appears in leave, with the own leave event', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    await server.member(room, alice, bob, 'invite');
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, bob, bob, 'leave');
    const left = (await server.sync(bob, { since })).rooms?.leave?.[room.roomId];
    expect(left?.timeline.events.map(({ content }) => content['membership'])).toEqual(['leave']);
    expect(left?.state?.events).toEqual([]);
  });

  test('a knock comes with knock_state', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.state(room, alice, 'm.room.join_rules', { join_rule: 'knock' });
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, bob, bob, 'knock');
    const { rooms } = await server.sync(bob, { since });
    expect(keysOf(rooms?.knock?.[room.roomId]?.knock_state)).toContain(`m.room.member|${bob}`);
  });

  test('out-of-band invites and their retraction are told without touching room state', async () => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(bob);
    const stripped = JSON.stringify([
      { type: 'm.room.member', state_key: bob, sender: alice, content: { membership: 'invite' } },
    ]);
    await server.write((tx) => server.rooms.core.setOutOfBandMembership(tx, room, bob as never, 'invite', 0, stripped));
    const invited = await server.sync(bob, { since });
    expect(keysOf(invited.rooms?.invite?.[room.roomId]?.invite_state)).toEqual([`m.room.member|${bob}`]);
    await server.write((tx) => server.rooms.core.setOutOfBandMembership(tx, room, bob as never, 'leave', 0));
    const { rooms } = await server.sync(bob, { since: invited.next_batch });
    expect(rooms?.leave?.[room.roomId]?.timeline.events).toEqual([]);
    expect(server.rooms.read((db) => server.rooms.core.membership(db, room.nid, bob as never))).toBeUndefined();
  });
});

describe('leaving', () => {
  test("a left room's timeline and state end at the leave", async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    const { next_batch: since } = await server.sync(bob);
    await server.say(room, alice, 'before');
    await server.member(room, bob, bob, 'leave');
    await server.say(room, alice, 'after');
    await server.state(room, alice, 'm.room.topic', { topic: 'after' });
    const filter = { room: { include_leave: true } };
    for (const options of [{ since }, { since, stateAfter: 'state_after' as const }, { filter }]) {
      const { rooms } = await server.sync(bob, options);
      const left = rooms?.leave?.[room.roomId];
      expect(bodies(left).slice(-2)).toEqual(['before', 'm.room.member']);
      expect(keysOf(left?.state ?? left?.state_after)).not.toContain('m.room.topic|');
      expect(rooms).not.toHaveProperty('join');
    }
  });

  test('a room left before is in no sync but an initial one with include_leave', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    await server.member(room, bob, bob, 'leave');
    const { next_batch: since, rooms } = await server.sync(bob);
    expect(rooms).toBeUndefined();
    await server.say(room, alice, 'gone on');
    const filter = { room: { include_leave: true } };
    expect((await server.sync(bob, { since, filter })).rooms).toBeUndefined();
    expect((await server.sync(bob, { filter })).rooms?.leave).toHaveProperty([room.roomId]);
    expect((await server.sync(bob, { since, filter, fullState: true })).rooms?.leave).toHaveProperty([room.roomId]);
  });

  test('who was kicked and then banned sees both, and nothing that was said between', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, alice, bob, 'leave');
    await server.say(room, alice, 'between');
    await server.state(room, alice, 'm.room.topic', { topic: 'between' });
    await server.member(room, alice, bob, 'ban');
    for (const stateAfter of [undefined, 'state_after'] as const) {
      const left = (await server.sync(bob, { since, stateAfter })).rooms?.leave?.[room.roomId];
      expect(left?.timeline.events.map(({ content }) => content['membership'])).toEqual(['leave', 'ban']);
      expect(keysOf(left?.state ?? left?.state_after)).not.toContain('m.room.topic|');
    }
  });

  test('a forgotten room is in no sync, include_leave included, until the user is there again', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    await server.member(room, bob, bob, 'leave');
    await server.write((tx) => server.rooms.core.forget(tx, room, bob as never));
    const filter = { room: { include_leave: true } };
    const { rooms, next_batch: since } = await server.sync(bob, { filter });
    expect(rooms).toBeUndefined();
    await server.member(room, alice, bob, 'invite');
    expect((await server.sync(bob, { since, filter })).rooms?.invite).toHaveProperty([room.roomId]);
  });
});

describe('room summaries', () => {
  test('heroes are five, never the user himself, and go when the room is named', async () => {
    const room = await server.rooms.openRoom(alice);
    const others = [1, 2, 3, 4, 5, 6].map((index) => `@user${index}:one.example`);
    for (const other of others) await server.rooms.join(room, other);
    const first = await server.sync(alice);
    expect(first.rooms?.join?.[room.roomId]?.summary).toEqual({
      'm.heroes': others.slice(0, 5),
      'm.joined_member_count': 7,
      'm.invited_member_count': 0,
    });
    await server.say(room, alice, 'no change');
    const second = await server.sync(alice, { since: first.next_batch });
    expect(second.rooms?.join?.[room.roomId]?.summary).toEqual({});
    await server.state(room, alice, 'm.room.name', { name: 'Named' });
    await server.member(room, alice, bob, 'invite');
    const third = await server.sync(alice, { since: second.next_batch });
    expect(third.rooms?.join?.[room.roomId]?.summary).toEqual({
      'm.joined_member_count': 7,
      'm.invited_member_count': 1,
    });
  });

  test('with nobody else there the heroes are those who left', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    await server.member(room, bob, bob, 'leave');
    expect((await server.sync(alice)).rooms?.join?.[room.roomId]?.summary?.['m.heroes']).toEqual([bob]);
  });
});
