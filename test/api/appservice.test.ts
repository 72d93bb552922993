import { describe, expect, test } from '@jest/globals';
import type { Config } from '../../src/config/index.ts';
import {
  asToken,
  registrationFiles,
  registrationOf,
  startScriptedService,
  type ReceivedEvent,
  type ScriptedService,
} from '../support/app-service.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { testConfig } from '../support/http.ts';
import {
  login,
  openRoom,
  register,
  say,
  startUserServer,
  temporaryFolder,
  v3,
  type UserServer,
} from '../support/userapi.ts';

interface Bridged extends AsyncDisposable {
  readonly server: UserServer;
  readonly service: ScriptedService;
}

/** A server with one application service. */
async function startBridged(more: object = {}, config: Partial<Config> = {}): Promise<Bridged> {
  const service = await startScriptedService();
  const files = await registrationFiles(registrationOf(service.url, more));
  const server = await startUserServer({ appservices: files.files, ...config });
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
    await files[Symbol.asyncDispose]();
  };
  return { server, service, [Symbol.asyncDispose]: dispose };
}

const encoded = encodeURIComponent;
const as = (user: string): string => `user_id=${encoded(user)}`;
const ghost = '@_bridge_ann:localhost';
const ghostBody = { type: 'm.login.application_service', username: '_bridge_ann' };

async function makeGhost({ server }: Bridged): Promise<void> {
  const { status, text } = await server.client.post(`${v3}/register`, { ...ghostBody, inhibit_login: true }, asToken);
  if (status !== 200) throw new Error(text);
}

