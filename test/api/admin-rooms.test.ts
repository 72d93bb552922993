/** What administrators do with rooms: the list, blocking, power, purged history. */
import { describe, expect, test } from '@jest/globals';
import { verified, finish, history } from '../support/admin-rooms.ts';
import { enc, outcome, startAdminServer, v1 } from '../support/admin.ts';
import { openRoom, say, sync, v3 } from '../support/userapi.ts';

describe('the list of rooms', () => {
  test('is searched, filtered, ordered and paged', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const create = async (body: object, by = alice): Promise<string> =>
      (await client.post(`${v3}/createRoom`, body, by.token)).json.room_id;
    const zebra = await create({
      name: 'Zebra',
      preset: 'public_chat',
      visibility: 'public',
      room_alias_name: 'stripes',
    });
    const apple = await create({ name: 'apple', topic: 'fruit' });
    const space = await create({ name: 'Space', creation_content: { type: 'm.space', 'm.federate': false } }, admin);
    await client.post(`${v3}/join/${enc(zebra)}`, {}, admin.token);
    const ids = async (query: string) =>
      (await ask('GET', `${v1}/rooms?${query}`)).json.rooms.map(({ room_id: id }: { room_id: string }) => id);
    expect(await ids('')).toEqual([apple, space, zebra]);
    expect(await ids('dir=b')).toEqual([zebra, space, apple]);
    expect((await ids('order_by=size'))[0]).toBe(zebra);
    expect((await ids('order_by=joined_members&dir=b'))[2]).toBe(zebra);
    expect(await ids('search_term=STRIPE')).toEqual([zebra]);
    expect(await ids(`search_term=${enc(apple.slice(2, 12))}`)).toEqual([apple]);
    expect(await ids('public_rooms=true')).toEqual([zebra]);
    expect(await ids('empty_rooms=true')).toEqual([]);
    const { json } = await ask('GET', `${v1}/rooms?limit=1&from=1`);
    expect(json).toMatchObject({ offset: 1, total_rooms: 3, next_batch: 2, prev_batch: 0 });
    expect(json.rooms[0]).toMatchObject({
      ...{ room_id: space, name: 'Space', room_type: 'm.space', federatable: false, creator: admin.userId },
      ...{ joined_members: 1, joined_local_members: 1, public: false, encryption: null, canonical_alias: null },
    });
    expect(outcome(await ask('GET', `${v1}/rooms?search_term=`))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await client.get(`${v1}/rooms`, alice.token))).toEqual([403, 'M_FORBIDDEN']);
    expect((await ask('GET', `${v1}/rooms/${enc(apple)}`)).json).toMatchObject({
      ...{ name: 'apple', topic: 'fruit', avatar: null, joined_local_devices: 1, forgotten: false },
      ...{ history_visibility: 'shared', join_rules: 'invite', guest_access: 'can_join' },
    });
    expect((await ask('GET', `${v1}/rooms/${enc('#stripes:localhost')}`)).json.room_id).toBe(zebra);
    expect(outcome(await ask('GET', `${v1}/rooms/!none:localhost`))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('GET', `${v1}/rooms/none`))).toEqual([400, 'M_INVALID_PARAM']);
    expect((await ask('GET', `${v1}/rooms/${enc(zebra)}/members`)).json).toEqual({
      members: expect.arrayContaining([admin.userId, alice.userId]),
      total: 2,
    });
    const state = (await ask('GET', `${v1}/rooms/${enc(apple)}/state?type=m.room.name`)).json.state;
    expect(state).toMatchObject([{ type: 'm.room.name', state_key: '', content: { name: 'apple' } }]);
  });

  test('shows the history of rooms to administrators outside them', async () => {
    await using server = await startAdminServer();
    const { client, ask, alice } = server;
    const created = await client.post(`${v3}/createRoom`, { preset: 'private_chat' }, alice.token);
    const room = `${v1}/rooms/${enc(created.json.room_id)}`;
    const eventId = await say(client, created.json.room_id, alice, { body: 'secret' });
    const { json } = await ask('GET', `${room}/messages?dir=b&limit=1`);
    expect(json.chunk).toMatchObject([{ event_id: eventId, content: { body: 'secret' } }]);
    const context = (await ask('GET', `${room}/context/${enc(eventId)}`)).json;
    expect(context.event.event_id).toBe(eventId);
    expect(context.events_before.length).toBeGreaterThan(0);
    expect((await ask('GET', `${room}/timestamp_to_event?ts=0`)).json.event_id).toMatch(/^\$/);
    expect(outcome(await ask('GET', `${v1}/rooms/!none:localhost/messages`))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await client.get(`${room}/messages`, alice.token))).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('blocking and power', () => {
  test('nobody enters a blocked room, known or not', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const roomId = await openRoom(client, alice);
    const path = `${v1}/rooms/${enc(roomId)}/block`;
    expect((await ask('GET', path)).json).toEqual({ block: false });
    expect((await ask('PUT', path, { block: true })).json).toEqual({ block: true });
    expect((await ask('GET', path)).json).toEqual({ block: true, user_id: admin.userId });
    expect(outcome(await client.post(`${v3}/join/${enc(roomId)}`, {}, admin.token))).toEqual([403, 'M_FORBIDDEN']);
    const invite = await client.post(`${v3}/rooms/${enc(roomId)}/invite`, { user_id: admin.userId }, alice.token);
    expect(outcome(invite)).toEqual([403, 'M_FORBIDDEN']);
    await ask('PUT', path, { block: false });
    expect((await client.post(`${v3}/join/${enc(roomId)}`, {}, admin.token)).status).toBe(200);
    expect((await ask('PUT', `${v1}/rooms/!x:elsewhere/block`, { block: true })).json).toEqual({ block: true });
    expect(outcome(await ask('PUT', `${v1}/rooms/none/block`, { block: true }))).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('an administrator gets the power of the most powerful local member, and an invite', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    for (const room_version of ['10', '12']) {
      const wish = { preset: 'private_chat', room_version };
      const roomId: string = (await client.post(`${v3}/createRoom`, wish, alice.token)).json.room_id;
      expect((await ask('POST', `${v1}/rooms/${enc(roomId)}/make_room_admin`, {})).json).toEqual({});
      expect((await client.post(`${v3}/join/${enc(roomId)}`, {}, admin.token)).status).toBe(200);
      const levels = await client.get(`${v3}/rooms/${enc(roomId)}/state/m.room.power_levels`, admin.token);
      expect(levels.json.users[admin.userId]).toBeGreaterThanOrEqual(100);
      await client.post(`${v3}/rooms/${enc(roomId)}/leave`, {}, alice.token);
      await client.post(`${v3}/rooms/${enc(roomId)}/leave`, {}, admin.token);
      const empty = await ask('POST', `${v1}/rooms/${enc(roomId)}/make_room_admin`, {});
      expect(outcome(empty)).toEqual([400, 'M_UNKNOWN']);
    }
    const roomId = await openRoom(client, admin);
    expect((await ask('POST', `${v1}/join/${enc(roomId)}`, { user_id: alice.userId })).json).toEqual({
      room_id: roomId,
    });
    expect((await sync(client, alice)).rooms.join).toHaveProperty([roomId]);
    expect((await ask('GET', `${v1}/rooms/${enc(roomId)}/forward_extremities`)).json).toMatchObject({
      count: 1,
      results: [{ event_id: expect.any(String), depth: expect.any(Number) }],
    });
    expect((await ask('DELETE', `${v1}/rooms/${enc(roomId)}/forward_extremities`)).json).toEqual({ deleted: 0 });
  });
});

describe('purging history', () => {
  test('deletes what was said, keeps the state, and leaves tokens and counts right', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const roomId = await openRoom(client, alice, admin);
    const room = `${v3}/rooms/${enc(roomId)}`;
    const first = await say(client, roomId, alice);
    const { next_batch: since } = await sync(client, admin);
    const thread = { 'm.relates_to': { rel_type: 'm.thread', event_id: first } };
    await say(client, roomId, alice, thread);
    const redacted = await say(client, roomId, alice);
    await client.put(`${room}/redact/${enc(redacted)}/r1`, {}, alice.token);
    await client.put(`${room}/state/m.room.name`, { name: 'Old' }, alice.token);
    const named = await client.put(`${room}/state/m.room.name`, { name: 'New' }, alice.token);
    await Promise.all(Array.from({ length: 70 }, () => say(client, roomId, alice)));
    const last = await say(client, roomId, alice, { body: 'last' });
    const path = `${v1}/purge_history/${enc(roomId)}/${enc(last)}`;
    expect(outcome(await client.post(path, {}, alice.token))).toEqual([403, 'M_FORBIDDEN']);
    const { json } = await ask('POST', path, { delete_local_events: true });
    await finish(server, json.purge_id);
    expect((await ask('GET', `${v1}/purge_history_status/${json.purge_id}`)).json).toEqual({ status: 'complete' });
    expect(verified(server)).toEqual([]);
    expect(await history(server, alice, roomId)).toEqual([last]);
    expect(outcome(await client.get(`${room}/event/${enc(first)}`, alice.token))).toEqual([404, 'M_NOT_FOUND']);
    const again = await sync(client, admin, since);
    expect(again.rooms.join[roomId].unread_notifications.notification_count).toBe(1);
    const whole = (await sync(client, alice)).rooms.join[roomId];
    const types = whole.state.events.map(({ type }: { type: string }) => type);
    expect(types).toEqual(expect.arrayContaining(['m.room.create', 'm.room.member', 'm.room.power_levels']));
    const names = whole.state.events.filter(({ type }: { type: string }) => type === 'm.room.name');
    expect(names).toMatchObject([{ event_id: named.json.event_id, content: { name: 'New' } }]);
    expect(whole.timeline.events).toMatchObject([{ event_id: last }]);
    expect((await client.get(`${room}/state/m.room.name`, alice.token)).json).toEqual({ name: 'New' });
    const next = await say(client, roomId, alice);
    expect(await history(server, alice, roomId)).toEqual([next, last]);
    expect(verified(server)).toEqual([]);
  });

  test('by time keeps what came since, and by default what users of this server sent is only put aside', async () => {
    await using server = await startAdminServer();
    const { client, ask, db, modules, clock, alice } = server;
    const roomId = await openRoom(client, alice);
    const old = await say(client, roomId, alice);
    clock.advance(10_000);
    const kept = await say(client, roomId, alice);
    const { json } = await ask('POST', `${v1}/purge_history/${enc(roomId)}`, { purge_up_to_ts: clock.now() - 5000 });
    await finish(server, json.purge_id);
    expect(await history(server, alice, roomId)).toEqual([kept]);
    expect(db.read((snapshot) => modules.rooms.eventById(snapshot, old))).toMatchObject({ outlier: true });
    expect(verified(server)).toEqual([]);
    const purge = (body: object, event = '') => ask('POST', `${v1}/purge_history/${enc(roomId)}${event}`, body);
    expect(outcome(await purge({}))).toEqual([400, 'M_MISSING_PARAM']);
    expect(outcome(await purge({}, '/$none'))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('GET', `${v1}/purge_history_status/none`))).toEqual([404, 'M_NOT_FOUND']);
  });
});
