/** What a user keeps: account data, profile, filters; and what is left when the account is closed. */
import { describe, expect, test } from '@jest/globals';
import { registerAll, login, openRoom, register, say, startUserServer, sync, v3 } from '../support/userapi.ts';

const enc = encodeURIComponent;

describe('account data', () => {
  test('is kept by type and room, reaches /sync once, and is nobody else’s', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const bob = await register(client, 'bob');
    const roomId = await openRoom(client, alice);
    const own = `${v3}/user/${enc(alice.userId)}`;
    const before = (await sync(client, alice)).next_batch;
    await client.put(`${own}/account_data/org.example.a`, { one: 1 }, alice.token);
    await client.put(`${own}/account_data/org.example.a`, { two: 2 }, alice.token);
    await client.put(`${own}/rooms/${enc(roomId)}/account_data/m.marked_unread`, { unread: true }, alice.token);
    const after = await sync(client, alice, before);
    expect(after.account_data.events).toEqual([{ type: 'org.example.a', content: { two: 2 } }]);
    const room = after.rooms.join[roomId];
    expect(room.account_data.events).toEqual([{ type: 'm.marked_unread', content: { unread: true } }]);
    expect((await sync(client, alice, after.next_batch)).account_data).toBeUndefined();
    expect((await client.get(`${own}/account_data/org.example.a`, alice.token)).json).toEqual({ two: 2 });
    expect((await client.get(`${own}/account_data/org.example.b`, alice.token)).json.errcode).toBe('M_NOT_FOUND');
    expect((await client.get(`${own}/account_data/org.example.a`, bob.token)).status).toBe(403);
  });

  test('the server’s own types are read only', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const own = `${v3}/user/${enc(alice.userId)}/account_data`;
    for (const type of ['m.fully_read', 'm.push_rules']) {
      const refused = await client.put(`${own}/${type}`, {}, alice.token);
      expect([refused.status, refused.json.errcode]).toEqual([405, 'M_BAD_JSON']);
    }
    const rules = await client.get(`${own}/m.push_rules`, alice.token);
    expect(Object.keys(rules.json.global)).toContain('override');
  });

  test('a deletion is told once and left out of an initial sync', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const path = `${v3}/user/${enc(alice.userId)}/account_data/org.example.gone`;
    await client.put(path, { here: true }, alice.token);
    const { next_batch: before } = await sync(client, alice);
    await client.put(path, {}, alice.token);
    expect((await sync(client, alice, before)).account_data.events).toEqual([
      { type: 'org.example.gone', content: {} },
    ]);
    const { events } = (await sync(client, alice)).account_data;
    expect(events.map(({ type }: { type: string }) => type)).not.toContain('org.example.gone');
  });

  test('an upgraded room keeps the tags of its predecessor and is a direct chat as that was', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const data = `${v3}/user/${enc(alice.userId)}`;
    await client.put(`${data}/rooms/${enc(roomId)}/tags/m.favourite`, { order: 0.5 }, alice.token);
    await client.put(
      `${data}/account_data/m.direct`,
      { '@bob:localhost': [roomId], '@carol:localhost': [] },
      alice.token,
    );
    const upgraded = await client.post(`${v3}/rooms/${enc(roomId)}/upgrade`, { new_version: '11' }, alice.token);
    const fresh: string = upgraded.json.replacement_room;
    expect((await client.get(`${data}/rooms/${enc(fresh)}/tags`, alice.token)).json.tags).toEqual({
      'm.favourite': { order: 0.5 },
    });
    expect((await client.get(`${data}/account_data/m.direct`, alice.token)).json).toEqual({
      '@bob:localhost': [roomId, fresh],
      '@carol:localhost': [],
    });
  });

  test('tags are set, listed and removed one by one', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const tags = `${v3}/user/${enc(alice.userId)}/rooms/${enc(roomId)}/tags`;
    await client.put(`${tags}/m.favourite`, { order: 0.5 }, alice.token);
    await client.put(`${tags}/u.work`, {}, alice.token);
    const both = { 'm.favourite': { order: 0.5 }, 'u.work': {} };
    expect((await client.get(tags, alice.token)).json).toEqual({ tags: both });
    const synced = (await sync(client, alice)).rooms.join[roomId].account_data.events;
    expect(synced).toContainEqual({ type: 'm.tag', content: { tags: both } });
    await client.delete(`${tags}/m.favourite`, alice.token);
    expect((await client.get(tags, alice.token)).json).toEqual({ tags: { 'u.work': {} } });
    expect((await client.put(`${tags}/${'x'.repeat(256)}`, {}, alice.token)).status).toBe(400);
  });
});