/** Lets the pauses between attempts pass until something has come. */
async function passTime(clock: FakeClock, condition: () => boolean): Promise<void> {
  while (!condition()) {
    clock.advance(60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const eventsOf = ({ taken }: ScriptedService): ReceivedEvent[] => taken.flatMap(({ events }) => events);
const bodiesOf = (service: ScriptedService): unknown[] =>
  eventsOf(service).flatMap(({ type, content }) => (type === 'm.room.message' ? [content['body']] : []));

describe('identity assertion', () => {
  test('the token stands for the sender, for users of the namespaces, and for nobody else', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    const whoami = (query: string) => client.get(`${v3}/account/whoami?${query}`, asToken);
    expect((await whoami('')).json).toEqual({ user_id: '@bridgebot:localhost', is_guest: false });
    expect((await whoami(as('@alice:localhost'))).json.errcode).toBe('M_FORBIDDEN');
    const early = await whoami(as(ghost));
    expect([early.status, early.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    await makeGhost(bridged);
    expect((await whoami(as(ghost))).json).toEqual({ user_id: ghost, is_guest: false });
    // The deprecated way to carry the token.
    const inQuery = await client.get(`${v3}/account/whoami?access_token=${encoded(asToken)}&${as(ghost)}`);
    expect(inQuery.json.user_id).toBe(ghost);
  });

  test('a device that is not the users is M_UNKNOWN_DEVICE', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged.server;
    const path = `${v3}/account/whoami?${as(ghost)}&device_id=`;
    const unknown = await client.get(`${path}NOWHERE`, asToken);
    expect([unknown.status, unknown.json.errcode]).toEqual([400, 'M_UNKNOWN_DEVICE']);
    const made = await client.put(`${v3}/devices/HERE?${as(ghost)}`, { display_name: 'Bridge' }, asToken);
    expect([made.status, made.json]).toEqual([201, {}]);
    expect((await client.get(`${path}HERE`, asToken)).json.device_id).toBe('HERE');
    const again = await client.put(`${v3}/devices/HERE?${as(ghost)}`, { display_name: 'Renamed' }, asToken);
    expect(again.status).toBe(200);
    const keys = { device_keys: {}, one_time_keys: {} };
    const uploaded = await client.post(
      `${v3}/keys/upload?${as(ghost)}&device_id=HERE`,
      { one_time_keys: keys.one_time_keys },
      asToken,
    );
    expect(uploaded.status).toBe(200);
    expect((await client.delete(`${v3}/devices/HERE?${as(ghost)}`, asToken, {})).status).toBe(200);
    expect((await client.get(`${path}HERE`, asToken)).json.errcode).toBe('M_UNKNOWN_DEVICE');
  });

  test('users cannot make devices by PUT, and need authentication to delete them', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    const alice = await register(client, 'alice');
    expect((await client.put(`${v3}/devices/NEW`, {}, alice.token)).status).toBe(404);
    expect((await client.delete(`${v3}/devices/${alice.deviceId}`, alice.token, {})).status).toBe(401);
  });

  test('ts sets the time of events', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged.server;
    const made = await client.post(`${v3}/createRoom?${as(ghost)}`, { preset: 'public_chat' }, asToken);
    const path = `${v3}/rooms/${encoded(made.json.room_id)}/send/m.room.message/1?${as(ghost)}&ts=1234567`;
    const sent = await client.put(path, { msgtype: 'm.text', body: 'old' }, asToken);
    const event = await client.get(
      `${v3}/rooms/${encoded(made.json.room_id)}/event/${encoded(sent.json.event_id)}?${as(ghost)}`,
      asToken,
    );
    expect(event.json).toMatchObject({ sender: ghost, origin_server_ts: 1234567 });
  });

  test('rate limits hold for masquerading only where the registration wants them', async () => {
    const { rateLimits: defaults } = testConfig();
    const read = { perSecond: 0.001, burst: 1 };
    const rateLimits = { ...defaults, enabled: true, read, register: read };
    for (const [limited, last] of [
      [false, 200],
      [true, 429],
    ] as const) {
      await using bridged = await startBridged({ rate_limited: limited }, { rateLimits });
      await makeGhost(bridged);
      const { client } = bridged.server;
      await client.post(`${v3}/register`, { ...ghostBody, username: '_bridge_ben' }, asToken);
      const whoami = (query: string) => client.get(`${v3}/account/whoami?${query}`, asToken);
      for (const query of ['', '', as(ghost)]) expect((await whoami(query)).status).toBe(200);
      expect((await whoami(as(ghost))).status).toBe(last);
    }
  });
});

describe('accounts', () => {
  test('a service registers and logs in its users without a password', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    const made = await client.post(`${v3}/register`, ghostBody, asToken);
    expect(made.json).toMatchObject({
      user_id: ghost,
      access_token: expect.any(String),
      device_id: expect.any(String),
    });
    const identifier = { type: 'm.id.user', user: '_bridge_ann' };
    const entered = await client.post(`${v3}/login`, { type: 'm.login.application_service', identifier }, asToken);
    expect((await client.get(`${v3}/account/whoami`, entered.json.access_token)).json.user_id).toBe(ghost);
    const { json } = await client.get(`${v3}/login`);
    expect(json.flows).toContainEqual({ type: 'm.login.application_service' });
    const quiet = await client.post(
      `${v3}/register`,
      { ...ghostBody, username: '_bridge_ben', inhibit_login: true },
      asToken,
    );
    expect(quiet.json).toEqual({ user_id: '@_bridge_ben:localhost', home_server: 'localhost' });
    expect((await client.post(`${v3}/register`, ghostBody, asToken)).json.errcode).toBe('M_USER_IN_USE');
  });

  test('without a valid token it is 401, outside the namespaces M_EXCLUSIVE', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    await register(client, 'alice');
    const identifier = { type: 'm.id.user', user: 'alice' };
    const bodies = { register: { ...ghostBody, username: 'carol' }, login: { ...ghostBody, identifier } };
    for (const [path, body] of Object.entries(bodies)) {
      const missing = await client.post(`${v3}/${path}`, body);
      expect([missing.status, missing.json.errcode]).toEqual([401, 'M_MISSING_TOKEN']);
      const wrong = await client.post(`${v3}/${path}`, body, 'nonsense');
      expect([wrong.status, wrong.json.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN']);
      const outside = await client.post(`${v3}/${path}`, body, asToken);
      expect([outside.status, outside.json.errcode]).toEqual([400, 'M_EXCLUSIVE']);
    }
  });

  test('nobody else takes a name of an exclusive namespace, or the senders', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    for (const username of ['_bridge_ann', 'bridgebot']) {
      const available = await client.get(`${v3}/register/available?username=${username}`);
      expect(available.json.errcode).toBe('M_EXCLUSIVE');
      const body = { username, password: 'correct horse', auth: { type: 'm.login.dummy' } };
      const { status, json } = await client.post(`${v3}/register`, body);
      expect([status, json.errcode]).toEqual([400, 'M_EXCLUSIVE']);
    }
  });

  test('a service deactivates a user without more than its token', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged.server;
    const { status } = await client.post(`${v3}/account/deactivate?${as(ghost)}`, {}, asToken);
    expect(status).toBe(200);
    expect((await client.get(`${v3}/account/whoami?${as(ghost)}`, asToken)).json.errcode).toBe('M_USER_DEACTIVATED');
  });
});

