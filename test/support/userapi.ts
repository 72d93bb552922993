/** The whole server but for its data folder, on a loopback port, with a clock that the test holds. */
import { Bus, type Entry } from '../../src/bus/index.ts';
import type { Config } from '../../src/config/index.ts';
import { Metrics, RateLimiter } from '../../src/http/index.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import { serverNameOf, type ServerName, type UserId } from '../../src/matrix/ids.ts';
import type { Modules } from '../../src/modules.ts';
import { createPush } from '../../src/push/index.ts';
import { createPerform, createRoomCore } from '../../src/roomserver/index.ts';
import { allRoutes } from '../../src/routes.ts';
import type { Database } from '../../src/storage/index.ts';
import { createSyncApi } from '../../src/syncapi/index.ts';
import { createUserApi, type UserApi } from '../../src/userapi/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { LoopWatch } from '../../src/util/loop-watch.ts';
import { FakeClock } from './fake-clock.ts';
import { openTestDatabase, startTestServer, testConfig, type TestClient, type TestDatabase } from './http.ts';

export const serverName = 'localhost' as ServerName;
export const v3 = '/_matrix/client/v3';
export const password = 'correct horse';

export interface UserServer extends AsyncDisposable {
  readonly client: TestClient;
  readonly users: UserApi;
  readonly modules: Modules;
  readonly clock: FakeClock;
  readonly db: Database;
  /** Entries of the log and of memory since the start, as listeners were told. */
  readonly entries: Entry[];
}

export interface TestSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;
}

function buildModules(db: Database, config: Config, clock: FakeClock, loop: LoopWatch): Modules {
  const log = createLogger({ level: 'silent', format: 'json' });
  const bus = new Bus(db);
  const signingKey = { keyId: 'ed25519:test', key: keyPairFromSeed(new Uint8Array(32).fill(7)) };
  const rooms = createRoomCore({ db, bus, serverName, signingKey, clock });
  const users = createUserApi({ db, bus, rooms, config, serverName, clock });
  const isLocal = (user: string): boolean => serverNameOf(user as UserId) === serverName;
  const push = createPush({ db, bus, rooms, markers: users.receipts, isLocal });
  const roomUsers = {
    isLocal,
    profileOf: users.profiles.ofMember.bind(users.profiles),
    isGuest: () => false,
    blocksInvites: () => false,
    followUpgrade: () => undefined,
  };
  const defaultVersion = config.rooms.defaultVersion;
  const perform = createPerform({ rooms, users: roomUsers, serverName, defaultVersion, clock });
  const { syncData: userData } = users;
  const sync = createSyncApi({ db, bus, rooms, userData, push, clock, log, config: config.sync });
  const limiter = new RateLimiter(config.rateLimits, clock);
  const metrics = new Metrics(loop);
  return { ...{ config, serverName, clock, log, metrics, limiter, db, bus, rooms }, ...{ users, push, perform, sync } };
}

/** Open registration, cheap passwords and no rate limits unless `config` says otherwise; `database` is kept open. */
export async function startUserServer(
  config: Partial<Config> = {},
  options: { readonly clock?: FakeClock; readonly database?: TestDatabase } = {},
): Promise<UserServer> {
  const database = options.database ?? (await openTestDatabase());
  const { db } = database;
  const clock = options.clock ?? new FakeClock();
  const loop = new LoopWatch(createLogger({ level: 'silent', format: 'json' }));
  const defaults = testConfig();
  const whole: Config = {
    ...defaults,
    registration: { ...defaults.registration, mode: 'open' },
    passwords: { memory: 8192, passes: 1 },
    rateLimits: { ...defaults.rateLimits, enabled: false },
    ...config,
  };
  const modules = buildModules(db, whole, clock, loop);
  const { users } = modules;
  const entries: Entry[] = [];
  modules.bus.addListener((batch) => void entries.push(...batch.map(({ entry }) => entry)));
  await users.memberEvents.resume();
  const { authenticator } = users;
  const server = await startTestServer(allRoutes(modules), {
    ...{ authenticator, db, clock },
    config: { rateLimits: whole.rateLimits },
  });
  const dispose = async (): Promise<void> => {
    await server.stop();
    await users.close();
    loop[Symbol.dispose]();
    if (options.database === undefined) await database[Symbol.asyncDispose]();
  };
  return { client: server.client, users, modules, clock, db, entries, [Symbol.asyncDispose]: dispose };
}

/** Registers by m.login.dummy without a session. */
export async function register(client: TestClient, username: string, more: object = {}): Promise<TestSession> {
  const body = { username, password, auth: { type: 'm.login.dummy' }, ...more };
  const { status, json, text } = await client.post(`${v3}/register`, body);
  if (status !== 200) throw new Error(`registration failed: ${text}`);
  return { userId: json.user_id, deviceId: json.device_id, token: json.access_token };
}

/** Logs in on another device. */
export async function login(client: TestClient, username: string, deviceId: string): Promise<TestSession> {
  const identifier = { type: 'm.id.user', user: username };
  const body = { type: 'm.login.password', identifier, password, device_id: deviceId };
  const { status, json, text } = await client.post(`${v3}/login`, body);
  if (status !== 200) throw new Error(`login failed: ${text}`);
  return { userId: json.user_id, deviceId: json.device_id, token: json.access_token };
}

/** A public room with the first user as its maker and all of them joined. */
export async function openRoom(client: TestClient, ...[maker, ...others]: TestSession[]): Promise<string> {
  const made = await client.post(`${v3}/createRoom`, { preset: 'public_chat' }, maker?.token);
  if (made.status !== 200) throw new Error(`no room: ${made.text}`);
  const roomId: string = made.json.room_id;
  for (const { token } of others) await client.post(`${v3}/join/${encodeURIComponent(roomId)}`, {}, token);
  return roomId;
}

/** Sends a text; returns its event id. */
export async function say(client: TestClient, roomId: string, by: TestSession, content: object = {}): Promise<string> {
  const path = `${v3}/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${Math.random()}`;
  const { json } = await client.put(path, { msgtype: 'm.text', body: 'hello', ...content }, by.token);
  return json.event_id;
}

/** One /sync that does not wait. */
export async function sync(client: TestClient, by: TestSession, since?: string, more = '') {
  const { status, json, text } = await client.get(
    `${v3}/sync?timeout=0${since === undefined ? '' : `&since=${since}`}${more}`,
    by.token,
  );
  if (status !== 200) throw new Error(`no sync: ${text}`);
  return json;
}
