/** Rooms that administrators delete, users whose messages they take back. */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { sql } from '../../src/storage/index.ts';
import { verified, finish, history } from '../support/admin-rooms.ts';
import { enc, outcome, startAdminServer, v1, v2 } from '../support/admin.ts';
import { openRoom, register, say, startUserServer, sync, temporaryFolder, v3 } from '../support/userapi.ts';

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