describe('aliases', () => {
  test('an exclusive alias is made and removed by its service only, which needs no membership', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const path = `${v3}/directory/room/${encoded('#_bridge_x:localhost')}`;
    expect((await client.put(path, { room_id: roomId }, alice.token)).json.errcode).toBe('M_EXCLUSIVE');
    const named = await client.post(`${v3}/createRoom`, { room_alias_name: '_bridge_x' }, alice.token);
    expect(named.json.errcode).toBe('M_EXCLUSIVE');
    expect((await client.put(path, { room_id: roomId }, asToken)).status).toBe(200);
    expect((await client.delete(path, alice.token)).json.errcode).toBe('M_EXCLUSIVE');
    const outside = `${v3}/directory/room/${encoded('#other:localhost')}`;
    expect((await client.put(outside, { room_id: roomId }, asToken)).json.errcode).toBe('M_EXCLUSIVE');
    expect((await client.delete(path, asToken)).status).toBe(200);
  });
});

describe('queries', () => {
  test('a user is asked for before he is invited or shown, and an alias before it is joined', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    service.script = async ({ path }) => {
      if (path.endsWith(`/users/${ghost}`)) await makeGhost(bridged);
      else if (path.endsWith('/rooms/#_bridge_x:localhost')) {
        await client.put(`${v3}/directory/room/${encoded('#_bridge_x:localhost')}`, { room_id: roomId }, asToken);
      } else return undefined;
      return { status: 200 };
    };
    expect((await client.get(`${v3}/profile/${ghost}`)).json).toEqual({ displayname: '_bridge_ann' });
    expect((await client.get(`${v3}/profile/@_bridge_nobody:localhost`)).status).toBe(404);
    const asked = service.requests.find(({ path }) => path.includes('/users/'));
    expect(asked).toMatchObject({ path: `/_matrix/app/v1/users/${ghost}`, authorization: 'Bearer hs"token' });
    const bob = await register(client, 'bob');
    const joined = await client.post(`${v3}/join/${encoded('#_bridge_x:localhost')}`, {}, bob.token);
    expect(joined.json.room_id).toBe(roomId);
    const invite = `${v3}/rooms/${encoded(roomId)}/invite`;
    await client.post(invite, { user_id: '@_bridge_ben:localhost' }, alice.token);
    expect(service.requests.map(({ path }) => path)).toContain('/_matrix/app/v1/users/@_bridge_ben:localhost');
    // Who exists is not asked for again.
    const before = service.requests.length;
    await client.get(`${v3}/profile/${ghost}`);
    expect(service.requests.slice(before).filter(({ path }) => path.includes('/users/'))).toEqual([]);
  });

  test('an old service is asked by the unversioned paths, with its token in the query', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    service.script = async ({ path }) => {
      if (path.startsWith('/_matrix/app/v1/')) return { status: 404 };
      if (path === `/users/${ghost}`) await makeGhost(bridged);
      return { status: 200 };
    };
    expect((await client.get(`${v3}/profile/${ghost}`)).status).toBe(200);
    const old = service.requests.find(({ path }) => path === `/users/${ghost}`);
    expect(old?.query.get('access_token')).toBe('hs"token');
    await client.post(`${v3}/createRoom?${as(ghost)}`, {}, asToken);
    await service.until(({ taken }) => taken.length > 0);
    expect(service.requests.at(-1)?.path).toMatch(/^\/transactions\/\d+$/);
  });
});

