import { describe, expect, test } from '@jest/globals';
import type { UserId } from '../../src/matrix/ids.ts';
import type { TestResponse } from '../support/http.ts';
import {
  registerAll,
  register,
  startUserServer,
  sync,
  v3,
  type TestSession,
  type UserServer,
} from '../support/userapi.ts';

const enc = encodeURIComponent;
const notify = async ({ db, modules }: UserServer, user: TestSession, body: string): Promise<string> => {
  const content = { msgtype: 'm.server_notice', body };
  return (await db.write((tx) => modules.notices.send(tx, { userId: user.userId as UserId, content }))).eventId;
};
const act = ({ client }: UserServer, by: TestSession, roomId: string, action: string): Promise<TestResponse> =>
  client.post(`${v3}/rooms/${enc(roomId)}/${action}`, {}, by.token);

describe('server notices', () => {
  test('come by invite into one room per user, with its tag, and stay readable', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'alice');
    const first = await notify(server, alice, 'Tea is ready');
    const invited = await sync(server.client, alice);
    const [roomId = ''] = Object.keys(invited.rooms.invite);
    const { events } = invited.rooms.invite[roomId].invite_state;
    expect(events.map(({ sender }: { sender: string }) => sender)).toContain('@_server:localhost');
    const tags = await server.client.get(`${v3}/user/${enc(alice.userId)}/rooms/${enc(roomId)}/tags`, alice.token);
    expect(tags.json).toEqual({ tags: { 'm.server_notice': {} } });

    const refused = await act(server, alice, roomId, 'leave');
    expect([refused.status, refused.json.errcode]).toEqual([403, 'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM']);
    const member = `${v3}/rooms/${enc(roomId)}/state/m.room.member/${enc(alice.userId)}`;
    const byState = await server.client.put(member, { membership: 'leave' }, alice.token);
    expect(byState.json.errcode).toBe('M_CANNOT_LEAVE_SERVER_NOTICE_ROOM');

    expect((await act(server, alice, roomId, 'join')).status).toBe(200);
    const second = await notify(server, alice, 'Tea is cold');
    const { chunk } = (await server.client.get(`${v3}/rooms/${enc(roomId)}/messages?dir=b`, alice.token)).json;
    const ids = chunk.map(({ event_id: id }: { event_id: string }) => id);
    expect(ids).toEqual(expect.arrayContaining([first, second]));
    const path = `${v3}/rooms/${enc(roomId)}/send/m.room.message/1`;
    expect((await server.client.put(path, { body: 'thanks' }, alice.token)).status).toBe(403);

    expect((await act(server, alice, roomId, 'leave')).status).toBe(200);
    await notify(server, alice, 'Tea again');
    expect(Object.keys((await sync(server.client, alice)).rooms.invite)).toEqual([roomId]);
  });

  test('reach who takes no invites, and nobody who is not there', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'alice');
    const path = `${v3}/user/${enc(alice.userId)}/account_data/m.invite_permission_config`;
    await server.client.put(path, { default_action: 'block' }, alice.token);
    await notify(server, alice, 'Hear, hear');
    const nobody = { ...alice, userId: '@nobody:localhost' };
    await expect(notify(server, nobody, 'Echo')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' });
  });

  test('are sent by administrators, once for each transaction id', async () => {
    await using server = await startUserServer();
    const { client, users, db } = server;
    const [admin, alice] = await registerAll(client, 'admin', 'alice');
    const path = '/_synapse/admin/v1/send_server_notice';
    const notice = { user_id: alice.userId, content: { msgtype: 'm.text', body: 'Hello' } };
    expect((await client.post(path, notice, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    await db.write((tx) => users.accounts.setAdmin(tx, admin.userId as UserId, true));
    const sent = await client.post(path, notice, admin.token);
    expect(sent.json).toEqual({ event_id: expect.stringMatching(/^\$/) });
    const first = await client.put(`${path}/1`, notice, admin.token);
    expect((await client.put(`${path}/1`, notice, admin.token)).json).toEqual(first.json);
    expect((await client.put(`${path}/2`, notice, admin.token)).json).not.toEqual(first.json);
    const unknown = { ...notice, user_id: '@nobody:localhost' };
    expect((await client.post(path, unknown, admin.token)).json.errcode).toBe('M_NOT_FOUND');
    const elsewhere = { ...notice, user_id: '@bob:elsewhere.example' };
    expect((await client.post(path, elsewhere, admin.token)).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('are sent by a user whom nobody can be', async () => {
    await using server = await startUserServer();
    const body = { username: '_server', password: 'x', auth: { type: 'm.login.dummy' } };
    const refused = await server.client.post(`${v3}/register`, body);
    expect([refused.status, refused.json.errcode]).toEqual([400, 'M_USER_IN_USE']);
    const available = await server.client.get(`${v3}/register/available?username=_server`);
    expect(available.json.errcode).toBe('M_USER_IN_USE');
  });
});