describe('profiles', () => {
  test('a new name goes into every joined room and stays when it is set again', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const bob = await register(client, 'bob');
    const rooms = [await openRoom(client, alice, bob), await openRoom(client, alice, bob)];
    const since = (await sync(client, bob)).next_batch;
    const own = `${v3}/profile/${enc(alice.userId)}`;
    expect((await client.put(`${own}/displayname`, { displayname: 'Alice' }, alice.token)).json).toEqual({});
    const update = await sync(client, bob, since);
    for (const room of rooms) {
      const [event, ...more] = update.rooms.join[room].timeline.events;
      expect(more).toEqual([]);
      expect(event).toMatchObject({ type: 'm.room.member', content: { membership: 'join', displayname: 'Alice' } });
    }
    await client.put(`${own}/displayname`, { displayname: 'Alice' }, alice.token);
    expect((await sync(client, bob, update.next_batch)).rooms?.join).toBeUndefined();
    expect((await client.get(`${own}/displayname`)).json).toEqual({ displayname: 'Alice' });
    await client.put(`${own}/avatar_url`, { avatar_url: 'mxc://localhost/a' }, alice.token);
    expect((await client.get(own)).json).toEqual({ displayname: 'Alice', avatar_url: 'mxc://localhost/a' });
    await client.put(`${own}/avatar_url`, { avatar_url: '' }, alice.token);
    expect((await client.get(`${own}/avatar_url`)).json).toEqual({});
  });

  test('custom fields have names and a size to keep to, also under the unstable name', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const bob = await register(client, 'bob');
    const own = `${v3}/profile/${enc(alice.userId)}`;
    const set = (field: string, value: unknown, token = alice.token) =>
      client.put(`${own}/${field}`, { [field]: value }, token);
    expect((await set('m.tz', 'Europe/Berlin')).status).toBe(200);
    expect((await set('org.example.list', [1, { two: 2 }])).status).toBe(200);
    const unstable = `/_matrix/client/unstable/uk.tcpip.msc4133/profile/${enc(alice.userId)}/org.example.list`;
    expect((await client.get(unstable)).json).toEqual({ 'org.example.list': [1, { two: 2 }] });
    expect((await set('m.tz', 'Europe/Paris', bob.token)).json.errcode).toBe('M_FORBIDDEN');
    expect((await set('Capital', 1)).json.errcode).toBe('M_INVALID_PARAM');
    expect((await set(`a${'b'.repeat(255)}`, 1)).json.errcode).toBe('M_KEY_TOO_LARGE');
    expect((await set('org.example.big', 'x'.repeat(65_500))).json.errcode).toBe('M_PROFILE_TOO_LARGE');
    expect((await client.put(`${own}/m.tz`, {}, alice.token)).json.errcode).toBe('M_MISSING_PARAM');
    expect((await client.delete(`${own}/m.tz`, alice.token)).status).toBe(200);
    expect((await client.get(`${v3}/profile/${enc('@nobody:localhost')}`)).status).toBe(404);
  });
});

describe('filters', () => {
  test('the same filter gets the same id, and is its owner’s', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const path = `${v3}/user/${enc(alice.userId)}/filter`;
    const filter = { room: { timeline: { limit: 3 } } };
    const { filter_id: id } = (await client.post(path, filter, alice.token)).json;
    expect((await client.post(path, filter, alice.token)).json).toEqual({ filter_id: id });
    expect((await client.get(`${path}/${id}`, alice.token)).json).toEqual(filter);
    expect((await client.get(`${path}/99`, alice.token)).json.errcode).toBe('M_NOT_FOUND');
    expect((await client.get(`${path}/${id}`, bob.token)).json.errcode).toBe('M_FORBIDDEN');
    const wrong = await client.post(path, { room: { timeline: { limit: 'many' } } }, alice.token);
    expect([wrong.status, wrong.json.errcode]).toEqual([400, 'M_BAD_JSON']);
  });
});

describe('deactivation', () => {
  test('ends sessions and profile, leaves all rooms, and keeps the name taken', async () => {
    await using server = await startUserServer();
    const { client, db, users } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const phone = await login(client, 'alice', 'PHONE');
    const roomId = await openRoom(client, bob, alice);
    await client.put(`${v3}/profile/${enc(alice.userId)}/displayname`, { displayname: 'Alice' }, alice.token);
    const identifier = { type: 'm.id.user', user: 'alice' };
    const auth = { type: 'm.login.password', identifier, password: 'correct horse' };
    const done = await client.post(`${v3}/account/deactivate`, { auth, erase: true }, alice.token);
    expect([done.status, done.json]).toEqual([200, { id_server_unbind_result: 'success' }]);
    for (const { token } of [alice, phone]) expect((await client.get(`${v3}/devices`, token)).status).toBe(401);
    expect((await client.post(`${v3}/login`, auth)).status).toBe(403);
    expect((await client.get(`${v3}/profile/${enc(alice.userId)}`)).status).toBe(404);
    expect((await client.get(`${v3}/register/available?username=alice`)).json.errcode).toBe('M_USER_IN_USE');
    const { joined } = (await client.get(`${v3}/rooms/${enc(roomId)}/joined_members`, bob.token)).json;
    expect(Object.keys(joined)).toEqual([bob.userId]);
    expect(db.read((snapshot) => users.accounts.isErased(snapshot, alice.userId))).toBe(true);
  });

  test('with erase, who joins later sees the events redacted, by every endpoint', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob, carol] = await registerAll(client, 'alice', 'bob', 'carol');
    const roomId = await openRoom(client, bob, alice);
    const said = await say(client, roomId, alice, { body: 'mine' });
    const identifier = { type: 'm.id.user', user: 'alice' };
    const auth = { type: 'm.login.password', identifier, password: 'correct horse' };
    await client.post(`${v3}/account/deactivate`, { auth, erase: true }, alice.token);
    await client.post(`${v3}/join/${enc(roomId)}`, {}, carol.token);
    const room = `${v3}/rooms/${enc(roomId)}`;
    for (const path of [`/event/${enc(said)}`, '/messages?dir=b&limit=50', `/context/${enc(said)}`]) {
      expect((await client.get(room + path, bob.token)).text).toContain('"mine"');
      const { status, text } = await client.get(room + path, carol.token);
      expect([status, text.includes(said), text.includes('"mine"')]).toEqual([200, true, false]);
    }
  });
});
