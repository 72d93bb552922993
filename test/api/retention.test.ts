import { describe, expect, test } from '@jest/globals';
import { applyRetention, verifyRoomserver } from '../../src/roomserver/index.ts';
import type { TestResponse } from '../support/http.ts';
import { register, startUserServer, sync, v3, type TestSession, type UserServer } from '../support/userapi.ts';

const enc = encodeURIComponent;
const day = 86_400_000;
const ok = ({ status, json, text }: TestResponse) => {
  if (status !== 200) throw new Error(`${status} ${text}`);
  return json;
};
let transactions = 0;
const say = async ({ client }: UserServer, by: TestSession, roomId: string, body: string): Promise<string> => {
  const path = `${v3}/rooms/${enc(roomId)}/send/m.room.message/${(transactions += 1)}`;
  return ok(await client.put(path, { msgtype: 'm.text', body }, by.token)).event_id;
};
const create = async ({ client }: UserServer, by: TestSession, retention?: object): Promise<string> => {
  const state = retention === undefined ? [] : [{ type: 'm.room.retention', content: retention }];
  return ok(await client.post(`${v3}/createRoom`, { initial_state: state, name: 'Kept name' }, by.token)).room_id;
};
const bodies = async ({ client }: UserServer, by: TestSession, roomId: string, query = 'dir=b&limit=100') => {
  const { chunk } = ok(await client.get(`${v3}/rooms/${enc(roomId)}/messages?${query}`, by.token));
  return chunk.map(({ content }: { content: { body?: string } }) => content.body).filter(Boolean);
};
const retain = async ({ modules, clock }: UserServer, policy: object = {}): Promise<void> => {
  const { db, bus, rooms, config } = modules;
  await applyRetention({ db, bus, rooms }, { ...config.rooms.retention, ...policy }, clock.now());
};
const found = async ({ client }: UserServer, by: TestSession, term: string): Promise<number> => {
  const body = { search_categories: { room_events: { search_term: term } } };
  return ok(await client.post(`${v3}/search`, body, by.token)).search_categories.room_events.count;
};

describe('m.room.retention', () => {
  test('deletes messages that have outlived the room’s policy and keeps everything else', async () => {
    await using server = await startUserServer();
    const { client, clock, modules } = server;
    const alice = await register(client, 'alice');
    const room = await create(server, alice, { max_lifetime: 7 * day });
    const other = await create(server, alice);
    const old = await say(server, alice, room, 'old words');
    const { next_batch: before } = await sync(client, alice);
    await say(server, alice, other, 'old words elsewhere');
    expect(await found(server, alice, 'old')).toBe(2);
    clock.advance(6 * day);
    const young = await say(server, alice, room, 'young words');
    await retain(server);
    expect(await bodies(server, alice, room)).toEqual(['young words', 'old words']);

    clock.advance(2 * day);
    const { start } = ok(await client.get(`${v3}/rooms/${enc(room)}/messages?dir=b&limit=1`, alice.token));
    await retain(server);
    expect(await bodies(server, alice, room)).toEqual(['young words']);
    expect(await bodies(server, alice, other)).toEqual(['old words elsewhere']);
    expect((await client.get(`${v3}/rooms/${enc(room)}/event/${enc(old)}`, alice.token)).status).toBe(404);
    expect((await client.get(`${v3}/rooms/${enc(room)}/event/${enc(young)}`, alice.token)).status).toBe(200);
    expect(await found(server, alice, 'old')).toBe(1);
    // Tokens of before stay good, and the room goes on.
    expect(await bodies(server, alice, room, `dir=b&from=${start}`)).toEqual(['young words']);
    const after = await sync(client, alice, before);
    const { events } = after.rooms.join[room].timeline;
    expect(events.map(({ content }: { content: { body: string } }) => content.body)).toEqual(['young words']);
    const name = await client.get(`${v3}/rooms/${enc(room)}/state/m.room.name`, alice.token);
    expect(name.json).toEqual({ name: 'Kept name' });
    await say(server, alice, room, 'new words');
    expect(await bodies(server, alice, room)).toEqual(['new words', 'young words']);
    expect([...verifyRoomserver(modules.db, modules.serverName)]).toEqual([]);
  });

  test('keeps the event that the next one will be built on, however old it is', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'alice');
    const room = await create(server, alice, { max_lifetime: 2 * day });
    await say(server, alice, room, 'first');
    await say(server, alice, room, 'last');
    server.clock.advance(100 * day);
    await retain(server);
    await retain(server);
    expect(await bodies(server, alice, room)).toEqual(['last']);
    await say(server, alice, room, 'again');
    await retain(server);
    expect(await bodies(server, alice, room)).toEqual(['again']);
    expect([...verifyRoomserver(server.db, server.modules.serverName)]).toEqual([]);
  });

  test('stays within what the operator allows, who may ignore rooms and decide for those that say nothing', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'alice');
    const hasty = await create(server, alice, { max_lifetime: 1000 });
    const odd = await create(server, alice, { max_lifetime: 'soon' });
    const silent = await create(server, alice);
    const rooms = [hasty, odd, silent];
    for (const room of rooms) await say(server, alice, room, 'message');
    const left = async (): Promise<number[]> =>
      Promise.all(rooms.map(async (room) => (await bodies(server, alice, room)).length));
    for (const room of rooms) await say(server, alice, room, 'newest');
    server.clock.advance(day / 2);
    await retain(server);
    expect(await left()).toEqual([2, 2, 2]);
    server.clock.advance(day);
    await retain(server, { honoured: false });
    expect(await left()).toEqual([2, 2, 2]);
    await retain(server);
    expect(await left()).toEqual([1, 2, 2]);
    await retain(server, { default: day });
    expect(await left()).toEqual([1, 1, 1]);
  });
});
