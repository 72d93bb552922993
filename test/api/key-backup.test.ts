/** What is kept for devices that are away: messages, a dehydrated device, the backup of keys. */
import { describe, expect, test } from '@jest/globals';
import type { TestClient } from '../support/http.ts';
import { deviceKeys, namedKey } from '../support/keys.ts';
import { registerAll, login, register, startUserServer, sync, v3, type TestSession } from '../support/userapi.ts';

const enc = encodeURIComponent;
const query = async (client: TestClient, by: TestSession, ...users: string[]) =>
  (await client.post(`${v3}/keys/query`, { device_keys: Object.fromEntries(users.map((id) => [id, []])) }, by.token))
    .json;
const oneTimeKey = (value: string) => ({ key: value, signatures: {} });

describe('messages to devices', () => {
  const send = (client: TestClient, by: TestSession, transaction: string, messages: object) =>
    client.put(`${v3}/sendToDevice/org.example.note/${transaction}`, { messages }, by.token);

  test('come once, to one device or all, and a repeated transaction sends nothing', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const bob = await register(client, 'bob');
    const tablet = await login(client, 'bob', 'TABLET');
    await send(client, alice, '1', { [bob.userId]: { '*': { n: 1 } } });
    await send(client, alice, '1', { [bob.userId]: { '*': { n: 1 } } });
    await send(client, alice, '2', { [bob.userId]: { TABLET: { n: 2 }, UNKNOWN: { n: 3 } } });
    const note = (n: number) => ({ type: 'org.example.note', sender: alice.userId, content: { n } });
    const first = await sync(client, bob);
    expect(first.to_device.events).toEqual([note(1)]);
    const other = await sync(client, tablet);
    expect(other.to_device.events).toEqual([note(1), note(2)]);
    expect((await sync(client, tablet)).to_device.events).toHaveLength(2);
    expect((await sync(client, tablet, other.next_batch)).to_device).toBeUndefined();
    expect((await sync(client, tablet)).to_device).toBeUndefined();
  });

  test('more than one response holds come in order, none twice, none lost', async () => {
    await using server = await startUserServer();
    const { client, users, db } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    await db.write((tx) => {
      for (let n = 0; n < 250; n += 1) {
        users.toDevice.send(tx, alice.userId as never, 'org.example.note', bob.userId as never, bob.deviceId, { n });
      }
    });
    const got: number[] = [];
    let since: string | undefined;
    for (let round = 0; round < 4; round += 1) {
      const answer = await sync(client, bob, since);
      got.push(...(answer.to_device?.events ?? []).map((event: { content: { n: number } }) => event.content.n));
      if (round === 0) await send(client, alice, 'late', { [bob.userId]: { [bob.deviceId]: { n: 250 } } });
      since = answer.next_batch;
    }
    expect(got).toEqual(Array.from({ length: 251 }, (_, n) => n));
  });
});

