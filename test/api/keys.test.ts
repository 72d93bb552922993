/** Keys of devices and users: device keys, one-time keys, cross-signing. */
import { describe, expect, test } from '@jest/globals';
import type { TestClient } from '../support/http.ts';
import { crossSigningKey, deviceKeys, namedKey, signedBy } from '../support/keys.ts';
import {
  registerAll,
  login,
  openRoom,
  password,
  register,
  startUserServer,
  sync,
  v3,
  type TestSession,
} from '../support/userapi.ts';

const upload = (client: TestClient, by: TestSession, body: object) => client.post(`${v3}/keys/upload`, body, by.token);
const query = async (client: TestClient, by: TestSession, ...users: string[]) =>
  (await client.post(`${v3}/keys/query`, { device_keys: Object.fromEntries(users.map((id) => [id, []])) }, by.token))
    .json;
const oneTimeKey = (value: string) => ({ key: value, signatures: {} });

describe('device keys', () => {
  test('are shown with the device name to whoever asks, as uploaded', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice', { initial_device_display_name: 'Phone' });
    const bob = await register(client, 'bob');
    const keys = deviceKeys(alice.userId, alice.deviceId, namedKey(1));
    expect((await upload(client, alice, { device_keys: keys })).json).toEqual({
      one_time_key_counts: { signed_curve25519: 0 },
    });
    const seen = await query(client, bob, alice.userId, '@nobody:localhost');
    expect(seen.device_keys).toEqual({
      [alice.userId]: { [alice.deviceId]: { ...keys, unsigned: { device_display_name: 'Phone' } } },
    });
    const foreign = deviceKeys(bob.userId, alice.deviceId, namedKey(1));
    expect((await upload(client, alice, { device_keys: foreign })).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('their changes reach who shares a room, by /sync and /keys/changes', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob, eve] = await registerAll(client, 'alice', 'bob', 'eve');
    await openRoom(client, alice, bob);
    const since = (await sync(client, bob)).next_batch;
    await upload(client, alice, { device_keys: deviceKeys(alice.userId, alice.deviceId, namedKey(1)) });
    await upload(client, eve, { device_keys: deviceKeys(eve.userId, eve.deviceId, namedKey(2)) });
    const update = await sync(client, bob, since);
    expect(update.device_lists).toEqual({ changed: [alice.userId] });
    const changes = await client.get(`${v3}/keys/changes?from=${since}&to=${update.next_batch}`, bob.token);
    expect(changes.json).toEqual({ changed: [alice.userId], left: [] });
    expect((await client.get(`${v3}/keys/changes?from=x&to=y`, bob.token)).json.errcode).toBe('M_INVALID_PARAM');
    await client.post(`${v3}/logout`, {}, alice.token);
    expect((await sync(client, bob, update.next_batch)).device_lists.changed).toEqual([alice.userId]);
    expect((await query(client, bob, alice.userId)).device_keys).toEqual({ [alice.userId]: {} });
  });
});

