/** What administrators see of accounts, and how they lock, list, make and change them. */
import { describe, expect, test } from '@jest/globals';
import { enc, outcome, startAdminServer, v1, v2 } from '../support/admin.ts';
import { login, openRoom, password, register, say, sync, v3 } from '../support/userapi.ts';

const moderation = '/_matrix/client/v1/admin';

describe('whois', () => {
  test('tells users about themselves and administrators about everybody', async () => {
    await using server = await startAdminServer();
    const { client, admin, alice } = server;
    const path = `${v3}/admin/whois/${enc(alice.userId)}`;
    const own = await client.request(path, { token: alice.token, headers: { 'User-Agent': 'test/1' } });
    const connection = { ip: expect.any(String), last_seen: expect.any(Number), user_agent: expect.any(String) };
    const devices = { [alice.deviceId]: { sessions: [{ connections: [connection] }] } };
    expect(own.json).toEqual({ user_id: alice.userId, devices });
    expect((await client.get(path, admin.token)).json.devices[alice.deviceId].sessions[0].connections[0]).toEqual({
      ...connection,
      user_agent: 'test/1',
    });
    expect((await client.get(`${v1}/whois/${enc(alice.userId)}`, admin.token)).status).toBe(200);
    expect(outcome(await client.get(`${v3}/admin/whois/${enc(admin.userId)}`, alice.token))).toEqual([
      403,
      'M_FORBIDDEN',
    ]);
    expect(outcome(await client.get(`${v3}/admin/whois/@none:localhost`, admin.token))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await client.get(`${v3}/admin/whois/@a:elsewhere`, admin.token))).toEqual([400, 'M_INVALID_PARAM']);
  });
});

describe('suspending and locking', () => {
  test('is for administrators, who are told so before anything is looked up', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    for (const [verb, state] of [
      ['suspend', 'suspended'],
      ['lock', 'locked'],
    ] as const) {
      const path = `${moderation}/${verb}`;
      for (const target of [alice.userId, '@none:localhost', '@a:elsewhere']) {
        expect(outcome(await client.get(`${path}/${enc(target)}`, alice.token))).toEqual([403, 'M_FORBIDDEN']);
        const put = await client.put(`${path}/${enc(target)}`, { [state]: true }, alice.token);
        expect(outcome(put)).toEqual([403, 'M_FORBIDDEN']);
      }
      expect(outcome(await ask('GET', `${path}/@a:elsewhere`))).toEqual([400, 'M_INVALID_PARAM']);
      expect(outcome(await ask('GET', `${path}/@none:localhost`))).toEqual([404, 'M_NOT_FOUND']);
      expect(outcome(await ask('PUT', `${path}/${enc(admin.userId)}`, { [state]: true }))).toEqual([
        403,
        'M_FORBIDDEN',
      ]);
      expect(outcome(await ask('PUT', `${path}/${enc(alice.userId)}`, {}))).toEqual([400, 'M_MISSING_PARAM']);
      expect((await ask('GET', `${path}/${enc(alice.userId)}`)).json).toEqual({ [state]: false });
      expect((await ask('PUT', `${path}/${enc(alice.userId)}`, { [state]: true })).json).toEqual({ [state]: true });
      const unstable = `/_matrix/client/unstable/uk.timedout.msc4323/admin/${verb}/${enc(alice.userId)}`;
      expect((await ask('GET', unstable)).json).toEqual({ [state]: true });
      expect((await ask('PUT', unstable, { [state]: false })).json).toEqual({ [state]: false });
      await ask('PUT', `${v1}/users/${enc(alice.userId)}/admin`, { admin: true });
      expect(outcome(await ask('PUT', `${path}/${enc(alice.userId)}`, { [state]: true }))).toEqual([
        403,
        'M_FORBIDDEN',
      ]);
      await ask('PUT', `${v1}/users/${enc(alice.userId)}/admin`, { admin: false });
    }
    const capabilities = async (token: string) => (await client.get(`${v3}/capabilities`, token)).json.capabilities;
    expect((await capabilities(admin.token))['m.account_moderation']).toEqual({ suspend: true, lock: true });
    expect(await capabilities(alice.token)).not.toHaveProperty(['m.account_moderation']);
  });

  test('locked accounts can log out and nothing else, until they are unlocked', async () => {
    await using server = await startAdminServer();
    const { client, ask, alice } = server;
    await ask('PUT', `${moderation}/lock/${enc(alice.userId)}`, { locked: true });
    const refused = await client.get(`${v3}/account/whoami`, alice.token);
    expect(refused.status).toBe(401);
    expect(refused.json).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
    await ask('PUT', `${moderation}/lock/${enc(alice.userId)}`, { locked: false });
    expect((await client.get(`${v3}/account/whoami`, alice.token)).status).toBe(200);
    await ask('PUT', `${moderation}/lock/${enc(alice.userId)}`, { locked: true });
    expect((await client.post(`${v3}/logout`, {}, alice.token)).status).toBe(200);
  });

  test('suspended accounts read, leave and redact their own, and are refused the rest', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const roomId = await openRoom(client, admin, alice);
    const other = await openRoom(client, admin);
    const room = `${v3}/rooms/${enc(roomId)}`;
    const own = await say(client, roomId, alice);
    const foreign = await say(client, roomId, admin);
    await ask('PUT', `${v1}/suspend/${enc(alice.userId)}`, { suspend: true });
    const suspended = [403, 'M_USER_SUSPENDED'];
    const put = (path: string, body: object) => client.put(`${room}${path}`, body, alice.token);
    expect(outcome(await put('/send/m.room.message/1', { msgtype: 'm.text', body: 'x' }))).toEqual(suspended);
    expect(outcome(await put('/state/m.room.name', { name: 'x' }))).toEqual(suspended);
    expect(outcome(await put(`/redact/${enc(foreign)}/2`, {}))).toEqual(suspended);
    expect(outcome(await client.post(`${v3}/join/${enc(other)}`, {}, alice.token))).toEqual(suspended);
    expect(outcome(await client.post(`${v3}/knock/${enc(other)}`, {}, alice.token))).toEqual(suspended);
    expect(outcome(await client.post(`${v3}/createRoom`, {}, alice.token))).toEqual(suspended);
    expect(outcome(await client.post(`${room}/invite`, { user_id: '@b:localhost' }, alice.token))).toEqual(suspended);
    const name = `${v3}/profile/${enc(alice.userId)}/displayname`;
    expect(outcome(await client.put(name, { displayname: 'x' }, alice.token))).toEqual(suspended);
    expect(outcome(await client.delete(name, alice.token))).toEqual(suspended);
    expect((await put(`/redact/${enc(own)}/3`, {})).status).toBe(200);
    expect((await sync(client, alice)).rooms.join).toHaveProperty([roomId]);
    expect((await login(client, 'alice', 'SECOND')).deviceId).toBe('SECOND');
    expect((await client.post(`${room}/leave`, {}, alice.token)).status).toBe(200);
  });
});

