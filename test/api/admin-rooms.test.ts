/** What administrators do with rooms, the files in them, and what is reported of them. */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { sql } from '../../src/storage/index.ts';
import { verifyThreadEvents } from '../../src/syncapi/index.ts';
import { enc, outcome, startAdminServer, v1, v2, type AdminServer } from '../support/admin.ts';
import {
  openRoom,
  register,
  say,
  startUserServer,
  sync,
  temporaryFolder,
  v3,
  type TestSession,
} from '../support/userapi.ts';

const verified = ({ db, modules }: AdminServer): string[] => [
  ...verifyRoomserver(db, 'localhost' as ServerName),
  ...verifyThreadEvents(db, modules.rooms),
];

/** Waits until a task of the administrator has ended. */
async function finish({ modules }: AdminServer, id: string): Promise<void> {
  await modules.adminTasks.ended(id);
}

async function history(server: AdminServer, by: TestSession, roomId: string): Promise<string[]> {
  const { json } = await server.client.get(`${v3}/rooms/${enc(roomId)}/messages?dir=b&limit=100`, by.token);
  return json.chunk.map(({ event_id: id }: { event_id: string }) => id);
}

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

describe('deleting rooms', () => {
  test('moves people and aliases to a new room that says why', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const bob = await register(client, 'bob');
    const wish = { preset: 'public_chat', room_alias_name: 'bad', visibility: 'public' };
    const roomId: string = (await client.post(`${v3}/createRoom`, wish, alice.token)).json.room_id;
    await client.post(`${v3}/join/${enc(roomId)}`, {}, bob.token);
    const body = { new_room_user_id: admin.userId, room_name: 'Gone', message: 'Why', block: true, purge: false };
    const { status, json } = await ask('DELETE', `${v1}/rooms/${enc(roomId)}`, body);
    expect(status).toBe(200);
    expect(json).toEqual({
      kicked_users: expect.arrayContaining([alice.userId, bob.userId]),
      failed_to_kick_users: [],
      local_aliases: ['#bad:localhost'],
      new_room_id: expect.stringMatching(/^!/),
    });
    const path = `${v3}/rooms/${enc(roomId)}`;
    expect((await client.put(`${path}/send/m.room.message/1`, { body: '', msgtype: 'm.text' }, bob.token)).status).toBe(
      403,
    );
    expect((await client.post(`${v3}/join/${enc(roomId)}`, {}, bob.token)).status).toBe(403);
    expect((await client.get(`${v3}/directory/room/${enc('#bad:localhost')}`)).json.room_id).toBe(json.new_room_id);
    const fresh = (await sync(client, bob)).rooms.join[json.new_room_id];
    expect(fresh.timeline.events).toContainEqual(
      expect.objectContaining({ content: { msgtype: 'm.text', body: 'Why' } }),
    );
    const send = `${v3}/rooms/${enc(json.new_room_id)}/send/m.room.message/2`;
    expect((await client.put(send, { body: '', msgtype: 'm.text' }, bob.token)).status).toBe(403);
    expect((await client.get(`${v3}/publicRooms`, bob.token)).json.chunk).toEqual([]);
    expect(verified(server)).toEqual([]);
  });

  test('purges everything in the background, and tells who was away', async () => {
    await using server = await startAdminServer();
    const { client, ask, db, admin, alice } = server;
    const roomId = await openRoom(client, alice, admin);
    const other = await openRoom(client, alice);
    const texts = await Promise.all(
      Array.from({ length: 80 }, (_, index) => say(client, index % 2 === 0 ? roomId : other, alice)),
    );
    await say(client, roomId, alice, { 'm.relates_to': { rel_type: 'm.thread', event_id: texts[0] } });
    await client.post(`${v3}/rooms/${enc(roomId)}/receipt/m.read/${enc(texts[0] ?? '')}`, {}, admin.token);
    const { next_batch: since } = await sync(client, alice);
    const started = await ask('DELETE', `${v2}/rooms/${enc(roomId)}`, {});
    expect(started.json).toEqual({ delete_id: expect.any(String) });
    await finish(server, started.json.delete_id);
    const status = await ask('GET', `${v2}/rooms/delete_status/${started.json.delete_id}`);
    const shutdown_room = {
      ...{ kicked_users: expect.arrayContaining([alice.userId, admin.userId]), failed_to_kick_users: [] },
      ...{ local_aliases: [], new_room_id: null },
    };
    const task = { delete_id: started.json.delete_id, room_id: roomId, status: 'complete', shutdown_room };
    expect(status.json).toEqual(task);
    expect((await ask('GET', `${v2}/rooms/${enc(roomId)}/delete_status`)).json).toEqual({ results: [task] });
    expect(verified(server)).toEqual([]);
    const left = await sync(client, alice, since);
    expect(left.rooms.leave).toHaveProperty([roomId]);
    const whole = await sync(client, alice);
    expect(Object.keys(whole.rooms.join)).toEqual([other]);
    expect(whole.rooms.leave).toBeUndefined();
    expect(await history(server, alice, other)).toContain(texts[1]);
    expect(outcome(await ask('GET', `${v1}/rooms/${enc(roomId)}`))).toEqual([404, 'M_NOT_FOUND']);
    expect((await ask('GET', `${v1}/rooms`)).json.total_rooms).toBe(1);
    expect((await client.get(`${v3}/rooms/${enc(roomId)}/messages?dir=b`, alice.token)).status).toBe(403);
    // Nobody is known who could let her in.
    expect((await client.post(`${v3}/join/${enc(roomId)}`, {}, alice.token)).status).toBe(404);
    const rows = (table: string, column: string): number => {
      const nid = `(SELECT nid FROM room_rooms WHERE room_id = '${roomId}')`;
      const count = sql<[], { n: number }>(`SELECT count(*) AS n FROM ${table} WHERE ${column} = ${nid}`);
      return db.read((snapshot) => snapshot.get(count)?.n ?? -1);
    };
    for (const table of ['room_events', 'room_state', 'room_members', 'room_state_history', 'syncapi_thread_events']) {
      expect([table, rows(table, 'room')]).toEqual([table, 0]);
    }
    expect(rows('userapi_receipts', 'room_nid') + rows('push_actions', 'room_nid')).toBe(0);
    expect(outcome(await ask('DELETE', `${v2}/rooms/${enc(roomId)}`, {}))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('DELETE', `${v1}/rooms/!no:localhost`, {}))).toEqual([400, 'M_UNKNOWN']);
    expect((await ask('DELETE', `${v1}/rooms/!no:localhost`, { block: true })).json.kicked_users).toEqual([]);
    expect((await ask('GET', `${v1}/rooms/!no:localhost/block`)).json.block).toBe(true);
    expect(outcome(await ask('GET', `${v2}/rooms/delete_status/none`))).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('a restart in the middle', () => {
  test('does not lose what was begun', async () => {
    await using kept = await temporaryFolder();
    const { folder } = kept;
    let roomId = '';
    let id = '';
    {
      await using server = await startUserServer({}, { folder });
      const { client, modules } = server;
      const alice = await register(client, 'alice');
      roomId = await openRoom(client, alice);
      await say(client, roomId, alice);
      id = await modules.adminTasks.start('delete_room', roomId, alice.userId, {});
      await modules.adminTasks.stop();
    }
    await using server = await startUserServer({}, { folder });
    const { db, modules } = server;
    await modules.adminTasks.resume();
    await modules.adminTasks.ended(id);
    const task = db.read((snapshot) => modules.adminTasks.get(snapshot, id));
    expect(task).toMatchObject({ status: 'complete', result: { kicked_users: ['@alice:localhost'] } });
    expect(db.read((snapshot) => modules.rooms.allRooms(snapshot))).toEqual([]);
    expect([...verifyRoomserver(db, 'localhost' as ServerName)]).toEqual([]);
  });
});

describe('redacting a user', () => {
  test('takes back what he said in the rooms that are named', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const rooms = [await openRoom(client, admin, alice), await openRoom(client, admin, alice)];
    const said = [await say(client, rooms[0] ?? '', alice), await say(client, rooms[1] ?? '', alice)];
    const answer = await ask('POST', `${v1}/user/${enc(alice.userId)}/redact`, { rooms: [rooms[0]], reason: 'spam' });
    await finish(server, answer.json.redact_id);
    const status = await ask('GET', `${v1}/user/redact_status/${answer.json.redact_id}`);
    expect(status.json).toEqual({ status: 'complete', failed_redactions: {} });
    const content = async (index: number) =>
      (await client.get(`${v3}/rooms/${enc(rooms[index] ?? '')}/event/${enc(said[index] ?? '')}`, admin.token)).json
        .content;
    expect(await content(0)).toEqual({});
    expect(await content(1)).toMatchObject({ body: 'hello' });
  });
});

describe('reports', () => {
  test('are listed, read and deleted', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const created = await client.post(`${v3}/createRoom`, { preset: 'public_chat', name: 'Plaza' }, admin.token);
    const roomId: string = created.json.room_id;
    await client.post(`${v3}/join/${enc(roomId)}`, {}, alice.token);
    const eventId = await say(client, roomId, admin);
    const room = `${v3}/rooms/${enc(roomId)}/report`;
    await client.post(`${room}/${enc(eventId)}`, { reason: 'bad', score: -5 }, alice.token);
    await client.post(room, { reason: 'room' }, alice.token);
    await client.post(`${v3}/users/${enc(admin.userId)}/report`, { reason: 'user' }, alice.token);
    const { json } = await ask('GET', `${v1}/event_reports`);
    const report = {
      ...{ id: 1, event_id: eventId, room_id: roomId, name: 'Plaza', canonical_alias: null, reason: 'bad', score: -5 },
      ...{ sender: admin.userId, user_id: alice.userId, received_ts: expect.any(Number) },
    };
    expect(json).toEqual({ event_reports: [report], total: 1 });
    const total = async (query: string) => (await ask('GET', `${v1}/event_reports?${query}`)).json.total;
    expect(await total(`user_id=alice&room_id=${enc(roomId)}&sender_user_id=${enc(admin.userId)}`)).toBe(1);
    expect(await total('user_id=bob')).toBe(0);
    expect((await ask('GET', `${v1}/event_reports/1`)).json).toMatchObject({
      ...report,
      event_json: { room_id: roomId },
    });
    expect((await ask('GET', `${v1}/room_reports`)).json.room_reports).toMatchObject([{ reason: 'room' }]);
    expect((await ask('GET', `${v1}/user_reports`)).json.user_reports).toMatchObject([
      { target_user_id: admin.userId },
    ]);
    expect(outcome(await ask('GET', `${v1}/event_reports/2`))).toEqual([404, 'M_NOT_FOUND']);
    expect((await ask('DELETE', `${v1}/event_reports/1`)).json).toEqual({});
    expect(outcome(await ask('DELETE', `${v1}/event_reports/1`))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('GET', `${v1}/event_reports/x`))).toEqual([400, 'M_INVALID_PARAM']);
  });
});