describe('dehydrated devices', () => {
  test('one is kept per user, gets messages, and gives them out page by page', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const base = '/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device';
    expect((await client.get(base, alice.token)).json.errcode).toBe('M_NOT_FOUND');
    const put = (deviceId: string) =>
      client.put(
        base,
        {
          device_id: deviceId,
          device_data: { algorithm: 'org.example', secret: 'x' },
          device_keys: deviceKeys(alice.userId, deviceId, namedKey(40)),
          fallback_keys: { 'signed_curve25519:f': oneTimeKey('f') },
        },
        alice.token,
      );
    await put('FIRST');
    expect((await put('SECOND')).json).toEqual({ device_id: 'SECOND' });
    expect(Object.keys((await query(client, bob, alice.userId)).device_keys[alice.userId])).toEqual(['SECOND']);
    expect((await client.get(`${v3}/devices`, alice.token)).json.devices).toHaveLength(1);
    const messages = { [alice.userId]: { '*': { hello: true } } };
    await client.put(`${v3}/sendToDevice/org.example.note/1`, { messages }, bob.token);
    const page = await client.get(`${base}/SECOND/events`, alice.token);
    expect(page.json.events).toMatchObject([{ content: { hello: true } }]);
    const next = await client.get(`${base}/SECOND/events?from=${page.json.next_batch}`, alice.token);
    expect(next.json).toEqual({ events: [] });
    expect((await client.get(`${base}/FIRST/events`, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    expect((await client.delete(base, alice.token)).json).toEqual({ device_id: 'SECOND' });
    expect((await query(client, bob, alice.userId)).device_keys[alice.userId]).toEqual({});
  });
});

describe('key backup', () => {
  const base = `${v3}/room_keys`;
  const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
  const key = (more: object = {}) => ({
    ...{ first_message_index: 5, forwarded_count: 2, is_verified: false, session_data: { data: 'x' } },
    ...more,
  });

  test('keeps the better of two keys and counts changes', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const { token } = await register(client, 'alice');
    const { version } = (await client.post(`${base}/version`, { algorithm, auth_data: { k: 1 } }, token)).json;
    const path = `${base}/keys/${enc('!r:localhost')}/s?version=${version}`;
    const put = async (more: object) => (await client.put(path, key(more), token)).json;
    expect(await put({})).toEqual({ count: 1, etag: '1' });
    expect(await put({ first_message_index: 6 })).toEqual({ count: 1, etag: '1' });
    expect(await put({ first_message_index: 4 })).toEqual({ count: 1, etag: '2' });
    expect(await put({ first_message_index: 4, forwarded_count: 1 })).toEqual({ count: 1, etag: '3' });
    expect(await put({ first_message_index: 9, is_verified: true })).toEqual({ count: 1, etag: '4' });
    expect(await put({ first_message_index: 0 })).toEqual({ count: 1, etag: '4' });
    expect((await client.get(path, token)).json).toEqual(key({ first_message_index: 9, is_verified: true }));
    const info = await client.get(`${base}/version`, token);
    expect(info.json).toEqual({ version, algorithm, auth_data: { k: 1 }, count: 1, etag: '4' });
  });

  test('only the newest version takes keys; rooms and all keys are read and deleted', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const { token } = await register(client, 'alice');
    const create = async () => (await client.post(`${base}/version`, { algorithm, auth_data: {} }, token)).json.version;
    expect((await client.get(`${base}/version`, token)).json.errcode).toBe('M_NOT_FOUND');
    const [old, current] = [await create(), await create()];
    const rooms = { '!a:x': { sessions: { one: key(), two: key() } }, '!b:x': { sessions: { three: key() } } };
    const put = (version: string) => client.put(`${base}/keys?version=${version}`, { rooms }, token);
    const refused = await put(old);
    expect([refused.status, refused.json]).toMatchObject([
      403,
      { errcode: 'M_WRONG_ROOM_KEYS_VERSION', current_version: current },
    ]);
    expect((await put(current)).json.count).toBe(3);
    const read = async (path: string) => (await client.get(`${base}/keys${path}?version=${current}`, token)).json;
    expect(await read('')).toEqual({ rooms });
    expect(await read(`/${enc('!a:x')}`)).toEqual(rooms['!a:x']);
    expect(await read(`/${enc('!none:x')}`)).toEqual({ sessions: {} });
    expect((await read(`/${enc('!a:x')}/none`)).errcode).toBe('M_NOT_FOUND');
    const gone = await client.delete(`${base}/keys/${enc('!a:x')}?version=${current}`, token);
    expect(gone.json.count).toBe(1);
    expect(
      (await client.put(`${base}/version/${current}`, { algorithm: 'other', auth_data: {} }, token)).json.errcode,
    ).toBe('M_INVALID_PARAM');
    expect((await client.delete(`${base}/version/${current}`, token)).json).toEqual({});
    expect((await client.delete(`${base}/version/${current}`, token)).json).toEqual({});
    expect((await client.get(`${base}/version`, token)).json.version).toBe(old);
    expect(await create()).toBe('3');
  });
});