describe('the list of accounts', () => {
  test('is filtered, ordered and paged', async () => {
    await using server = await startAdminServer({});
    const { client, ask, alice } = server;
    for (const name of ['bob', 'carol', 'dave']) await register(client, name);
    await client.put(`${v3}/profile/${enc(alice.userId)}/displayname`, { displayname: 'Wonder Land' }, alice.token);
    await ask('POST', `${v1}/deactivate/${enc('@dave:localhost')}`, {});
    await ask('PUT', `${v2}/users/${enc('@carol:localhost')}`, { locked: true, user_type: 'bot' });
    const names = async (query: string, base = v2) =>
      (await ask('GET', `${base}/users?${query}`)).json.users.map(({ name }: { name: string }) => name.slice(1, -10));
    expect(await names('')).toEqual(['admin', 'alice', 'bob']);
    expect(await names('deactivated=true&locked=true')).toEqual(['admin', 'alice', 'bob', 'carol', 'dave']);
    expect(await names('deactivated=true', '/_synapse/admin/v3')).toEqual(['dave']);
    expect(await names('locked=true', '/_synapse/admin/v3')).toHaveLength(5);
    expect(await names('locked=true&not_user_type=bot')).toEqual(['admin', 'alice', 'bob']);
    expect(await names('locked=true&not_user_type=')).toEqual(['carol']);
    expect(await names('name=WONDER')).toEqual(['alice']);
    expect(await names('name=localhost')).toEqual([]);
    expect(await names('user_id=localhost')).toHaveLength(3);
    expect(await names('admins=true')).toEqual(['admin']);
    expect(await names('dir=b')).toEqual(['bob', 'alice', 'admin']);
    expect(await names('order_by=creation_ts')).toHaveLength(3);
    const page = await ask('GET', `${v2}/users?limit=2`);
    expect(page.json).toMatchObject({ total: 3, next_token: '2' });
    const [first] = page.json.users;
    expect(first).toMatchObject({ name: '@admin:localhost', admin: true, is_guest: false, displayname: 'admin' });
    const rest = await ask('GET', `${v2}/users?limit=2&from=2`);
    expect(rest.json.users).toHaveLength(1);
    expect(rest.json).not.toHaveProperty('next_token');
    expect(outcome(await ask('GET', `${v2}/users?limit=-1`))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await ask('GET', `${v2}/users?order_by=shoe_size`))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await client.get(`${v2}/users`, alice.token))).toEqual([403, 'M_FORBIDDEN']);
    expect(outcome(await client.get(`${v2}/users`))).toEqual([401, 'M_MISSING_TOKEN']);
  });
});

