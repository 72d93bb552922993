/** How accounts are made: stages, guests, tokens, the shared secret. */
import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { testConfig } from '../support/http.ts';
import { password, register, startUserServer, v3 } from '../support/userapi.ts';

const registration = testConfig().registration;

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
