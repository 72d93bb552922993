/** What is reported to administrators, and the files that they look after. */
import { describe, expect, test } from '@jest/globals';
import { enc, outcome, startAdminServer, v1 } from '../support/admin.ts';
import { openRoom, say, v3 } from '../support/userapi.ts';

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
