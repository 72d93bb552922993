import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import { type ClientEvent, type TestReads, openTestReads } from '../support/room-reads.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const carol = '@carol:one.example';

let reads: TestReads;
let room: Room;
let sent: StoredEvent[];
beforeEach(async () => {
  reads = openTestReads();
  room = await reads.openRoom(alice);
  await reads.join(room, bob);
  await reads.join(room, carol);
  sent = [];
  for (let index = 0; index < 9; index++) sent.push(await reads.say(room, index === 4 ? bob : alice, `${index}`));
});
afterEach(async () => {
  await reads[Symbol.asyncDispose]();
});

const at = (index: number): StoredEvent => {
  const event = sent[index];
  if (event === undefined) throw new Error('no such message');
  return event;
};
const bodies = (events: readonly ClientEvent[]): unknown[] => events.map(({ content }) => content.body);
const membersIn = (events: readonly ClientEvent[]): unknown[] =>
  events.filter(({ type }) => type === 'm.room.member').map(({ state_key: key }) => key);

describe('the context of an event', () => {
  test('is half the limit before it and half after it, and tokens go on from there', async () => {
    const context = await reads.context(room, bob, at(4), { limit: 4 });
    expect(bodies(context.events_before)).toEqual(['3', '2']);
    expect(context.event.event_id).toBe(at(4).eventId);
    expect(bodies(context.events_after)).toEqual(['5', '6']);
    const older = await reads.messages(room, bob, { from: context.start, limit: 2 });
    expect(bodies(older.chunk)).toEqual(['1', '0']);
    const newer = await reads.messages(room, bob, { from: context.end, direction: 'f' });
    expect(bodies(newer.chunk)).toEqual(['7', '8']);
  });

  test('with limit 0 is the event alone, with tokens on both of its sides', async () => {
    const context = await reads.context(room, bob, at(4), { limit: 0 });
    expect([context.events_before, context.events_after]).toEqual([[], []]);
    const older = await reads.messages(room, bob, { from: context.start, limit: 1 });
    expect(bodies(older.chunk)).toEqual(['3']);
    const newer = await reads.messages(room, bob, { from: context.end, direction: 'f', limit: 1 });
    expect(bodies(newer.chunk)).toEqual(['5']);
  });

  test('brings the state at its last event, not the present one', async () => {
    await reads.state(room, alice, 'm.room.topic', { topic: 'then' });
    const middle = await reads.say(room, alice, 'middle');
    await reads.state(room, alice, 'm.room.topic', { topic: 'now' });
    const topicIn = (events: readonly ClientEvent[]): unknown =>
      events.find(({ type }) => type === 'm.room.topic')?.content.topic;
    expect(topicIn((await reads.context(room, bob, middle, { limit: 0 })).state)).toBe('then');
    expect(topicIn((await reads.context(room, bob, middle, { limit: 2 })).state)).toBe('now');
  });

  test('with lazy loading holds the member events of the senders only', async () => {
    const whole = await reads.context(room, bob, at(0), { limit: 2 });
    expect(membersIn(whole.state)).toHaveLength(3);
    const filterJson = { lazy_load_members: true };
    expect(membersIn((await reads.context(room, bob, at(1), { limit: 2, filterJson })).state)).toEqual([alice]);
    const around = await reads.context(room, carol, at(3), { limit: 4, filterJson });
    expect(membersIn(around.state).sort()).toEqual([alice, bob]);
    expect(around.state.map(({ type }) => type)).toContain('m.room.create');
  });

  test('is filtered, but for the event itself', async () => {
    const filterJson = { senders: [alice], types: ['m.room.message', 'm.room.create'] };
    const context = await reads.context(room, bob, at(4), { limit: 2, filterJson });
    expect(context.event.sender).toBe(bob);
    expect(bodies(context.events_before)).toEqual(['3']);
    expect(context.state.map(({ type }) => type)).toEqual(['m.room.create']);
  });

  test('is M_NOT_FOUND for events of other rooms and for those the user may not see, M_FORBIDDEN for strangers', async () => {
    const other = await reads.openRoom(alice);
    await expect(reads.context(other, alice, at(4))).rejects.toMatchObject({ status: 404, errcode: 'M_NOT_FOUND' });
    await reads.member(room, carol, carol, 'leave');
    const later = await reads.say(room, alice, 'later');
    await expect(reads.context(room, carol, later)).rejects.toMatchObject({ status: 404 });
    expect(bodies((await reads.context(room, carol, at(8))).events_after)).toEqual([undefined]);
    await expect(reads.context(room, '@dave:one.example', at(4))).rejects.toMatchObject({ status: 403 });
  });

  test('carries bundled aggregations', async () => {
    await reads.relate(room, bob, 'm.replace', at(4), { 'm.new_content': { body: 'edited' } });
    const context = await reads.context(room, carol, at(4), { limit: 0 });
    expect(context.event.unsigned['m.relations']).toHaveProperty(['m.replace']);
  });
});

describe('the snapshot of a room', () => {
  test('holds the newest messages in order, the state, and tokens for both directions', async () => {
    const snapshot = await reads.roomSnapshot(room, bob, 3);
    expect(snapshot).toMatchObject({ room_id: room.roomId, membership: 'join', visibility: 'private' });
    expect(bodies(snapshot.messages.chunk)).toEqual(['6', '7', '8']);
    expect(membersIn(snapshot.state)).toHaveLength(3);
    const older = await reads.messages(room, bob, { from: snapshot.messages.start, limit: 1 });
    expect(bodies(older.chunk)).toEqual(['5']);
    expect((await reads.roomSnapshot(room, bob, 0)).messages.chunk).toEqual([]);
  });

  test('of a left room ends at the leave', async () => {
    await reads.state(room, alice, 'm.room.topic', { topic: 'then' });
    await reads.member(room, carol, carol, 'leave');
    await reads.state(room, alice, 'm.room.topic', { topic: 'now' });
    await reads.say(room, alice, 'later');
    const snapshot = await reads.roomSnapshot(room, carol, 2);
    expect(snapshot.membership).toBe('leave');
    expect(snapshot.messages.chunk.map(({ type }) => type)).toEqual(['m.room.topic', 'm.room.member']);
    expect(snapshot.state.find(({ type }) => type === 'm.room.topic')?.content).toEqual({ topic: 'then' });
    const { rooms } = await reads.allRooms(carol);
    expect(rooms).toEqual([]);
    const archived = await reads.allRooms(carol, { archived: true, limit: 1 });
    expect(archived.rooms.map(({ membership }) => membership)).toEqual(['leave']);
  });

  test('is open to strangers when the room is world-readable, and shows them what is', async () => {
    await expect(reads.roomSnapshot(room, '@dave:one.example')).rejects.toMatchObject({ status: 403 });
    await reads.state(room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    await reads.say(room, alice, 'open');
    const snapshot = await reads.roomSnapshot(room, '@dave:one.example', 5);
    expect(snapshot).not.toHaveProperty('membership');
    expect(bodies(snapshot.messages.chunk)).toEqual([undefined, 'open']);
    expect(membersIn(snapshot.state)).toHaveLength(3);
  });

  test('of all rooms names joined and invited ones', async () => {
    const other = await reads.openRoom(alice);
    await reads.member(other, alice, bob, 'invite');
    const { rooms, end } = await reads.allRooms(bob, { limit: 1 });
    expect(rooms.map(({ membership }) => membership).sort()).toEqual(['invite', 'join']);
    expect(rooms.find(({ membership }) => membership === 'invite')?.invite).toMatchObject({ state_key: bob });
    expect(end).toBe(String(reads.db.head));
  });
});