describe('files', () => {
  test('are listed, forbidden, protected and deleted', async () => {
    await using server = await startAdminServer();
    const { client, ask, clock, admin, alice } = server;
    const upload = async (text: string): Promise<string> => {
      const options = { method: 'POST', token: alice.token, body: text, headers: { 'Content-Type': 'text/plain' } };
      const { json } = await client.request(`/_matrix/media/v3/upload?filename=${text}.txt`, options);
      return json.content_uri.split('/').at(-1);
    };
    const [one, two, three] = [await upload('one'), await upload('two'), await upload('three')];
    const user = `${v1}/users/${enc(alice.userId)}/media`;
    const listed = (await ask('GET', `${user}?limit=2&order_by=upload_name`)).json;
    expect(listed).toMatchObject({
      total: 3,
      next_token: 2,
      media: [{ upload_name: 'one.txt' }, { upload_name: 'three.txt' }],
    });
    expect(listed.media[0]).toMatchObject({ media_id: one, media_length: 3, media_type: 'text/plain' });
    expect((await ask('GET', `${v1}/statistics/users/media`)).json).toMatchObject({
      users: [{ user_id: alice.userId, media_count: 3, media_length: 11 }],
      total: 1,
    });
    expect((await ask('GET', `${v1}/media/localhost/${one}`)).json.media_info).toMatchObject({ user_id: alice.userId });
    const status = async (id: string) =>
      (await client.get(`/_matrix/client/v1/media/download/localhost/${id}`, alice.token)).status;
    await ask('POST', `${v1}/media/quarantine/localhost/${one}`, {});
    expect(await status(one)).toBe(404);
    await ask('POST', `${v1}/media/unquarantine/localhost/${one}`, {});
    expect(await status(one)).toBe(200);
    const roomId = await openRoom(client, alice, admin);
    await say(client, roomId, alice, { url: `mxc://localhost/${two}`, info: { thumbnail_url: 'mxc://elsewhere/x' } });
    expect((await ask('GET', `${v1}/room/${enc(roomId)}/media`)).json).toEqual({
      local: [`mxc://localhost/${two}`],
      remote: ['mxc://elsewhere/x'],
    });
    expect((await ask('POST', `${v1}/media/protect/${three}`, {})).json).toEqual({});
    expect((await ask('POST', `${v1}/room/${enc(roomId)}/media/quarantine`, {})).json).toEqual({ num_quarantined: 2 });
    expect((await ask('POST', `${v1}/user/${enc(alice.userId)}/media/quarantine`, {})).json).toEqual({
      num_quarantined: 2,
    });
    expect(await status(three)).toBe(200);
    expect((await ask('DELETE', `${v1}/media/localhost/${two}`)).json).toEqual({ deleted_media: [two], total: 1 });
    expect(outcome(await ask('DELETE', `${v1}/media/localhost/${two}`))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('DELETE', `${v1}/media/elsewhere/x`))).toEqual([400, 'M_INVALID_PARAM']);
    await client.put(
      `${v3}/profile/${enc(alice.userId)}/avatar_url`,
      { avatar_url: `mxc://localhost/${one}` },
      alice.token,
    );
    await ask('POST', `${v1}/media/unprotect/${three}`, {});
    clock.advance(10);
    const aged = await ask('POST', `${v1}/media/delete?before_ts=${clock.now()}`, {});
    expect(aged.json).toEqual({ deleted_media: [three], total: 1 });
    const all = await ask('POST', `${v1}/media/delete?before_ts=${clock.now()}&keep_profiles=false`, {});
    expect(all.json).toEqual({ deleted_media: [one], total: 1 });
    expect((await ask('POST', `${v1}/purge_media_cache?before_ts=${clock.now()}`, {})).json).toHaveProperty('deleted');
    const last = await upload('four');
    expect((await ask('DELETE', user)).json).toEqual({ deleted_media: [last], total: 1 });
    expect(outcome(await ask('POST', `${v1}/media/delete`, {}))).toEqual([400, 'M_MISSING_PARAM']);
  });
});
