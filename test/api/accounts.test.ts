/** Accounts that are there: log-in, tokens, devices, passwords. */
import { describe, expect, test } from '@jest/globals';
import { password, register, startUserServer, v3 } from '../support/userapi.ts';

const identifier = (user: string) => ({ type: 'm.id.user', user });

describe('login', () => {
  test('works by user id, by localpart in any case, and by the deprecated member', async () => {
    await using server = await startUserServer();
    const { client } = server;
    await register(client, 'alice');
    for (const who of [
      { identifier: identifier('@alice:localhost') },
      { identifier: identifier('alice') },
      { identifier: identifier('ALICE') },
      { user: 'alice' },
    ]) {
      const { status, json } = await client.post(`${v3}/login`, { type: 'm.login.password', password, ...who });
      expect([status, json.user_id]).toEqual([200, '@alice:localhost']);
    }
    expect((await client.get(`${v3}/login`)).json.flows.map((flow: { type: string }) => flow.type)).toContain(
      'm.login.password',
    );
  });

  test('wrong passwords and unknown users look the same', async () => {
    await using server = await startUserServer();
    const { client } = server;
    await register(client, 'alice');
    const attempt = (user: string) =>
      client.post(`${v3}/login`, { type: 'm.login.password', identifier: identifier(user), password: 'guess' });
    const [wrong, unknown] = [await attempt('alice'), await attempt('nobody')];
    expect([wrong.status, wrong.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    expect(unknown.json).toEqual(wrong.json);
    const odd = await client.post(`${v3}/login`, { type: 'm.login.magic' });
    expect([odd.status, odd.json.errcode]).toEqual([400, 'M_UNKNOWN']);
    expect((await client.post(`${v3}/login`, {})).json.errcode).toBe('M_MISSING_PARAM');
  });

  test('logging in on a known device ends its earlier token and keeps its name', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice', { initial_device_display_name: 'Phone' });
    const again = await client.post(`${v3}/login`, {
      ...{ type: 'm.login.password', identifier: identifier('alice'), password },
      ...{ device_id: alice.deviceId, initial_device_display_name: 'Other' },
    });
    const old = await client.get(`${v3}/devices`, alice.token);
    expect([old.status, old.json.errcode, old.json.soft_logout]).toEqual([401, 'M_UNKNOWN_TOKEN', false]);
    const { json } = await client.get(`${v3}/devices/${alice.deviceId}`, again.json.access_token);
    expect(json.display_name).toBe('Phone');
  });

  test('a login token is good for one login within two minutes', async () => {
    await using server = await startUserServer();
    const { client, clock } = server;
    const alice = await register(client, 'alice');
    const auth = { type: 'm.login.password', identifier: identifier('alice'), password };
    const get = () => client.post('/_matrix/client/v1/login/get_token', { auth }, alice.token);
    const token = (await get()).json.login_token;
    const login = (value: string) => client.post(`${v3}/login`, { type: 'm.login.token', token: value });
    expect((await login(token)).json.user_id).toBe('@alice:localhost');
    expect((await login(token)).json.errcode).toBe('M_FORBIDDEN');
    const late = (await get()).json.login_token;
    clock.advance(121_000);
    expect((await login(late)).json.errcode).toBe('M_FORBIDDEN');
  });

  test('locked accounts may only log out', async () => {
    await using server = await startUserServer();
    const { client, users, db } = server;
    const alice = await register(client, 'alice');
    const account = db.read((snapshot) => users.accounts.find(snapshot, 'alice'));
    if (account === undefined) throw new Error('no account');
    await db.write((tx) => users.accounts.setLocked(tx, account.userId, true));
    const refused = await client.get(`${v3}/account/whoami`, alice.token);
    expect([refused.status, refused.json.errcode, refused.json.soft_logout]).toEqual([401, 'M_USER_LOCKED', true]);
    expect((await client.post(`${v3}/logout`, {}, alice.token)).status).toBe(200);
  });
});

describe('refresh tokens', () => {
  const start = async (client: Awaited<ReturnType<typeof startUserServer>>['client']) => {
    const body = { username: 'alice', password, refresh_token: true, auth: { type: 'm.login.dummy' } };
    return (await client.post(`${v3}/register`, body)).json;
  };

  test('an expired access token is a soft logout, and refreshing goes on', async () => {
    await using server = await startUserServer();
    const { client, clock } = server;
    const first = await start(client);
    clock.advance(first.expires_in_ms + 1);
    const expired = await client.get(`${v3}/account/whoami`, first.access_token);
    expect([expired.status, expired.json.errcode, expired.json.soft_logout]).toEqual([401, 'M_UNKNOWN_TOKEN', true]);
    const second = (await client.post(`${v3}/refresh`, { refresh_token: first.refresh_token })).json;
    const whoami = await client.get(`${v3}/account/whoami`, second.access_token);
    expect(whoami.json.device_id).toBe(first.device_id);
    clock.advance(second.expires_in_ms + 1);
    expect((await client.post(`${v3}/logout`, {}, second.access_token)).status).toBe(200);
  });

  test('a lost answer can be fetched again; the first use of a new pair ends the old one and its siblings', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const first = await start(client);
    const refresh = (token: string) => client.post(`${v3}/refresh`, { refresh_token: token });
    const lost = (await refresh(first.refresh_token)).json;
    const second = (await refresh(first.refresh_token)).json;
    expect((await client.get(`${v3}/account/whoami`, first.access_token)).status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, second.access_token)).status).toBe(200);
    const replayed = await refresh(first.refresh_token);
    expect([replayed.status, replayed.json.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN']);
    expect((await client.get(`${v3}/account/whoami`, first.access_token)).status).toBe(401);
    expect((await client.get(`${v3}/account/whoami`, lost.access_token)).status).toBe(401);
    expect((await refresh(second.refresh_token)).status).toBe(200);
  });
});

