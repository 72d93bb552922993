/** What other servers are told of our users: devices, keys, profiles; and what clients are told of theirs. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startRemoteWorld, type RemoteWorld } from '../support/remote-users.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';
import { openRoom, register, v3, type TestSession } from '../support/userapi.ts';

let world: RemoteWorld;
let alice: TestSession;

beforeAll(async () => {
  world = await startRemoteWorld();
  alice = await register(world.server.client, 'alice');
  const body = { device_keys: deviceKeys(alice), one_time_keys: { 'test:1': 'one' }, fallback_keys: {} };
  const uploaded = await world.server.client.post(`${v3}/keys/upload`, body, alice.token);
  if (uploaded.status !== 200) throw new Error(uploaded.text);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const deviceKeys = ({ userId, deviceId }: { userId: string; deviceId: string }) => ({
  user_id: userId,
  device_id: deviceId,
  algorithms: ['m.megolm.v1.aes-sha2'],
  keys: { [`ed25519:${deviceId}`]: 'A' },
  signatures: { [userId]: { [`ed25519:${deviceId}`]: 'own' } },
});

describe('Other servers', () => {
  test('get a user’s devices with the id of the last change', async () => {
    const { status, json } = await world.ask(`/user/devices/${alice.userId}`);
    expect(status).toBe(200);
    expect(json).toEqual({
      user_id: alice.userId,
      stream_id: expect.any(Number),
      devices: [{ device_id: alice.deviceId, keys: deviceKeys(alice) }],
    });
    await world.server.client.put(`${v3}/devices/${alice.deviceId}`, { display_name: 'phone' }, alice.token);
    const renamed = (await world.ask(`/user/devices/${alice.userId}`)).json;
    expect(renamed.stream_id).toBeGreaterThan(json.stream_id);
    expect(renamed.devices[0].device_display_name).toBe('phone');
  });

  test('are refused devices of users who are not ours', async () => {
    expect((await world.ask('/user/devices/@x:elsewhere.org')).json.errcode).toBe('M_INVALID_PARAM');
    expect((await world.ask('/user/devices/nobody')).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('get keys of our users and of nobody else', async () => {
    const wish = { [alice.userId]: [alice.deviceId, 'NOPE'], '@x:elsewhere.org': [] };
    const { json } = await world.ask('/user/keys/query', { device_keys: wish });
    expect(Object.keys(json.device_keys)).toEqual([alice.userId]);
    expect(Object.keys(json.device_keys[alice.userId])).toEqual([alice.deviceId]);
    expect(json).toMatchObject({ master_keys: {}, self_signing_keys: {} });
    expect((await world.ask('/user/keys/query', { device_keys: 5 })).json.errcode).toBe('M_BAD_JSON');
  });

  test('get each one-time key once', async () => {
    const wish = { one_time_keys: { [alice.userId]: { [alice.deviceId]: 'test' } } };
    expect((await world.ask('/user/keys/claim', wish)).json).toEqual({
      one_time_keys: { [alice.userId]: { [alice.deviceId]: { 'test:1': 'one' } } },
    });
    expect((await world.ask('/user/keys/claim', wish)).json).toEqual({ one_time_keys: {} });
  });

  test('get profiles, whole or a field of them', async () => {
    const put = (field: string, value: unknown) =>
      world.server.client.put(`${v3}/profile/${alice.userId}/${field}`, { [field]: value }, alice.token);
    await put('displayname', 'Alice');
    await put('org.example.colour', ['blue']);
    const ask = (query: string) => world.ask(`/query/profile?${query}`);
    const whole = { displayname: 'Alice', 'org.example.colour': ['blue'] };
    expect((await ask(`user_id=${alice.userId}`)).json).toEqual(whole);
    expect((await ask(`user_id=${alice.userId}&field=displayname`)).json).toEqual({ displayname: 'Alice' });
    expect((await ask(`user_id=${alice.userId}&field=avatar_url`)).json).toEqual({});
    expect((await ask('user_id=@nobody:localhost')).json.errcode).toBe('M_NOT_FOUND');
    expect((await ask('user_id=@alice:elsewhere.org')).json.errcode).toBe('M_INVALID_PARAM');
    expect((await ask('user_id=@user1:localhost:http&field=displayname')).status).toBe(400);
    expect((await ask('field=displayname')).json.errcode).toBe('M_MISSING_PARAM');
  });
});

describe('Profiles of remote users', () => {
  const path = '/_matrix/federation/v1/query/profile';
  const profile = async (user: string, field = '') =>
    world.server.client.get(`${v3}/profile/${user}${field === '' ? '' : `/${field}`}`);

  test('come from their server, and are remembered for a few minutes', async () => {
    const user = world.remote('named');
    const before = world.asked(path).length;
    world.answers.set(`GET ${path}`, ({ url }) => {
      expect(new URL(url, 'https://x').searchParams.get('user_id')).toBe(user);
      return { displayname: 'Named', avatar_url: null };
    });
    expect((await profile(user)).json).toEqual({ displayname: 'Named' });
    expect((await profile(user, 'displayname')).json).toEqual({ displayname: 'Named' });
    expect((await profile(user, 'avatar_url')).json).toEqual({});
    expect((await profile(user, 'm.tz')).json.errcode).toBe('M_NOT_FOUND');
    expect(world.asked(path)).toHaveLength(before + 1);
    world.server.clock.advance(6 * 60_000);
    world.answers.set(`GET ${path}`, () => ({ displayname: 'Other' }));
    expect((await profile(user, 'displayname')).json).toEqual({ displayname: 'Other' });
  });

  test('are asked for field by field when one is wanted', async () => {
    const user = world.remote('fields');
    world.answers.set(`GET ${path}`, ({ url }) => {
      expect(new URL(url, 'https://x').searchParams.get('field')).toBe('m.tz');
      return { 'm.tz': 'Europe/Berlin' };
    });
    expect((await profile(user, 'm.tz')).json).toEqual({ 'm.tz': 'Europe/Berlin' });
  });

  test.each([
    [404, 404, 'M_NOT_FOUND'],
    [403, 403, 'M_FORBIDDEN'],
    [400, 502, 'M_BAD_STATUS'],
  ])('that their server refuses with %i give %i %s', async (answered, status, errcode) => {
    world.answers.set(`GET ${path}`, () => answered);
    const reply = await profile(world.remote(`refused${answered}`));
    expect([reply.status, reply.json.errcode]).toEqual([status, errcode]);
  });

  test('of servers that cannot be reached are a failed connection', async () => {
    const reply = await profile('@x:localhost:1');
    expect([reply.status, reply.json.errcode]).toEqual([502, 'M_CONNECTION_FAILED']);
  });
});

test('remote members are found in the user directory by the names that their member events carry', async () => {
  const { client } = world.server;
  const room = await openRoom(client, alice);
  await world.member(room, world.remote('grete'), 'join', { displayname: 'Grete Minde' });
  const { json } = await client.post(`${v3}/user_directory/search`, { search_term: 'minde' }, alice.token);
  expect(json.results).toEqual([{ user_id: world.remote('grete'), display_name: 'Grete Minde' }]);
});

describe('Two servers', () => {
  let servers: readonly FederatedServer[] = [];
  beforeAll(async () => {
    ({ servers } = await startServers(2));
  });
  afterAll(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  test('tell each other keys, one-time keys and profiles without a shared room', async () => {
    const [one, two] = servers;
    if (one === undefined || two === undefined) throw new Error('no servers');
    const carol = await one.user('carol');
    const dan = await two.user('dan');
    const { device_id } = await dan.must('GET', `${v3}/account/whoami`);
    const session = { userId: dan.userId, deviceId: String(device_id) };
    const keys = deviceKeys(session);
    await dan.must('POST', `${v3}/keys/upload`, { device_keys: keys, one_time_keys: { 'test:a': 'b' } });
    const wish = { device_keys: { [dan.userId]: [] } };
    const answer = await carol.must('POST', `${v3}/keys/query`, wish);
    expect(answer).toMatchObject({
      device_keys: { [dan.userId]: { [session.deviceId]: keys } },
      failures: {},
    });
    const claim = { one_time_keys: { [dan.userId]: { [session.deviceId]: 'test' } } };
    expect(await carol.must('POST', `${v3}/keys/claim`, claim)).toEqual({
      one_time_keys: { [dan.userId]: { [session.deviceId]: { 'test:a': 'b' } } },
      failures: {},
    });
    expect(await carol.must('GET', `${v3}/profile/${dan.userId}`)).toEqual({ displayname: 'dan' });
  });
});
