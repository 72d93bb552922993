import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { testConfig } from '../support/http.ts';
import { password, register, startUserServer, v3 } from '../support/userapi.ts';

const registration = testConfig().registration;
const identifier = (user: string) => ({ type: 'm.id.user', user });

describe('registration', () => {
  test('a request without auth gets flows and a session, with which the dummy stage completes it', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const first = await client.post(`${v3}/register`, { username: 'alice', password });
    expect(first.status).toBe(401);
    expect(first.json).toMatchObject({ flows: [{ stages: ['m.login.dummy'] }], params: {}, completed: [] });
    const auth = { type: 'm.login.dummy', session: first.json.session };
    const done = await client.post(`${v3}/register`, { auth });
    expect(done.status).toBe(200);
    expect(done.json).toMatchObject({ user_id: '@alice:localhost', home_server: 'localhost' });
    const whoami = await client.get(`${v3}/account/whoami`, done.json.access_token);
    expect(whoami.json).toEqual({ user_id: '@alice:localhost', device_id: done.json.device_id, is_guest: false });
  });

  test('a repeated request of a completed session gets the first answer', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const wish = { username: 'alice', password };
    const { session } = (await client.post(`${v3}/register`, wish)).json;
    const body = { ...wish, auth: { type: 'm.login.dummy', session } };
    const first = await client.post(`${v3}/register`, body);
    const again = await client.post(`${v3}/register`, body);
    expect([again.status, again.json]).toEqual([200, first.json]);
  });

  test('new users are known by their localpart; guests and users without an avatar have none', async () => {
    await using server = await startUserServer();
    const { client } = server;
    await register(client, 'alice');
    const profile = (user: string, field = '') => client.get(`${v3}/profile/${user}${field}`);
    expect((await profile('@alice:localhost')).json).toEqual({ displayname: 'alice' });
    expect((await profile('@alice:localhost', '/avatar_url')).json).toEqual({});
    expect((await profile('@alice:localhost', '/org.example.field')).status).toBe(404);
  });

  test('a guest becomes a user under the name that he has', async () => {
    await using server = await startUserServer({ registration: { ...registration, mode: 'open', guests: true } });
    const { client } = server;
    const guest = (await client.post(`${v3}/register?kind=guest`, {})).json;
    const username: string = guest.user_id.slice(1).split(':')[0];
    const other = (await client.post(`${v3}/register?kind=guest`, {})).json;
    const upgrade = (more: object) =>
      client.post(`${v3}/register`, {
        ...{ username, password, guest_access_token: guest.access_token },
        ...{ auth: { type: 'm.login.dummy' }, ...more },
      });
    expect((await upgrade({ username: 'alice' })).json.errcode).toBe('M_INVALID_USERNAME');
    expect((await upgrade({ guest_access_token: other.access_token })).status).toBe(400);
    expect((await upgrade({ guest_access_token: 'none' })).json.errcode).toBe('M_FORBIDDEN');
    const done = await upgrade({});
    expect([done.status, done.json.user_id]).toEqual([200, guest.user_id]);
    expect((await client.get(`${v3}/account/whoami`, guest.access_token)).json.is_guest).toBe(false);
    expect((await upgrade({})).json.errcode).toBe('M_FORBIDDEN');
  });

  test('the dummy stage without a session succeeds at once', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'Alice', { device_id: 'PHONE', initial_device_display_name: 'Phone' });
    expect(alice).toMatchObject({ userId: '@alice:localhost', deviceId: 'PHONE' });
    const { json } = await server.client.get(`${v3}/devices`, alice.token);
    expect(json.devices).toMatchObject([{ device_id: 'PHONE', display_name: 'Phone', last_seen_ip: '127.0.0.1' }]);
  });

  test('names that are taken or impossible are refused before any stage', async () => {
    await using server = await startUserServer();
    const { client } = server;
    await register(client, 'alice');
    const taken = await client.post(`${v3}/register`, { username: 'alice', password });
    expect([taken.status, taken.json.errcode]).toEqual([400, 'M_USER_IN_USE']);
    for (const username of ['a b', 'é', 'a:b', '', 'x'.repeat(250)]) {
      const bad = await client.post(`${v3}/register`, { username, password });
      expect([username, bad.status, bad.json.errcode]).toEqual([username, 400, 'M_INVALID_USERNAME']);
    }
    const available = (name: string) => client.get(`${v3}/register/available?username=${name}`);
    expect((await available('alice')).json.errcode).toBe('M_USER_IN_USE');
    expect((await available('bob')).json).toEqual({ available: true });
    expect((await available('b%20b')).json.errcode).toBe('M_INVALID_USERNAME');
  });

  test('inhibit_login makes no device', async () => {
    await using server = await startUserServer();
    const body = { username: 'alice', password, inhibit_login: true, auth: { type: 'm.login.dummy' } };
    const { json } = await server.client.post(`${v3}/register`, body);
    expect(json).toEqual({ user_id: '@alice:localhost', home_server: 'localhost' });
  });

  test('a registration token is demanded, checked and the terms follow', async () => {
    const document = { id: 'privacy', version: '1.0', language: 'en', name: 'Privacy', url: 'https://example.org/' };
    await using server = await startUserServer({
      registration: { ...registration, mode: 'token', token: 'open-sesame', terms: [document] },
    });
    const { client } = server;
    const validity = (token: string) =>
      client.get(`/_matrix/client/v1/register/m.login.registration_token/validity?token=${token}`);
    expect((await validity('open-sesame')).json).toEqual({ valid: true });
    expect((await validity('other')).json).toEqual({ valid: false });
    const first = await client.post(`${v3}/register`, { username: 'alice', password });
    expect(first.json.flows).toEqual([{ stages: ['m.login.registration_token', 'm.login.terms'] }]);
    const policies = { privacy: { version: '1.0', en: { name: 'Privacy', url: 'https://example.org/' } } };
    expect(first.json.params).toEqual({ 'm.login.terms': { policies } });
    const { session } = first.json;
    const attempt = (auth: object) => client.post(`${v3}/register`, { auth: { session, ...auth } });
    const wrong = await attempt({ type: 'm.login.registration_token', token: 'other' });
    expect([wrong.status, wrong.json.errcode, wrong.json.session]).toEqual([401, 'M_FORBIDDEN', session]);
    const right = await attempt({ type: 'm.login.registration_token', token: 'open-sesame' });
    expect([right.status, right.json.completed]).toEqual([401, ['m.login.registration_token']]);
    expect((await attempt({ type: 'm.login.terms' })).json.user_id).toBe('@alice:localhost');
  });

  test('a browser completes a stage that the client does not know', async () => {
    const config = { registration: { ...registration, mode: 'token', token: 'open-sesame' } } as const;
    await using server = await startUserServer(config);
    const { client } = server;
    const { session } = (await client.post(`${v3}/register`, { username: 'alice', password })).json;
    const page = `${v3}/auth/m.login.registration_token/fallback/web?session=${session}`;
    const form = await client.get(page);
    expect([form.status, form.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect((await client.post(page, 'token=wrong', undefined)).status).toBe(401);
    const retry = () => client.post(`${v3}/register`, { auth: { session } });
    expect((await retry()).status).toBe(401);
    expect((await client.post(page, 'token=open-sesame', undefined)).text).toContain('window.onAuthDone');
    expect((await retry()).json.user_id).toBe('@alice:localhost');
    expect((await client.get(page)).json.errcode).toBe('M_NOT_FOUND');
  });

  test('without a configured token one is made and kept', async () => {
    await using server = await startUserServer({ registration: { ...registration, mode: 'token' } });
    const { users, db } = server;
    const token = await users.registrationTokens.current(db);
    expect(token).toMatch(/^[A-Za-z0-9]{20,64}$/);
    expect(await users.registrationTokens.current(db)).toBe(token);
    const auth = { type: 'm.login.registration_token', token };
    expect((await server.client.post(`${v3}/register`, { username: 'a', password, auth })).status).toBe(200);
  });

  test('a closed server refuses users and, unless guests are let in, guests', async () => {
    await using closed = await startUserServer({ registration: { ...registration, mode: 'closed' } });
    expect((await closed.client.post(`${v3}/register`, {})).json.errcode).toBe('M_FORBIDDEN');
    expect((await closed.client.post(`${v3}/register?kind=guest`, {})).status).toBe(403);
    await using open = await startUserServer({ registration: { ...registration, mode: 'open', guests: true } });
    const guest = await open.client.post(`${v3}/register?kind=guest`, { username: 'ignored' });
    expect(guest.status).toBe(200);
    expect(guest.json.user_id).not.toContain('ignored');
    const token = guest.json.access_token;
    expect((await open.client.get(`${v3}/account/whoami`, token)).json.is_guest).toBe(true);
    expect((await open.client.get(`${v3}/capabilities`, token)).json.errcode).toBe('M_GUEST_ACCESS_FORBIDDEN');
  });

  test('who knows the shared secret makes accounts, administrators too', async () => {
    await using server = await startUserServer({ registration: { ...registration, sharedSecret: 'hush' } });
    const { client, users, db } = server;
    const admin = '/_synapse/admin/v1/register';
    const attempt = async (username: string, secret = 'hush', nonce?: string) => {
      const fresh = nonce ?? (await client.get(admin)).json.nonce;
      const mac = createHmac('sha1', secret).update([fresh, username, password, 'admin'].join('\0')).digest('hex');
      return client.post(admin, { nonce: fresh, username, password, admin: true, mac, displayname: 'The Boss' });
    };
    const made = await attempt('Boss');
    expect(made.json).toMatchObject({ user_id: '@boss:localhost', home_server: 'localhost' });
    const boss = db.read((snapshot) => users.accounts.find(snapshot, 'boss'));
    expect(boss).toMatchObject({ isAdmin: true, userType: undefined });
    expect((await attempt('boss')).json.errcode).toBe('M_USER_IN_USE');
    expect((await attempt('bad name')).json.errcode).toBe('M_INVALID_USERNAME');
    expect((await attempt('eve', 'guess')).status).toBe(403);
    expect((await attempt('eve', 'hush', 'stale')).status).toBe(400);
  });

  test('the operator endpoint does not exist without a secret', async () => {
    await using server = await startUserServer();
    expect((await server.client.get('/_synapse/admin/v1/register')).json.errcode).toBe('M_UNRECOGNIZED');
  });
});

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