describe('transactions', () => {
  test('hold what happens in rooms of the services users, in order, and nothing of other rooms', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    const other = await openRoom(client, alice);
    const roomId = await openRoom(client, alice);
    await say(client, other, alice, { body: 'elsewhere' });
    await say(client, roomId, alice, { body: 'before' });
    await client.post(`${v3}/rooms/${encoded(roomId)}/invite`, { user_id: ghost }, alice.token);
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    for (let count = 0; count < 120; count += 1) await say(client, roomId, alice, { body: `${count}` });
    await client.put(`${v3}/rooms/${encoded(roomId)}/state/m.room.topic`, { topic: 'one' }, alice.token);
    await client.put(`${v3}/rooms/${encoded(roomId)}/state/m.room.topic`, { topic: 'two' }, alice.token);
    await client.post(`${v3}/rooms/${encoded(roomId)}/kick`, { user_id: ghost }, alice.token);
    await say(client, roomId, alice, { body: 'after' });
    await service.until((one) => eventsOf(one).length >= 125);
    expect(bodiesOf(service)).toEqual(Array.from({ length: 120 }, (_, count) => `${count}`));
    const [invite, join, ...rest] = eventsOf(service);
    expect(invite).toMatchObject({
      type: 'm.room.member',
      room_id: roomId,
      content: { membership: 'invite' },
      unsigned: { invite_room_state: expect.any(Array) },
    });
    expect(join).toMatchObject({ state_key: ghost, unsigned: { prev_content: { membership: 'invite' } } });
    expect(rest.at(-1)).toMatchObject({ state_key: ghost, content: { membership: 'leave' } });
    expect(rest.at(-2)).toMatchObject({ content: { topic: 'two' }, unsigned: { prev_content: { topic: 'one' } } });
    const ids = service.requests.map(({ path }) => Number(path.split('/').at(-1)));
    expect(ids.every((id, index) => Number.isSafeInteger(id) && id > (ids[index - 1] ?? 0))).toBe(true);
  });

  test('hold rooms by alias and by room id', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    await client.put(`${v3}/directory/room/${encoded('#_bridge_x:localhost')}`, { room_id: roomId }, asToken);
    await say(client, roomId, alice, { body: 'by alias' });
    await service.until((one) => bodiesOf(one).includes('by alias'));
  });

  test('are repeated unaltered until they are taken, and the rest follows in order', async () => {
    await using bridged = await startBridged();
    const {
      server: { client, clock },
      service,
    } = bridged;
    service.script = () => ({ status: 500 });
    const made = await client.post(`${v3}/createRoom`, {}, asToken);
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    await service.until(({ requests }) => requests.length === 1);
    for (const body of ['one', 'two']) await say(client, made.json.room_id, bot, { body });
    for (let attempt = 2; attempt <= 4; attempt += 1) {
      await passTime(clock, () => service.requests.length >= attempt);
    }
    const [first, ...others] = service.requests;
    for (const other of others) expect([other.path, other.text]).toEqual([first?.path, first?.text]);
    service.script = () => undefined;
    await passTime(clock, () => bodiesOf(service).includes('two'));
    expect(bodiesOf(service)).toEqual(['one', 'two']);
    expect(service.taken[0]).toEqual(first?.json);
  });

  test('outlive a restart of the server: same id, same body, then the rest', async () => {
    await using data = await temporaryFolder();
    await using service = await startScriptedService();
    await using files = await registrationFiles(registrationOf(service.url));
    service.script = () => ({ status: 503 });
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    {
      await using server = await startUserServer({ appservices: files.files }, { folder: data.folder });
      const made = await server.client.post(`${v3}/createRoom`, {}, asToken);
      await service.until(({ requests }) => requests.length === 1);
      await say(server.client, made.json.room_id, bot, { body: 'kept' });
    }
    service.script = () => undefined;
    await using server = await startUserServer({ appservices: files.files }, { folder: data.folder });
    await service.until((one) => bodiesOf(one).includes('kept'));
    expect(service.requests[1]?.path).toBe(service.requests[0]?.path);
    expect(service.requests[1]?.text).toBe(service.requests[0]?.text);
    expect(server.db.head).toBeGreaterThan(0);
  });

  test('are not made for a service without a URL', async () => {
    await using files = await registrationFiles(registrationOf(null));
    await using server = await startUserServer({ appservices: files.files });
    const made = await server.client.post(`${v3}/createRoom`, {}, asToken);
    expect(made.status).toBe(200);
    const ping = await server.client.post('/_matrix/client/v1/appservice/bridge/ping', {}, asToken);
    expect([ping.status, ping.json.errcode]).toEqual([400, 'M_URL_NOT_SET']);
  });

  test('hold redacted events without their content', async () => {
    await using bridged = await startBridged();
    const {
      server: { client, clock },
      service,
    } = bridged;
    service.script = () => ({ status: 500 });
    const made = await client.post(`${v3}/createRoom`, {}, asToken);
    await service.until(({ requests }) => requests.length === 1);
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    const eventId = await say(client, made.json.room_id, bot, { body: 'secret' });
    await client.put(`${v3}/rooms/${encoded(made.json.room_id)}/redact/${encoded(eventId)}/1`, {}, asToken);
    service.script = () => undefined;
    await passTime(clock, () => eventsOf(service).some(({ type }) => type === 'm.room.redaction'));
    expect(JSON.stringify(service.taken)).not.toContain('secret');
    expect(eventsOf(service).map((event) => event.event_id)).toContain(eventId);
  });
});

