/** The whole server in a folder of its own, on a loopback port, with a clock that the test holds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry } from '../../src/bus/index.ts';
import type { Config } from '../../src/config/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { buildModules, startConsumers, type Modules } from '../../src/modules.ts';
import { allRoutes, allSockets } from '../../src/routes.ts';
import type { Database } from '../../src/storage/index.ts';
import type { UserApi } from '../../src/userapi/index.ts';
import { Lifecycle } from '../../src/util/lifecycle.ts';
import { createLogger } from '../../src/util/log.ts';
import { FakeClock } from './fake-clock.ts';
import { startTestServer, testConfig, type TestClient } from './http.ts';

export const serverName = 'localhost' as ServerName;
export const v3 = '/_matrix/client/v3';
export const password = 'correct horse';

export interface UserServer extends AsyncDisposable {
  readonly url: string;
  readonly client: TestClient;
  /** Stops listening, with time for requests under way. */
  readonly stop: (graceMs?: number) => Promise<void>;
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

/** A folder that is removed when disposed, for servers that follow each other. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'neurite-users-'));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/** Open registration, cheap passwords and no rate limits unless `config` says otherwise; a given `folder` is kept. */
export async function startUserServer(
  config: Partial<Config> = {},
  options: { readonly clock?: FakeClock; readonly folder?: string } = {},
): Promise<UserServer> {
  const dataDir = options.folder ?? (await mkdtemp(join(tmpdir(), 'neurite-users-')));
  const clock = options.clock ?? new FakeClock();
  const log = createLogger({ level: 'silent', format: 'json' });
  const lifecycle = new Lifecycle(log);
  const defaults = testConfig();
  const whole: Config = {
    ...{ ...defaults, dataDir, serverName },
    registration: { ...defaults.registration, mode: 'open' },
    passwords: { memory: 8192, passes: 1 },
    rateLimits: { ...defaults.rateLimits, enabled: false },
    ...config,
  };
  const modules = buildModules(whole, clock, log, lifecycle);
  const { users, db, bus } = modules;
  const entries: Entry[] = [];
  bus.addListener((batch) => void entries.push(...batch.map(({ entry }) => entry)));
  await users.memberEvents.resume();
  await startConsumers(modules);
  await modules.appservices.prepare();
  modules.appservices.start();
  const { authenticator } = modules.appservices;
  const { rateLimits } = whole;
  const sockets = allSockets(modules);
  const server = await startTestServer(allRoutes(modules), {
    authenticator,
    db,
    clock,
    sockets,
    config: { rateLimits },
  });
  const dispose = async (): Promise<void> => {
    await server.stop();
    await lifecycle.stop();
    if (options.folder === undefined) await rm(dataDir, { recursive: true });
  };
  return {
    url: server.url,
    client: server.client,
    stop: (graceMs) => server.stop(graceMs),
    users,
    modules,
    clock,
    db,
    entries,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Registers by m.login.dummy without a session. */
export async function register(client: TestClient, username: string, more: object = {}): Promise<TestSession> {
  const body = { username, password, auth: { type: 'm.login.dummy' }, ...more };
  const { status, json, text } = await client.post(`${v3}/register`, body);
  if (status !== 200) throw new Error(`registration failed: ${text}`);
  return { userId: json.user_id, deviceId: json.device_id, token: json.access_token };
}

/** Makes accounts of these names, one after the other. */
export async function registerAll<const Names extends readonly string[]>(
  client: TestClient,
  ...names: Names
): Promise<{ -readonly [At in keyof Names]: TestSession }> {
  const made: TestSession[] = [];
  for (const name of names) made.push(await register(client, name));
  return made as { -readonly [At in keyof Names]: TestSession };
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
