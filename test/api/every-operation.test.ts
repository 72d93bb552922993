/**
 * Every operation of the Client-Server API (test/golden), asked for by whom it is not for: another user, a guest, a
 * locked, a suspended and a logged-out one.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { enc, outcome, startAdminServer, type AdminServer } from '../support/admin.ts';
import type { TestResponse } from '../support/http.ts';
import { nameOf, requestOf, type PathValues } from '../support/operation-requests.ts';
import { operations, type Operation } from '../support/reply-check.ts';
import { testConfig } from '../support/http.ts';
import { belongings, furnish, secret } from '../support/belongings.ts';
import { login, register, say, v3, type TestSession } from '../support/userapi.ts';

const client = operations.filter(({ api }) => api === 'cs');
const asksForToken = ({ auth }: Operation): boolean => auth === 'access_token' || auth === 'as_token';
const byToken = client.filter(asksForToken).map((operation) => [nameOf(operation), operation] as const);
const all = client.map((operation) => [nameOf(operation), operation] as const);

let server: AdminServer;
/** What alice has, by the names of path parameters. */
let alices: PathValues;

beforeAll(async () => {
  const { registration } = testConfig();
  server = await startAdminServer({ registration: { ...registration, mode: 'open', guests: true } });
  alices = await furnish(server.client, server.alice);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const ask = (session: TestSession | undefined, operation: Operation, ids: PathValues): Promise<TestResponse> => {
  const { path, ...request } = requestOf(operation, ids);
  return server.client.request(path, { ...request, token: session?.token });
};

describe('another user', () => {
  /** Of what is somebody's or some room's: may be asked for by anyone, for the reason given. */
  const forAnyone: Readonly<Record<string, string>> = {
    'GET /v3/profile/{userId}': 'profiles are public',
    'GET /v3/profile/{userId}/{keyName}': 'profiles are public',
    'GET /v3/directory/list/room/{roomId}': 'tells only whether the room is published',
    'GET /v3/directory/room/{roomAlias}': 'aliases are public',
    'DELETE /v3/room_keys/version/{version}': 'everyone counts his own backups, and this was one of his',
    'POST /v3/users/{userId}/report': 'anyone may report anyone',
    'POST /v3/rooms/{roomId}/report': 'anyone may report a room, whether it exists or not',
  };
  const owned = /\{(userId|roomId|roomIdOrAlias|roomAlias|eventId|deviceId|filterId|version)\}/;

  test('gets nothing of what is private, and changes none of it, by any operation', async () => {
    const bob = await register(server.client, 'bob');
    const before = await belongings(server.client, server.alice, alices);
    const [given, shown, failed]: [string[], string[], string[]] = [[], [], []];
    for (const [name, operation] of all) {
      if (name.startsWith('POST /v3/logout')) continue;
      const answer = await ask(bob, operation, alices);
      if (answer.status >= 500) failed.push(name);
      if (answer.status === 200 && owned.test(operation.path) && !(name in forAnyone)) given.push(name);
      if (answer.text.includes(secret)) shown.push(name);
    }
    expect({ given, shown, failed }).toEqual({ given: [], shown: [], failed: [] });
    expect(await belongings(server.client, server.alice, alices)).toEqual(before);
  });

  test('who is in the room may not do what takes more power than he has', async () => {
    const carol = await register(server.client, 'carol');
    const roomId = alices['roomId'] ?? '';
    await server.client.post(`${v3}/rooms/${enc(roomId)}/invite`, { user_id: carol.userId }, server.alice.token);
    await server.client.post(`${v3}/join/${enc(roomId)}`, {}, carol.token);
    const forbidden = byToken.filter(
      ([name]) =>
        /\/(ban|kick|unban|upgrade|redact|state|directory)\b/.test(name) &&
        !name.startsWith('GET') &&
        !/\/appservice\/|^PUT .*roomAlias/.test(name),
    );
    expect(forbidden.length).toBeGreaterThan(6);
    for (const [name, operation] of forbidden) {
      expect([name, ...outcome(await ask(carol, operation, alices))]).toEqual([
        name,
        403,
        name.endsWith('/unban') ? 'M_BAD_STATE' : 'M_FORBIDDEN',
      ]);
    }
    await server.client.post(`${v3}/rooms/${enc(roomId)}/leave`, {}, carol.token);
  });
});

describe('a guest', () => {
  let guest: TestSession;
  beforeAll(async () => {
    const { json } = await server.client.post(`${v3}/register?kind=guest`, {});
    guest = { userId: json.user_id, deviceId: json.device_id, token: json.access_token };
  });

  const open = byToken.filter(([, { guest: who }]) => who === 'yes');
  const closed = byToken.filter(([name, { guest: who }]) => who === 'no' && name !== 'POST /v3/join/{roomIdOrAlias}');

  test.each(closed)('is refused %s', async (_, operation) => {
    const answer = await ask(guest, operation, { userId: guest.userId, deviceId: guest.deviceId });
    expect(outcome(answer)).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
  });

  test.each(open)('is let in to %s', async (_, operation) => {
    const answer = await ask(guest, operation, { userId: guest.userId, deviceId: guest.deviceId });
    expect(answer.status).toBeLessThan(500);
    expect(answer.json?.errcode).not.toBe('M_GUEST_ACCESS_FORBIDDEN');
  });

  test('may set a display name and no other field of the profile', async () => {
    const operation = client.find(
      ({ method, path }) => method === 'PUT' && path.endsWith('/profile/{userId}/{keyName}'),
    );
    if (operation === undefined) throw new Error('no such operation');
    const { userId } = guest;
    expect((await ask(guest, operation, { userId, keyName: 'displayname' })).status).toBe(200);
    for (const keyName of ['avatar_url', 'x.other']) {
      expect(outcome(await ask(guest, operation, { userId, keyName }))).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
    }
  });
});

describe('a locked user', () => {
  let locked: TestSession;
  beforeAll(async () => {
    locked = await register(server.client, 'locked');
    await server.ask('PUT', `/_matrix/client/v1/admin/lock/${enc(locked.userId)}`, { locked: true });
  });

  const logout = /^POST \/v3\/logout(\/all)?$/;
  test.each(byToken.filter(([name]) => !logout.test(name)))('is refused %s', async (_, operation) => {
    const answer = await ask(locked, operation, { userId: locked.userId, deviceId: locked.deviceId });
    expect(answer.status).toBe(401);
    expect(answer.json).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
  });

  test('may log out', async () => {
    expect((await server.client.post(`${v3}/logout`, {}, locked.token)).status).toBe(200);
    const operation = client.find(({ path }) => path.endsWith('/login/get_token'));
    if (operation === undefined) throw new Error('no such operation');
    expect(outcome(await ask(locked, operation, {}))).toEqual([401, 'M_UNKNOWN_TOKEN']);
  });
});

describe('a suspended user', () => {
  /** C-S API §Account suspension, and what of it follows: uploads, new rooms, other state. */
  const refused: ReadonlySet<string> = new Set([
    'POST /v3/createRoom',
    'POST /v3/join/{roomIdOrAlias}',
    'POST /v3/rooms/{roomId}/join',
    'POST /v3/knock/{roomIdOrAlias}',
    'POST /v3/rooms/{roomId}/invite',
    'POST /v3/rooms/{roomId}/upgrade',
    'PUT /v3/rooms/{roomId}/send/{eventType}/{txnId}',
    'PUT /v3/rooms/{roomId}/state/{eventType}/{stateKey}',
    'PUT /v3/rooms/{roomId}/redact/{eventId}/{txnId}',
    'POST /v3/rooms/{roomId}/kick',
    'POST /v3/rooms/{roomId}/ban',
    'POST /v3/rooms/{roomId}/unban',
    'PUT /v3/profile/{userId}/{keyName}',
    'DELETE /v3/profile/{userId}/{keyName}',
    'POST /_matrix/media/v3/upload',
    'PUT /_matrix/media/v3/upload/{serverName}/{mediaId}',
    'POST /_matrix/media/v1/create',
  ]);

  let suspended: TestSession;
  let own: PathValues;
  beforeAll(async () => {
    const http = server.client;
    suspended = await register(http, 'suspended');
    own = await furnish(server.client, suspended);
    // Somebody else's event to redact: rights in the room are not what is missing.
    const roomId = own['roomId'] ?? '';
    const { admin } = server;
    await http.post(`${v3}/rooms/${enc(roomId)}/invite`, { user_id: admin.userId }, suspended.token);
    await http.post(`${v3}/join/${enc(roomId)}`, {}, admin.token);
    own = { ...own, eventId: await say(http, roomId, admin) };
    await server.ask('PUT', `/_matrix/client/v1/admin/suspend/${enc(suspended.userId)}`, { suspended: true });
  });

  // What ends the session or the membership comes last.
  const lasting = byToken.filter(([name]) => !/\/(logout|leave|forget)\b/.test(name));
  test.each(lasting)('%s', async (name, operation) => {
    const answer = await ask(suspended, operation, own);
    expect(answer.status).toBeLessThan(500);
    if (refused.has(name)) expect(outcome(answer)).toEqual([403, 'M_USER_SUSPENDED']);
    else expect(answer.json?.errcode).not.toBe('M_USER_SUSPENDED');
  });

  test('may redact what he said, leave, forget, log in and out', async () => {
    const http = server.client;
    const room = `${v3}/rooms/${enc(own['roomId'] ?? '')}`;
    expect((await http.post(`${room}/leave`, {}, suspended.token)).status).toBe(200);
    expect((await http.post(`${room}/forget`, {}, suspended.token)).status).toBe(200);
    const again = await login(http, 'suspended', 'AGAIN');
    expect((await http.post(`${v3}/logout`, {}, again.token)).status).toBe(200);
    expect((await http.post(`${v3}/logout/all`, {}, suspended.token)).status).toBe(200);
  });
});

describe('who has logged out', () => {
  let gone: TestSession;
  beforeAll(async () => {
    gone = await register(server.client, 'gone');
    await server.client.post(`${v3}/logout`, {}, gone.token);
  });

  test.each(byToken)('is refused %s, and so is who has no token', async (_, operation) => {
    const ids = { userId: gone.userId, deviceId: gone.deviceId };
    expect(outcome(await ask(gone, operation, ids))).toEqual([401, 'M_UNKNOWN_TOKEN']);
    expect(outcome(await ask(undefined, operation, ids))).toEqual([401, 'M_MISSING_TOKEN']);
  });

  // The room directory is shown to who is logged in, unless the configuration opens it.
  const open = all.filter(([name, { auth }]) => auth === 'none' && name !== 'GET /v3/publicRooms');
  test.each(open)('may still ask for what is open: %s', async (_, operation) => {
    const answer = await ask(gone, operation, { userId: gone.userId, deviceId: gone.deviceId });
    expect(answer.json?.errcode).not.toBe('M_UNKNOWN_TOKEN');
  });
});

describe('who has a token alone', () => {
  /** The operations that the specification has confirmed by user-interactive authentication. */
  const confirmed: ReadonlySet<string> = new Set([
    'POST /v1/login/get_token',
    'POST /v3/account/3pid/add',
    'POST /v3/account/deactivate',
    'POST /v3/account/password',
    'POST /v3/delete_devices',
    'DELETE /v3/devices/{deviceId}',
    'POST /v3/register',
  ]);

  test.each(all.filter(([name]) => confirmed.has(name)))('is asked for more before %s', async (_, operation) => {
    const other = await login(server.client, 'alice', 'OTHER');
    const answer = await ask(server.alice, operation, { userId: other.userId, deviceId: other.deviceId });
    expect(answer.status).toBe(401);
    expect(answer.json).toMatchObject({ flows: expect.any(Array), session: expect.any(String) });
    expect((await server.client.get(`${v3}/account/whoami`, other.token)).status).toBe(200);
  });
});
