/** Single actions of administrators on accounts, their devices, and registration tokens. */
import { describe, expect, test } from '@jest/globals';
import { enc, outcome, startAdminServer, v1, v2 } from '../support/admin.ts';
import { login, openRoom, password, sync, v3 } from '../support/userapi.ts';

describe('single actions', () => {
  test('resetting a password ends the sessions unless told otherwise', async () => {
    await using server = await startAdminServer();
    const { client, ask, alice } = server;
    const path = `${v1}/reset_password/${enc(alice.userId)}`;
    expect(outcome(await ask('POST', path, {}))).toEqual([400, 'M_MISSING_PARAM']);
    await ask('POST', path, { new_password: 'first', logout_devices: false });
    expect((await client.get(`${v3}/account/whoami`, alice.token)).status).toBe(200);
    await ask('POST', path, { new_password: password });
    expect((await client.get(`${v3}/account/whoami`, alice.token)).status).toBe(401);
    await login(client, 'alice', 'NEW');
  });

  test('deactivating with erasure leaves rooms and removes the profile', async () => {
    await using server = await startAdminServer();
    const { client, ask, admin, alice } = server;
    const roomId = await openRoom(client, admin, alice);
    await ask('PUT', `${v2}/users/${enc(alice.userId)}`, { displayname: 'Alice' });
    const answer = await ask('POST', `${v1}/deactivate/${enc(alice.userId)}`, { erase: true });
    expect(answer.json).toEqual({ id_server_unbind_result: 'success' });
    const reopened = await ask('PUT', `${v2}/users/${enc(alice.userId)}`, { deactivated: false, password });
    expect(outcome(reopened)).toEqual([400, 'M_INVALID_PARAM']);
    const account = (await ask('GET', `${v2}/users/${enc(alice.userId)}`)).json;
    expect(account).toMatchObject({ deactivated: true, erased: true, displayname: null });
    expect((await ask('GET', `${v1}/users/${enc(alice.userId)}/joined_rooms`)).json).toEqual({
      joined_rooms: [],
      total: 0,
    });
    expect((await ask('GET', `${v1}/users/${enc(alice.userId)}/memberships`)).json).toEqual({
      memberships: { [roomId]: 'leave' },
    });
    expect(outcome(await client.get(`${v3}/account/whoami`, alice.token))).toEqual([401, 'M_UNKNOWN_TOKEN']);
  });

  test('acting as a user makes no device and ends with the logout of the administrator', async () => {
    await using server = await startAdminServer();
    const { client, ask, clock, admin, alice } = server;
    const path = `${v1}/users/${enc(alice.userId)}/login`;
    const { json } = await ask('POST', path, {});
    const who = await client.get(`${v3}/account/whoami`, json.access_token);
    expect(who.json).toMatchObject({ user_id: alice.userId });
    expect(who.json).not.toHaveProperty('device_id');
    const roomId = await openRoom(client, { ...alice, token: json.access_token });
    expect((await sync(client, { ...alice, token: json.access_token })).rooms.join).toHaveProperty([roomId]);
    expect((await client.get(`${v3}/devices`, alice.token)).json.devices).toHaveLength(1);
    const short = (await ask('POST', path, { valid_until_ms: clock.now() + 1000 })).json.access_token;
    expect((await client.get(`${v3}/account/whoami`, short)).status).toBe(200);
    clock.advance(2000);
    expect((await client.get(`${v3}/account/whoami`, short)).status).toBe(401);
    const single = (await ask('POST', path, {})).json.access_token;
    await client.post(`${v3}/logout`, {}, single);
    expect((await client.get(`${v3}/account/whoami`, single)).status).toBe(401);
    await client.post(`${v3}/logout/all`, {}, alice.token);
    expect((await client.get(`${v3}/account/whoami`, json.access_token)).status).toBe(200);
    expect(outcome(await ask('POST', `${v1}/users/${enc(admin.userId)}/login`, {}))).toEqual([400, 'M_INVALID_PARAM']);
    await client.post(`${v3}/logout/all`, {}, admin.token);
    expect((await client.get(`${v3}/account/whoami`, json.access_token)).status).toBe(401);
  });

  test('limits of a single user are kept, shown and taken back', async () => {
    await using server = await startAdminServer();
    const { ask, alice } = server;
    const path = `${v1}/users/${enc(alice.userId)}/override_ratelimit`;
    expect((await ask('GET', path)).json).toEqual({});
    const own = { messages_per_second: 2, burst_count: 5 };
    expect((await ask('POST', path, own)).json).toEqual(own);
    expect((await ask('GET', path)).json).toEqual(own);
    expect(outcome(await ask('POST', path, { burst_count: -1 }))).toEqual([400, 'M_BAD_JSON']);
    expect((await ask('DELETE', path)).json).toEqual({});
    expect((await ask('GET', path)).json).toEqual({});
  });

  test('names, account data and the version can be looked up', async () => {
    await using server = await startAdminServer({});
    const { client, ask, alice } = server;
    expect((await ask('GET', `${v1}/username_available?username=zoe`)).json).toEqual({ available: true });
    expect(outcome(await ask('GET', `${v1}/username_available?username=alice`))).toEqual([400, 'M_USER_IN_USE']);
    await client.put(`${v3}/user/${enc(alice.userId)}/account_data/org.test`, { a: 1 }, alice.token);
    expect((await ask('GET', `${v1}/users/${enc(alice.userId)}/accountdata`)).json).toEqual({
      account_data: { global: { 'org.test': { a: 1 } }, rooms: {} },
    });
    expect((await ask('GET', `${v1}/server_version`)).json.server_version).toMatch(/^Neurite \d/);
    expect(outcome(await ask('GET', `${v1}/auth_providers/oidc/users/x`))).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('devices of users', () => {
  test('are listed, made, renamed and deleted', async () => {
    await using server = await startAdminServer();
    const { client, ask, alice } = server;
    const path = `${v2}/users/${enc(alice.userId)}/devices`;
    await login(client, 'alice', 'TWO');
    expect((await ask('POST', path, { device_id: 'BRIDGE' })).json).toEqual({});
    expect((await ask('GET', path)).json).toMatchObject({ total: 3 });
    expect((await ask('PUT', `${path}/BRIDGE`, { display_name: 'A bridge' })).json).toEqual({});
    expect((await ask('GET', `${path}/BRIDGE`)).json).toMatchObject({
      ...{ device_id: 'BRIDGE', display_name: 'A bridge', user_id: alice.userId, last_seen_ts: null },
    });
    expect((await ask('DELETE', `${path}/BRIDGE`)).json).toEqual({});
    expect(outcome(await ask('GET', `${path}/BRIDGE`))).toEqual([404, 'M_NOT_FOUND']);
    const devices = [alice.deviceId, 'TWO'];
    await ask('POST', `${v2}/users/${enc(alice.userId)}/delete_devices`, { devices });
    expect((await client.get(`${v3}/account/whoami`, alice.token)).status).toBe(401);
    expect((await ask('GET', path)).json).toEqual({ devices: [], total: 0 });
    expect((await ask('GET', `${v1}/users/${enc(alice.userId)}/pushers`)).json).toEqual({ pushers: [], total: 0 });
  });
});

describe('registration tokens', () => {
  test('are made, limited, listed and deleted', async () => {
    await using server = await startAdminServer();
    const { ask, clock } = server;
    const path = `${v1}/registration_tokens`;
    const made = await ask('POST', `${path}/new`, { token: 'abc', uses_allowed: 1 });
    const expected = { token: 'abc', uses_allowed: 1, pending: 0, completed: 0, expiry_time: null };
    expect(made.json).toEqual(expected);
    expect(outcome(await ask('POST', `${path}/new`, { token: 'abc' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await ask('POST', `${path}/new`, { token: 'a b' }))).toEqual([400, 'M_BAD_JSON']);
    expect(outcome(await ask('POST', `${path}/new`, { expiry_time: 1 }))).toEqual([400, 'M_INVALID_PARAM']);
    expect((await ask('POST', `${path}/new`, { length: 7 })).json.token).toHaveLength(7);
    expect((await ask('GET', `${path}/abc`)).json).toEqual(expected);
    const until = clock.now() + 1000;
    expect((await ask('PUT', `${path}/abc`, { expiry_time: until })).json).toEqual({ ...expected, expiry_time: until });
    expect((await ask('PUT', `${path}/abc`, { uses_allowed: null })).json).toMatchObject({ uses_allowed: null });
    clock.advance(2000);
    const valid = async (query: string) => (await ask('GET', `${path}${query}`)).json.registration_tokens.length;
    expect([await valid(''), await valid('?valid=true'), await valid('?valid=false')]).toEqual([2, 1, 1]);
    expect((await ask('DELETE', `${path}/abc`)).json).toEqual({});
    expect(outcome(await ask('DELETE', `${path}/abc`))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await ask('GET', `${path}/abc`))).toEqual([404, 'M_NOT_FOUND']);
  });
});