describe('one-time keys', () => {
  const claim = async (client: TestClient, by: TestSession, from: TestSession) => {
    const body = { one_time_keys: { [from.userId]: { [from.deviceId]: 'signed_curve25519' } } };
    const { json } = await client.post(`${v3}/keys/claim`, body, by.token);
    return Object.keys(json.one_time_keys[from.userId]?.[from.deviceId] ?? {})[0];
  };

  test('are claimed in the order of upload, each once, then the fallback key, which /sync tells of', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const add = (id: string) =>
      upload(client, alice, { one_time_keys: { [`signed_curve25519:${id}`]: oneTimeKey(id) } });
    for (const id of ['z', 'a', 'm']) await add(id);
    const fallback = { 'signed_curve25519:f': { ...oneTimeKey('f'), fallback: true } };
    const counted = await upload(client, alice, { fallback_keys: fallback });
    expect(counted.json).toEqual({ one_time_key_counts: { signed_curve25519: 3 } });
    const before = await sync(client, alice);
    expect(before.device_one_time_keys_count).toEqual({ signed_curve25519: 3 });
    expect(before.device_unused_fallback_key_types).toEqual(['signed_curve25519']);
    const claimed = [];
    for (let index = 0; index < 5; index += 1) claimed.push(await claim(client, bob, alice));
    expect(claimed).toEqual(['z', 'a', 'm', 'f', 'f'].map((id) => `signed_curve25519:${id}`));
    const after = await sync(client, alice, before.next_batch);
    expect(after.device_one_time_keys_count).toEqual({ signed_curve25519: 0 });
    expect(after.device_unused_fallback_key_types).toEqual([]);
    // A repeated upload revives neither a claimed key nor a used fallback key.
    await add('z');
    await upload(client, alice, { fallback_keys: fallback });
    expect(await claim(client, bob, alice)).toBe('signed_curve25519:f');
    expect((await sync(client, alice)).device_unused_fallback_key_types).toEqual([]);
  });

  test('each of many claims at once gets another key', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const keys = Array.from({ length: 30 }, (_, index) => [`signed_curve25519:k${index}`, oneTimeKey(`k${index}`)]);
    await upload(client, alice, { one_time_keys: Object.fromEntries(keys) });
    const claimed = await Promise.all(keys.map(() => claim(client, bob, alice)));
    expect(new Set(claimed).size).toBe(30);
    expect(await claim(client, bob, alice)).toBeUndefined();
  });

  test('an id that comes again with another key is refused, with the same key it is passed over', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const add = (key: string, signatures: object) =>
      upload(client, alice, { one_time_keys: { 'signed_curve25519:a': { key, signatures } } });
    await add('one', {});
    expect((await add('one', { [alice.userId]: {} })).status).toBe(200);
    const other = await add('two', {});
    expect([other.status, other.json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
  });
});

