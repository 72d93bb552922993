/** A started server with the room endpoints and a few accounts that live in a table. */
import { Bus } from '../../src/bus/index.ts';
import { directoryAliasRoutes } from '../../src/clientapi/routes/directory-aliases.ts';
import { membershipRoutes } from '../../src/clientapi/routes/membership.ts';
import { roomCreateRoutes, roomUpgradeRoutes } from '../../src/clientapi/routes/rooms-create.ts';
import { roomSendRoutes } from '../../src/clientapi/routes/rooms-send.ts';
import { roomStateRoutes } from '../../src/clientapi/routes/rooms-state.ts';
import type { Requester } from '../../src/http/index.ts';
import type { RoomId, ServerName, UserId } from '../../src/matrix/ids.ts';
import {
  createPerform,
  createRemoteMemberships,
  createRemoteRooms,
  createRoomCore,
  type MemberProfile,
  type Perform,
  type RoomCore,
  type RoomUsers,
} from '../../src/roomserver/index.ts';
import type { Database } from '../../src/storage/index.ts';
import { IdentityServers, Profiles } from '../../src/userapi/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { testKey } from './room-core.ts';
import { FakeClock } from './fake-clock.ts';
import { startFed, TestNetwork } from './federation.ts';
import { openTestDatabase, startTestServer, tableAuthenticator, testConfig, testRequester } from './http.ts';
import type { TestClient, TestResponse } from './http.ts';

export const v3 = '/_matrix/client/v3';

/** An account's client: paths begin below `/_matrix/client/v3`. */
export class Actor {
  readonly userId: UserId;
  readonly #client: TestClient;
  readonly #token: string;
  #transactions = 0;

  constructor(client: TestClient, userId: UserId, token: string) {
    this.#client = client;
    this.userId = userId;
    this.#token = token;
  }

  get(path: string): Promise<TestResponse> {
    return this.#client.get(v3 + path, this.#token);
  }

  put(path: string, body: unknown): Promise<TestResponse> {
    return this.#client.put(v3 + path, body, this.#token);
  }

  post(path: string, body: unknown = {}): Promise<TestResponse> {
    return this.#client.post(v3 + path, body, this.#token);
  }

  delete(path: string): Promise<TestResponse> {
    return this.#client.delete(v3 + path, this.#token);
  }

  async createRoom(body: unknown = {}): Promise<string> {
    const { status, json, text } = await this.post('/createRoom', body);
    if (status !== 200) throw new Error(`createRoom: ${status} ${text}`);
    return json.room_id;
  }

  /** A membership action of this user; throws unless it succeeds. */
  async change(roomId: string, action: string, body: unknown = {}): Promise<void> {
    const { status, text } = await this.post(`${roomPath(roomId)}/${action}`, body);
    if (status !== 200) throw new Error(`${action}: ${status} ${text}`);
  }

