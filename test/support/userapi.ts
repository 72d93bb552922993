/** A server with the rows of the accounts module, on a loopback port. */
import { adminRegisterRoutes } from '../../src/admin/register.ts';
import { Bus } from '../../src/bus/index.ts';
import { accountRoutes } from '../../src/clientapi/routes/account.ts';
import { capabilityRoutes } from '../../src/clientapi/routes/capabilities.ts';
import { deviceRoutes } from '../../src/clientapi/routes/devices.ts';
import { registerRoutes } from '../../src/clientapi/routes/register.ts';
import { sessionRoutes } from '../../src/clientapi/routes/session.ts';
import { versionRoutes } from '../../src/clientapi/routes/versions.ts';
import type { Config } from '../../src/config/index.ts';
import { RateLimiter } from '../../src/http/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomCore } from '../../src/roomserver/index.ts';
import { createUserApi, type UserApi } from '../../src/userapi/index.ts';
import { FakeClock } from './fake-clock.ts';
import { openTestDatabase, startTestServer, testConfig, type TestClient, type TestDatabase } from './http.ts';

export const serverName = 'localhost' as ServerName;

export interface UserServer extends AsyncDisposable {
  readonly client: TestClient;
  readonly users: UserApi;
  readonly bus: Bus;
  readonly clock: FakeClock;
  readonly database: TestDatabase;
}

export interface TestSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;
}

/** Open registration and cheap passwords unless `config` says otherwise. */
export async function startUserServer(
  config: Partial<Config> = {},
  rooms: RoomCore = {} as RoomCore,
): Promise<UserServer> {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = new FakeClock();
  const defaults = testConfig();
  const whole: Config = {
    ...defaults,
    registration: { ...defaults.registration, mode: 'open' },
    passwords: { memory: 8192, passes: 1 },
    rateLimits: { ...defaults.rateLimits, enabled: false },
    ...config,
  };
  const bus = new Bus(db);
  const users = createUserApi({ db, bus, rooms, config: whole, serverName, clock });
  const limiter = new RateLimiter(whole.rateLimits, clock);
  const parts = { ...users, db, serverName, limiter, clock, sharedSecret: whole.registration.sharedSecret };
  const routes = [
    ...sessionRoutes(parts),
    ...registerRoutes(parts),
    ...accountRoutes(parts),
    ...deviceRoutes(parts),
    ...versionRoutes(),
    ...capabilityRoutes({ defaultRoomVersion: whole.rooms.defaultVersion }),
    ...adminRegisterRoutes(parts),
  ];
  const server = await startTestServer(routes, {
    authenticator: users.authenticator,
    db,
    clock,
    config: { rateLimits: whole.rateLimits },
  });
  const dispose = async (): Promise<void> => {
    await server.stop();
    await users.close();
    await database[Symbol.asyncDispose]();
  };
  return { client: server.client, users, bus, clock, database, [Symbol.asyncDispose]: dispose };
}

export const password = 'correct horse';

/** Registers by m.login.dummy without a session. */
export async function register(client: TestClient, username: string, more: object = {}): Promise<TestSession> {
  const body = { username, password, auth: { type: 'm.login.dummy' }, ...more };
  const { status, json, text } = await client.post('/_matrix/client/v3/register', body);
  if (status !== 200) throw new Error(`registration failed: ${text}`);
  return { userId: json.user_id, deviceId: json.device_id, token: json.access_token };
}