describe('data besides events', () => {
  test('typing, receipts and presence come where they are wanted', async () => {
    await using bridged = await startBridged({ receive_ephemeral: true });
    const {
      server: { client },
      service,
    } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const room = `${v3}/rooms/${encoded(roomId)}`;
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    const eventId = await say(client, roomId, alice);
    await client.put(`${room}/typing/${alice.userId}`, { typing: true, timeout: 10_000 }, alice.token);
    await client.post(`${room}/receipt/m.read/${encoded(eventId)}`, {}, alice.token);
    await client.post(`${room}/receipt/m.read.private/${encoded(eventId)}`, {}, alice.token);
    await client.post(`${room}/receipt/m.read.private/${encoded(eventId)}?${as(ghost)}`, {}, asToken);
    await client.put(`${v3}/presence/${alice.userId}/status`, { presence: 'online' }, alice.token);
    const ephemeral = () => service.taken.flatMap((body) => body.ephemeral ?? []);
    await service.until(() => ephemeral().some(({ type }) => type === 'm.presence') && ephemeral().length >= 4);
    const ofType = (type: string) => ephemeral().filter((event) => event.type === type);
    expect(ofType('m.typing')[0]).toEqual({ type: 'm.typing', room_id: roomId, content: { user_ids: [alice.userId] } });
    expect(ofType('m.presence')[0]).toMatchObject({ sender: alice.userId, content: { presence: 'online' } });
    const receipts = ofType('m.receipt');
    expect(receipts[0]).toEqual({
      type: 'm.receipt',
      room_id: roomId,
      content: { [eventId]: { 'm.read': { [alice.userId]: { ts: expect.any(Number) } } } },
    });
    expect(receipts.map(({ content }) => JSON.stringify(content)).filter((text) => text.includes('private'))).toEqual([
      JSON.stringify({ [eventId]: { 'm.read.private': { [ghost]: { ts: bridged.server.clock.now() } } } }),
    ]);
  });

  test('messages to devices, device lists and key counts reach an encrypted bridge', async () => {
    await using bridged = await startBridged({
      'de.sorunome.msc2409.push_ephemeral': true,
      'org.matrix.msc3202': true,
    });
    const {
      server: { client },
      service,
    } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    await client.put(`${v3}/devices/BRIDGE?${as(ghost)}`, {}, asToken);
    const roomId = await openRoom(client, alice);
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    const key = { 'signed_curve25519:A': { key: 'x', signatures: {} } };
    await client.post(`${v3}/keys/upload?${as(ghost)}&device_id=BRIDGE`, { one_time_keys: key }, asToken);
    const message = { messages: { [ghost]: { BRIDGE: { hello: 'ghost' } } } };
    await client.put(`${v3}/sendToDevice/m.test/1`, message, alice.token);
    await client.post(`${v3}/keys/claim`, { one_time_keys: { [ghost]: { BRIDGE: 'signed_curve25519' } } }, alice.token);
    const second = await login(client, 'alice', 'SECOND');
    await client.put(`${v3}/devices/SECOND`, { display_name: 'Renamed' }, second.token);
    const keys = 'org.matrix.msc3202.device_one_time_keys_count';
    const counts = () => service.taken.flatMap((body) => body[keys] ?? []);
    await service.until(() => counts().length >= 2);
    const toDevice = service.taken.flatMap((body) => body['de.sorunome.msc2409.to_device'] ?? []);
    expect(toDevice).toEqual([
      {
        type: 'm.test',
        sender: alice.userId,
        content: { hello: 'ghost' },
        to_user_id: ghost,
        to_device_id: 'BRIDGE',
      },
    ]);
    expect(counts().at(-1)).toEqual({ [ghost]: { BRIDGE: { signed_curve25519: 0 } } });
    // Its own queue is empty: nobody fetches from it.
    const synced = await client.get(`${v3}/sync?timeout=0&${as(ghost)}&device_id=BRIDGE`, asToken);
    expect(synced.json.to_device).toBeUndefined();
  });
});