describe('devices', () => {
  test('deleting one takes the password and ends its session', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const login = { type: 'm.login.password', identifier: identifier('alice'), password };
    const other = (await client.post(`${v3}/login`, { ...login, device_id: 'OLD' })).json;
    const asked = await client.delete(`${v3}/devices/OLD`, alice.token);
    expect([asked.status, asked.json.flows]).toEqual([401, [{ stages: ['m.login.password'] }]]);
    const { session } = asked.json;
    const wrong = await client.delete(`${v3}/devices/OLD`, alice.token, { auth: { ...login, session, password: 'x' } });
    expect([wrong.status, wrong.json.errcode]).toEqual([401, 'M_FORBIDDEN']);
    const right = await client.delete(`${v3}/devices/OLD`, alice.token, { auth: { ...login, session } });
    expect([right.status, right.json]).toEqual([200, {}]);
    expect((await client.get(`${v3}/account/whoami`, other.access_token)).status).toBe(401);
    expect((await client.get(`${v3}/devices/OLD`, alice.token)).json.errcode).toBe('M_NOT_FOUND');
  });

  test("another user's password does not delete a device", async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    await register(client, 'bob');
    const auth = { type: 'm.login.password', identifier: identifier('bob'), password };
    const refused = await client.delete(`${v3}/devices/${alice.deviceId}`, alice.token, { auth });
    expect([refused.status, refused.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a session that was begun for one does not delete another', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice', { device_id: 'PHONE' });
    const { session } = (await client.delete(`${v3}/devices/PHONE`, alice.token)).json;
    const auth = { type: 'm.login.password', identifier: identifier('alice'), password, session };
    const refused = await client.post(`${v3}/delete_devices`, { devices: ['TABLET'], auth }, alice.token);
    expect([refused.status, refused.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('are renamed, and logout/all ends every session', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const path = `${v3}/devices/${alice.deviceId}`;
    expect((await client.put(path, { display_name: 'Laptop' }, alice.token)).json).toEqual({});
    expect((await client.get(path, alice.token)).json.display_name).toBe('Laptop');
    expect((await client.put(`${v3}/devices/NONE`, {}, alice.token)).status).toBe(404);
    expect((await client.post(`${v3}/logout/all`, {}, alice.token)).status).toBe(200);
    expect((await client.get(path, alice.token)).status).toBe(401);
  });
});

describe('passwords', () => {
  test('a change logs other devices out and takes effect', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const login = (secret: string) =>
      client.post(`${v3}/login`, { type: 'm.login.password', identifier: identifier('alice'), password: secret });
    const other = (await login(password)).json;
    const auth = { type: 'm.login.password', identifier: identifier('alice'), password };
    const changed = await client.post(`${v3}/account/password`, { new_password: 'battery', auth }, alice.token);
    expect(changed.status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, alice.token)).status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, other.access_token)).status).toBe(401);
    expect((await login(password)).status).toBe(403);
    expect((await login('battery')).status).toBe(200);
  });
});

test('versions lists every version from v1.1 to v1.19, and no feature that is not served', async () => {
  await using server = await startUserServer();
  const { json } = await server.client.get('/_matrix/client/versions');
  expect(json.versions).toHaveLength(19);
  expect(json.versions).toEqual(expect.arrayContaining(['v1.1', 'v1.11', 'v1.19']));
  expect(json.unstable_features).toMatchObject({ 'uk.half-shot.msc2666.query_mutual_rooms': true });
  for (const later of ['simplified_msc3575', 'msc4140', 'msc4108', 'msc4306', 'msc4354', 'msc3881']) {
    expect(json.unstable_features).not.toHaveProperty([`org.matrix.${later}`]);
  }
});