describe('making and changing accounts', () => {
  test('makes an account that can log in, and changes what is named', async () => {
    await using server = await startAdminServer();
    const { client, ask } = server;
    const bob = `${v2}/users/${enc('@bob:localhost')}`;
    const wish = {
      password,
      displayname: 'Bob',
      avatar_url: 'mxc://localhost/abc',
      threepids: [{ medium: 'email', address: 'Bob@Example.org' }],
      user_type: 'support',
    };
    const made = await ask('PUT', bob, wish);
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({
      ...{ name: '@bob:localhost', displayname: 'Bob', avatar_url: 'mxc://localhost/abc', admin: false },
      threepids: [{ medium: 'email', address: 'bob@example.org' }],
      ...{ user_type: 'support', deactivated: false, locked: false, suspended: false, erased: false },
    });
    const session = await login(client, 'bob', 'ONE');
    expect((await ask('GET', `${v1}/threepid/email/users/bob%40example.org`)).json).toEqual({
      user_id: '@bob:localhost',
    });
    const taken = { threepids: [{ medium: 'email', address: 'bob@example.org' }] };
    expect(outcome(await ask('PUT', `${v2}/users/@alice:localhost`, taken))).toEqual([400, 'M_THREEPID_IN_USE']);
    const changed = await ask('PUT', bob, { displayname: '', threepids: [], user_type: null, admin: true });
    expect(changed.status).toBe(200);
    expect(changed.json).toMatchObject({ displayname: null, threepids: [], user_type: null, admin: true });
    expect((await ask('PUT', bob, { password: 'new', logout_devices: false })).status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, session.token)).status).toBe(200);
    expect((await ask('PUT', bob, { password })).status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, session.token)).status).toBe(401);
    await login(client, 'bob', 'TWO');
    const closed = await ask('PUT', bob, { deactivated: true });
    expect(closed.json).toMatchObject({ deactivated: true, erased: false });
    expect(outcome(await ask('PUT', bob, { password }))).toEqual([400, 'M_INVALID_PARAM']);
    expect((await ask('PUT', bob, { password, deactivated: false })).json).toMatchObject({ deactivated: false });
    await login(client, 'bob', 'THREE');
  });

  test('refuses impossible names, other servers, and what would shut the administrator out', async () => {
    await using server = await startAdminServer();
    const { ask, admin } = server;
    expect(outcome(await ask('PUT', `${v2}/users/@Bob:localhost`, { password }))).toEqual([400, 'M_INVALID_USERNAME']);
    expect(outcome(await ask('PUT', `${v2}/users/@bob:elsewhere`, { password }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await ask('PUT', `${v2}/users/bob`, { password }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await ask('GET', `${v2}/users/@bob:localhost`))).toEqual([404, 'M_NOT_FOUND']);
    for (const change of [{ admin: false }, { deactivated: true }, { locked: true }, { suspended: true }]) {
      expect(outcome(await ask('PUT', `${v2}/users/${enc(admin.userId)}`, change))).toEqual([400, 'M_INVALID_PARAM']);
    }
    expect(outcome(await ask('PUT', `${v1}/users/${enc(admin.userId)}/admin`, { admin: false }))[0]).toBe(400);
  });

  test('a new name reaches the rooms of the user', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const roomId = await openRoom(client, alice, admin);
    await ask('PUT', `${v2}/users/${enc(alice.userId)}`, { displayname: 'Renamed' });
    const path = `${v3}/rooms/${enc(roomId)}/state/m.room.member/${enc(alice.userId)}`;
    expect((await client.get(path, alice.token)).json).toMatchObject({ displayname: 'Renamed' });
  });
});