describe('ping', () => {
  const path = '/_matrix/client/v1/appservice/bridge/ping';

  test('passes the transaction id on and tells how long it took', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    service.script = () => ({ status: 200 });
    const { status, json } = await client.post(path, { transaction_id: 'meow' }, asToken);
    expect([status, json]).toEqual([200, { duration_ms: expect.any(Number) }]);
    const ping = service.requests.find((one) => one.path === '/_matrix/app/v1/ping');
    expect(ping).toMatchObject({ method: 'POST', json: { transaction_id: 'meow' }, authorization: 'Bearer hs"token' });
  });

  test('tells what is wrong', async () => {
    await using bridged = await startBridged();
    const {
      server: { client },
      service,
    } = bridged;
    const alice = await register(client, 'alice');
    expect((await client.post(path, {}, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    const other = await client.post('/_matrix/client/v1/appservice/other/ping', {}, asToken);
    expect([other.status, other.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    service.script = () => ({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
    const { status, json } = await client.post(path, {}, asToken);
    expect([status, json]).toMatchObject([
      502,
      { errcode: 'M_BAD_STATUS', status: 403, body: '{"errcode":"M_FORBIDDEN"}' },
    ]);
    await service[Symbol.asyncDispose]();
    const gone = await client.post(path, {}, asToken);
    expect([gone.status, gone.json.errcode]).toEqual([502, 'M_CONNECTION_FAILED']);
    await using _again = await startScriptedService(Number(new URL(service.url).port));
  });
});

describe('third-party networks', () => {
  test('answers of all bridges of a network are put together', async () => {
    await using one = await startScriptedService();
    await using two = await startScriptedService();
    const names = { as_token: 'two', hs_token: 'two', id: 'second', sender_localpart: 'secondbot' };
    const protocols = ['ymca'];
    await using files = await registrationFiles(
      registrationOf(one.url, { protocols }),
      registrationOf(two.url, { ...names, namespaces: {}, protocols }),
    );
    await using server = await startUserServer({ appservices: files.files });
    const { client } = server;
    const alice = await register(client, 'alice');
    const base = { user_fields: ['nick'], location_fields: ['channel'], icon: 'mxc://a/b', field_types: {} };
    one.script = ({ path }) => {
      if (path.includes('/protocol/'))
        return { status: 200, body: { ...base, instances: [{ desc: '1', network_id: 'n', fields: {} }] } };
      return { status: 200, body: [{ alias: '#a:localhost', protocol: 'ymca', fields: {} }] };
    };
    two.script = ({ path }) =>
      path.includes('/protocol/')
        ? { status: 200, body: { ...base, instances: [{ desc: '2', network_id: 'n', fields: {} }] } }
        : undefined;
    const get = (path: string) => client.get(`${v3}/thirdparty/${path}`, alice.token);
    const instances = [
      { desc: '1', network_id: 'n', fields: {}, instance_id: 'bridge|n' },
      { desc: '2', network_id: 'n', fields: {}, instance_id: 'second|n' },
    ];
    expect((await get('protocols')).json).toEqual({ ymca: { ...base, instances } });
    expect((await get('protocol/ymca')).json.instances).toEqual(instances);
    expect((await get('protocol/other')).status).toBe(404);
    expect((await get('location/ymca?channel=x')).json).toHaveLength(1);
    const asked = one.requests.find(({ path }) => path === '/_matrix/app/v1/thirdparty/location/ymca');
    expect([...(asked?.query ?? [])]).toEqual([['channel', 'x']]);
    expect((await get('location?alias=x')).json).toHaveLength(1);
    one.script = () => undefined;
    expect((await get('user/ymca?nick=x')).status).toBe(404);
  });

  test('rooms stand in the list of their network, apart from the servers own', async () => {
    await using bridged = await startBridged();
    const { client } = bridged.server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const path = `${v3}/directory/list/appservice/net/${encoded(roomId)}`;
    expect((await client.put(path, { visibility: 'public' }, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    expect((await client.put(path, { visibility: 'public' }, asToken)).status).toBe(200);
    const rooms = async (body: object): Promise<string[]> => {
      const { json } = await client.post(`${v3}/publicRooms`, body, alice.token);
      return json.chunk.map((room: { room_id: string }) => room.room_id);
    };
    expect(await rooms({})).toEqual([]);
    expect(await rooms({ third_party_instance_id: 'bridge|net' })).toEqual([roomId]);
    expect(await rooms({ third_party_instance_id: 'bridge|other' })).toEqual([]);
    expect(await rooms({ include_all_networks: true })).toEqual([roomId]);
    await client.put(path, { visibility: 'private' }, asToken);
    expect(await rooms({ include_all_networks: true })).toEqual([]);
  });
});
