import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Room } from '../../src/roomserver/index.ts';
import { bodies, keysOf, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync;
let room: Room;
beforeEach(async () => {
  server = openTestSync();
  room = await server.rooms.openRoom(alice);
  await server.rooms.join(room, bob);
});
afterEach(async () => server[Symbol.asyncDispose]());

const joined = async (filter: JsonObject, since?: string) =>
  (await server.sync(alice, { filter, ...(since === undefined ? {} : { since }) })).rooms?.join?.[room.roomId];
const timeline = (part: JsonObject): JsonObject => ({ room: { timeline: part } });

describe('filters', () => {
  test('rooms and not_rooms, of the whole and of each part', async () => {
    const other = await server.rooms.openRoom(alice);
    const shown = async (part: JsonObject): Promise<string[]> =>
      Object.keys((await server.sync(alice, { filter: { room: part } })).rooms?.join ?? {}).sort();
    expect(await shown({ rooms: [room.roomId] })).toEqual([room.roomId]);
    expect(await shown({ not_rooms: [room.roomId] })).toEqual([other.roomId]);
    expect(await shown({ rooms: [room.roomId], not_rooms: [room.roomId] })).toEqual([]);
    const partly = await server.sync(alice, { filter: timeline({ not_rooms: [room.roomId] }) });
    expect(bodies(partly.rooms?.join?.[room.roomId])).toEqual([]);
    expect(bodies(partly.rooms?.join?.[other.roomId]).length).toBeGreaterThan(0);
  });

  test('types and not_types, with wildcards; not_types wins', async () => {
    await server.say(room, alice, 'text');
    await server.state(room, alice, 'm.room.topic', { topic: 'x' });
    expect(bodies(await joined(timeline({ types: ['m.room.message'] })))).toEqual(['text']);
    expect(bodies(await joined(timeline({ types: ['m.room.t*'] })))).toEqual(['m.room.topic']);
    expect(bodies(await joined(timeline({ types: ['m.room.*'], not_types: ['m.room.m*'] })))).not.toContain('text');
    expect(
      keysOf((await joined({ room: { state: { types: ['m.room.create'] }, timeline: { limit: 1 } } }))?.state),
    ).toEqual(['m.room.create|']);
    expect(await joined(timeline({ types: [] }))).toMatchObject({ timeline: { events: [], limited: false } });
  });

  test('senders and not_senders', async () => {
    await server.say(room, alice, 'by alice');
    await server.say(room, bob, 'by bob');
    const messages = { types: ['m.room.message'] };
    expect(bodies(await joined(timeline({ ...messages, senders: [bob] })))).toEqual(['by bob']);
    expect(bodies(await joined(timeline({ ...messages, not_senders: [bob] })))).toEqual(['by alice']);
  });

  test('limit, up to the maximum that the server allows', async () => {
    for (let index = 0; index < 15; index += 1) await server.say(room, alice, `${index}`);
    expect((await joined(timeline({ limit: 12 })))?.timeline.events).toHaveLength(12);
    expect((await joined({}))?.timeline.events).toHaveLength(10);
    expect((await joined(timeline({ limit: 5000 })))?.timeline.limited).toBe(false);
    expect(await joined(timeline({ limit: 0 }))).toMatchObject({ timeline: { events: [], limited: true } });
  });

  test('contains_url', async () => {
    await server.say(room, alice, 'picture', { url: 'mxc://one.example/a' });
    await server.say(room, alice, 'plain');
    expect(bodies(await joined(timeline({ contains_url: true })))).toEqual(['picture']);
    expect(bodies(await joined(timeline({ contains_url: false, types: ['m.room.message'] })))).toEqual(['plain']);
  });

  test('related_by_senders and related_by_rel_types', async () => {
    const root = await server.say(room, alice, 'root');
    await server.say(room, alice, 'other');
    await server.say(room, bob, 'reply', { 'm.relates_to': { rel_type: 'm.thread', event_id: root } });
    expect(bodies(await joined(timeline({ related_by_rel_types: ['m.thread'] })))).toEqual(['root']);
    expect(bodies(await joined(timeline({ related_by_senders: [bob] })))).toEqual(['root']);
    expect(bodies(await joined(timeline({ related_by_senders: [alice] })))).toEqual([]);
    expect(bodies(await joined(timeline({ related_by_rel_types: ['m.reference'] })))).toEqual([]);
  });

  test('event_fields keeps the named fields', async () => {
    const since = (await server.sync(alice)).next_batch;
    await server.say(room, alice, 'text');
    const shown = await joined({ event_fields: ['content.body', 'sender'] }, since);
    expect(shown?.timeline.events).toEqual([{ content: { body: 'text' }, sender: alice }]);
  });

  test('event_format federation gives the events as servers exchange them, with their ids', async () => {
    const since = (await server.sync(alice)).next_batch;
    await server.say(room, alice, 'text');
    const [event] = (await joined({ event_format: 'federation' }, since))?.timeline.events ?? [];
    expect(event).toMatchObject({
      type: 'm.room.message',
      auth_events: expect.any(Array),
      signatures: expect.any(Object),
    });
    expect(event?.event_id).toMatch(/^\$/);
  });

  test('account data, presence and ephemeral have filters of their own', async () => {
    await server.write((tx) => {
      server.users.accountData.put(tx, alice as never, null, 'org.example.one', { a: 1 });
      server.users.accountData.put(tx, alice as never, null, 'org.example.two', { a: 2 });
      server.users.accountData.put(tx, alice as never, room.roomId, 'org.example.room', { a: 3 });
    });
    const filter = {
      account_data: { types: ['org.example.one'] },
      presence: { types: [] },
      room: { account_data: { not_types: ['*'] } },
    };
    const body = await server.sync(alice, { filter });
    expect(body.account_data?.events).toEqual([{ type: 'org.example.one', content: { a: 1 } }]);
    expect(body).not.toHaveProperty('presence');
    expect(body.rooms?.join?.[room.roomId]?.account_data.events).toEqual([]);
  });

  test('a filter that leaves nothing parks the pass, and a later event gets through', async () => {
    const filter = timeline({ types: ['org.example.*'] });
    const { next_batch: since } = await server.sync(alice, { filter });
    await server.say(room, alice, 'not for this filter');
    const body = await server.sync(alice, { filter, since });
    expect(body.rooms).toBeUndefined();
    expect(Number(body.next_batch)).toBeGreaterThan(Number(since));
  });
});