describe('cross-signing', () => {
  const [master, selfSigning, userSigning, device] = [namedKey(10), namedKey(11), namedKey(12), namedKey(13)];
  const keysOf = ({ userId }: TestSession, first = master) => ({
    master_key: crossSigningKey(userId, 'master', first),
    self_signing_key: signedBy(crossSigningKey(userId, 'self_signing', selfSigning), userId, first),
    user_signing_key: signedBy(crossSigningKey(userId, 'user_signing', userSigning), userId, first),
  });
  const publish = (client: TestClient, by: TestSession, body: object) =>
    client.post(`${v3}/keys/device_signing/upload`, body, by.token);

  test('the first upload and a repetition need no password, a change does', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    expect((await publish(client, alice, {})).json.errcode).toBe('M_MISSING_PARAM');
    expect((await publish(client, alice, keysOf(alice))).json).toEqual({});
    expect((await publish(client, alice, keysOf(alice))).json).toEqual({});
    const other = keysOf(alice, namedKey(20));
    const asked = await publish(client, alice, other);
    expect([asked.status, asked.json.flows]).toEqual([401, [{ stages: ['m.login.password'] }]]);
    const identifier = { type: 'm.id.user', user: 'alice' };
    const auth = { type: 'm.login.password', identifier, password, session: asked.json.session };
    expect((await publish(client, alice, { ...other, auth })).json).toEqual({});
    const probe = await client.post('/_matrix/client/unstable/keys/device_signing/upload', {}, alice.token);
    expect(probe.status).toBe(401);
  });

  test('keys that the master key did not sign, or that name another, are refused', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const unsigned = { ...keysOf(alice), self_signing_key: crossSigningKey(alice.userId, 'self_signing', selfSigning) };
    expect((await publish(client, alice, unsigned)).json.errcode).toBe('M_INVALID_SIGNATURE');
    expect((await publish(client, alice, keysOf(bob))).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('device ids and key ids stay apart', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    await publish(client, alice, keysOf(alice));
    await expect(login(client, 'alice', master.id)).rejects.toThrow('M_FORBIDDEN');
    const bob = await register(client, 'bob', { device_id: master.id });
    expect((await publish(client, bob, keysOf(bob))).json.errcode).toBe('M_FORBIDDEN');
  });

  test('signatures are verified and shown to whom they concern', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob, eve] = await registerAll(client, 'alice', 'bob', 'eve');
    await openRoom(client, alice, bob, eve);
    const keys = deviceKeys(alice.userId, alice.deviceId, device);
    await upload(client, alice, { device_keys: keys });
    await publish(client, alice, keysOf(alice));
    const bobMaster = namedKey(30);
    await publish(client, bob, { master_key: crossSigningKey(bob.userId, 'master', bobMaster) });
    const sign = (body: object) => client.post(`${v3}/keys/signatures/upload`, body, alice.token);
    const { [alice.userId]: since, [eve.userId]: evesSince } = {
      [alice.userId]: (await sync(client, alice)).next_batch,
      [eve.userId]: (await sync(client, eve)).next_batch,
    };
    const bare = { ...keys, signatures: {} };
    const onDevice = signedBy(bare, alice.userId, selfSigning);
    const onOwn = signedBy(crossSigningKey(alice.userId, 'master', master), alice.userId, device, alice.deviceId);
    const onBob = signedBy(crossSigningKey(bob.userId, 'master', bobMaster), alice.userId, userSigning);
    const done = await sign({
      [alice.userId]: { [alice.deviceId]: onDevice, [master.id]: onOwn },
      [bob.userId]: { [bobMaster.id]: onBob },
    });
    expect(done.json).toEqual({ failures: {} });
    const own = await query(client, alice, alice.userId, bob.userId);
    expect(Object.keys(own.device_keys[alice.userId][alice.deviceId].signatures[alice.userId]).sort()).toEqual(
      [`ed25519:${alice.deviceId}`, `ed25519:${selfSigning.id}`].sort(),
    );
    expect(own.master_keys[alice.userId].signatures).toEqual(onOwn['signatures']);
    expect(own.master_keys[bob.userId].signatures).toEqual(onBob['signatures']);
    expect(own.user_signing_keys[alice.userId]).toBeDefined();
    const others = await query(client, eve, alice.userId, bob.userId);
    expect(others.user_signing_keys).toEqual({});
    expect(others.master_keys[bob.userId].signatures).toBeUndefined();
    expect(others.device_keys).toEqual({ [alice.userId]: own.device_keys[alice.userId], [bob.userId]: {} });
    // Whom Alice has verified is news for Alice alone.
    expect((await sync(client, alice, since)).device_lists.changed.sort()).toEqual([alice.userId, bob.userId].sort());
    expect((await sync(client, eve, evesSince)).device_lists.changed).toEqual([alice.userId]);
  });

  test('bad signatures and unknown keys fail one by one', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const keys = deviceKeys(alice.userId, alice.deviceId, device);
    await upload(client, alice, { device_keys: keys });
    await publish(client, alice, keysOf(alice));
    const bare = { ...keys, signatures: {} };
    const forged = { ...bare, signatures: { [alice.userId]: { [`ed25519:${selfSigning.id}`]: 'A'.repeat(86) } } };
    const altered = signedBy({ ...bare, algorithms: [] }, alice.userId, selfSigning);
    const { json } = await client.post(
      `${v3}/keys/signatures/upload`,
      { [alice.userId]: { [alice.deviceId]: forged, NONE: forged }, '@x:localhost': { NONE: altered } },
      alice.token,
    );
    expect(json.failures[alice.userId][alice.deviceId].errcode).toBe('M_INVALID_SIGNATURE');
    expect(json.failures[alice.userId].NONE.errcode).toBe('M_NOT_FOUND');
    expect(json.failures['@x:localhost'].NONE.errcode).toBe('M_NOT_FOUND');
    const body = { [alice.userId]: { [alice.deviceId]: altered } };
    const mismatch = await client.post(`${v3}/keys/signatures/upload`, body, alice.token);
    expect(mismatch.json.failures[alice.userId][alice.deviceId].errcode).toBe('M_INVALID_PARAM');
  });
});