  send(roomId: string, content: unknown, type = 'm.room.message', txnId?: string): Promise<TestResponse> {
    this.#transactions += 1;
    return this.put(
      `${roomPath(roomId)}/send/${encodeURIComponent(type)}/${txnId ?? `t${this.#transactions}`}`,
      content,
    );
  }

  async sent(roomId: string, content: unknown, type?: string): Promise<string> {
    const { status, json, text } = await this.send(roomId, content, type);
    if (status !== 200) throw new Error(`send: ${status} ${text}`);
    return json.event_id;
  }

  setState(roomId: string, type: string, content: unknown, stateKey = ''): Promise<TestResponse> {
    return this.put(`${roomPath(roomId)}/state/${type}/${encodeURIComponent(stateKey)}`, content);
  }

  state(roomId: string, type: string, stateKey = ''): Promise<TestResponse> {
    return this.get(`${roomPath(roomId)}/state/${type}/${encodeURIComponent(stateKey)}`);
  }

  event(roomId: string, eventId: string): Promise<TestResponse> {
    return this.get(`${roomPath(roomId)}/event/${encodeURIComponent(eventId)}`);
  }
}

export const roomPath = (roomId: string): string => `/rooms/${encodeURIComponent(roomId)}`;

export interface Accounts {
  readonly profiles: Map<string, MemberProfile>;
  readonly blocking: Set<string>;
  readonly ignored: Map<string, Set<string>>;
  readonly upgrades: { user: UserId; from: RoomId; to: RoomId }[];
}

export interface RoomServer extends AsyncDisposable {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly clock: FakeClock;
  readonly accounts: Accounts;
  readonly alice: Actor;
  /** Alice's other device. */
  readonly alice2: Actor;
  readonly bob: Actor;
  readonly carol: Actor;
  readonly guest: Actor;
  readonly admin: Actor;
  readonly suspended: Actor;
}

const requesters: Record<string, Requester> = {
  alice: testRequester('alice'),
  alice2: testRequester('alice', { deviceId: 'ALICE2' }),
  bob: testRequester('bob'),
  carol: testRequester('carol'),
  guest: testRequester('guest', { isGuest: true }),
  admin: testRequester('admin', { isAdmin: true }),
  suspended: testRequester('suspended', { isSuspended: true }),
};

/** Starts it; the server name is `localhost`. */
export async function startRoomServer(): Promise<RoomServer> {
  const clock = new FakeClock();
  const database = await openTestDatabase();
  const { db } = database;
  const serverName = 'localhost' as ServerName;
  const bus = new Bus(db);
  const rooms = createRoomCore({ db, bus, serverName, signingKey: testKey, clock });
  const accounts: Accounts = { profiles: new Map(), blocking: new Set(), ignored: new Map(), upgrades: [] };
  const users: RoomUsers = {
    isLocal: (user) => user.endsWith(':localhost'),
    profileOf: (_snapshot, user) => accounts.profiles.get(user) ?? {},
    isGuest: (_snapshot, user) => user === '@guest:localhost',
    isActive: () => true,
    isNoticeRoom: () => false,
    blocksInvites: (_snapshot, user) => accounts.blocking.has(user),
    followUpgrade: (_tx, user, from, to) => void accounts.upgrades.push({ user, from, to }),
  };
  const perform = createPerform({ rooms, users, serverName, defaultVersion: '12', clock });
  const ignoredUsers = (_snapshot: unknown, user: string): ReadonlySet<string> =>
    accounts.ignored.get(user) ?? new Set();
  const profiles = new Profiles(bus);
  const identity = new IdentityServers(testConfig().identity, serverName, testKey);
  // Without application services there is nobody to ask.
  const nobody = (): Promise<void> => Promise.resolve();
  const queries = { user: nobody, invited: nobody, alias: nobody };
  const fed = await startFed(new TestNetwork(), { db, serverName });
  const remote = createRemoteRooms({
    ...{ federation: fed.fed, db, rooms, serverName, clock },
    log: createLogger({ level: 'silent', format: 'json' }),
  });
  const memberships = createRemoteMemberships({
    ...{ db, rooms, perform, users, federation: fed.fed, remote, serverName, clock, partialJoins: true },
    log: createLogger({ level: 'silent', format: 'json' }),
  });
  const parts = {
    db,
    rooms,
    perform,
    remote,
    memberships,
    serverName,
    clock,
    ignoredUsers,
    profiles,
    identity,
    queries,
  };
  const routes = [
    ...roomCreateRoutes(parts),
    ...roomUpgradeRoutes(parts),
    ...roomSendRoutes(parts),
    ...roomStateRoutes({
      ...parts,
      partial: parts.remote.partial,
      isLocal: (user) => user.endsWith(`:${parts.serverName}`),
    }),
    ...membershipRoutes(parts),
    ...directoryAliasRoutes(parts),
  ];
  const server = await startTestServer(routes, { authenticator: tableAuthenticator(requesters), db, clock });
  const actor = (token: string): Actor => {
    const requester = requesters[token];
    if (requester === undefined) throw new Error(`no account ${token}`);
    return new Actor(server.client, requester.userId, token);
  };
  const dispose = async (): Promise<void> => {
    await server.stop();
    remote[Symbol.dispose]();
    await fed[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  };
  return {
    db,
    rooms,
    perform,
    clock,
    accounts,
    alice: actor('alice'),
    alice2: actor('alice2'),
    bob: actor('bob'),
    carol: actor('carol'),
    guest: actor('guest'),
    admin: actor('admin'),
    suspended: actor('suspended'),
    [Symbol.asyncDispose]: dispose,
  };
}
