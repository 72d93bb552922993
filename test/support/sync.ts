/** A server's rooms with /sync on top, asked through the engine, and the parsed answers. */
import { parseFilter } from '../../src/matrix/filters.ts';
import type { Config } from '../../src/config/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { createPush, type Push } from '../../src/push/index.ts';
import { createUserApi, type UserApi } from '../../src/userapi/index.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Composed } from '../../src/syncapi/compose.ts';
import { createSyncApi, parseSyncToken, type SyncApi, type SyncRequest } from '../../src/syncapi/index.ts';
import type { Room, RoomReader } from '../../src/roomserver/index.ts';
import type { Tx } from '../../src/storage/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { FakeClock } from './fake-clock.ts';
import { testConfig } from './http.ts';
import { openTestRooms, testKey, type TestRooms, user } from './room-core.ts';

export interface SyncEvent {
  readonly type: string;
  readonly sender: string;
  readonly event_id: string;
  readonly state_key?: string;
  readonly content: JsonObject;
  readonly unsigned?: JsonObject;
  readonly redacts?: string;
}
interface Events {
  readonly events: SyncEvent[];
}
export interface SyncRoom {
  readonly timeline: Events & { readonly limited: boolean; readonly prev_batch: string };
  readonly state?: Events;
  readonly state_after?: Events;
  readonly 'org.matrix.msc4222.state_after'?: Events;
  readonly ephemeral?: Events;
  readonly account_data: Events;
  readonly summary?: JsonObject;
  readonly unread_notifications?: JsonObject;
  readonly unread_thread_notifications?: JsonObject;
}
export interface SyncBody {
  readonly next_batch: string;
  readonly rooms?: {
    readonly join?: Record<string, SyncRoom>;
    readonly leave?: Record<string, SyncRoom>;
    readonly invite?: Record<string, { readonly invite_state: Events }>;
    readonly knock?: Record<string, { readonly knock_state: Events }>;
  };
  readonly account_data?: Events;
  readonly presence?: Events;
  readonly to_device?: Events;
  readonly device_lists?: { readonly changed: string[]; readonly left: string[] };
  readonly device_one_time_keys_count?: Record<string, number>;
  readonly device_unused_fallback_key_types?: string[];
}

export interface SyncOptions {
  readonly device?: string;
  readonly since?: string;
  readonly filter?: JsonObject;
  readonly fullState?: boolean;
  readonly timeout?: number;
  readonly stateAfter?: SyncRequest['stateAfter'];
  readonly presence?: SyncRequest['presence'];
  readonly signal?: AbortSignal;
}

export interface TestSync extends AsyncDisposable {
  readonly rooms: TestRooms;
  readonly users: UserApi;
  readonly push: Push;
  readonly api: SyncApi;
  readonly clock: FakeClock;
  readonly lines: string[];
  sync(who: string, options?: SyncOptions): Promise<SyncBody>;
  /** The response as it leaves, unparsed. */
  chunks(who: string, options?: SyncOptions): Promise<readonly string[]>;
  composeBy(way: 'linear' | 'polylog', who: string, options?: SyncOptions): Promise<SyncBody>;
  /** Sends a text message; the event id. */
  say(room: Room, sender: string, body: string, more?: JsonObject): Promise<string>;
  state(room: Room, sender: string, type: string, content: JsonObject, stateKey?: string): Promise<string>;
  member(room: Room, sender: string, whom: string, membership: string, more?: JsonObject): Promise<string>;
  write<T>(work: (tx: Tx) => T): Promise<T>;
}

/** Bodies of the messages in a timeline, types of its other events. */
export const bodies = (room: SyncRoom | undefined): unknown[] =>
  (room?.timeline.events ?? []).map(({ type, content }) => content['body'] ?? type);

/** `type|state_key` of the events of a state section. */
export const keysOf = (events: Events | undefined): string[] =>
  (events?.events ?? []).map(({ type, state_key: key }) => `${type}|${key}`).sort();

export const neverAborted = new AbortController().signal;

export const bodyOf = (chunks: readonly string[]): SyncBody => JSON.parse(chunks.join('')) as SyncBody;

export interface TestSyncOptions {
  readonly linearMaxEntries?: number;
  /** Of the `sync` section of the configuration. */
  readonly choices?: Partial<Config['sync']>;
  /** A server whose files are taken as they are now, as if its process had been killed. */
  readonly killed?: TestSync;
  /** Called for every look-up of /sync in the roomserver. */
  readonly onRead?: () => void;
}

/** The same reader, telling of each call. */
function watched(core: RoomReader, onRead: () => void): RoomReader {
  return new Proxy(core, {
    get: (target, name, receiver) => {
      onRead();
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
}

export function openTestSync(options: TestSyncOptions = {}): TestSync {
  const rooms = openTestRooms('one.example', options.killed?.rooms.path);
  const clock = new FakeClock();
  const lines: string[] = [];
  const { db, bus, core } = rooms;
  const serverName = 'one.example' as ServerName;
  const users = createUserApi({
    ...{ db, bus, rooms: core, config: testConfig(), serverName, clock },
    signingKey: testKey,
  });
  const isLocal = (id: string): boolean => id.endsWith(`:${serverName}`);
  const push = createPush({
    ...{ db, bus, rooms: core, clock, serverName },
    log: createLogger({ level: 'silent', format: 'json' }),
    config: testConfig().push,
    baseUrl: 'https://one.example',
    mailer: undefined,
    users: { markers: users.receipts, ignoreLists: users.accountData, emailsOf: () => [], isLocal },
  });
  const api = createSyncApi({
    ...{ db, bus, clock },
    rooms: options.onRead === undefined ? core : watched(core, options.onRead),
    userData: users.syncData,
    push,
    log: createLogger({ level: 'info', format: 'json', write: (line) => void lines.push(line) }),
    config: { ...testConfig().sync, ...options.choices, linearMaxEntries: options.linearMaxEntries ?? 1024 },
  });
  const request = (who: string, asked: SyncOptions): SyncRequest => {
    const filter = parseFilter(asked.filter ?? {});
    if (!filter.ok) throw new Error(filter.error);
    const since = parseSyncToken(asked.since);
    return {
      user: user(who),
      deviceId: asked.device ?? 'DEVICE',
      since,
      received: since,
      filter: filter.value,
      fullState: asked.fullState ?? false,
      timeout: asked.timeout ?? 0,
      stateAfter: asked.stateAfter,
      presence: asked.presence ?? 'online',
      shown: rooms.db.shown(),
      signal: asked.signal ?? neverAborted,
    };
  };
  return {
    ...{ rooms, users, push, api, clock, lines },
    sync: async (who, asked = {}) => bodyOf((await api.engine.sync(request(who, asked))).body.chunks),
    chunks: async (who, asked = {}) => (await api.engine.sync(request(who, asked))).body.chunks,
    composeBy: async (way, who, asked = {}) => {
      const composed: Composed = await api.engine.composeBy(way, request(who, asked));
      return bodyOf(composed.chunks);
    },
    say: async (room, sender, body, more = {}) => {
      const content = { msgtype: 'm.text', body, ...more };
      return (await rooms.send(room, { type: 'm.room.message', sender, content })).eventId;
    },
    state: async (room, sender, type, content, stateKey = '') =>
      (await rooms.send(room, { type, stateKey, sender, content })).eventId,
    member: async (room, sender, whom, membership, more = {}) =>
      (await rooms.send(room, { type: 'm.room.member', stateKey: whom, sender, content: { membership, ...more } }))
        .eventId,
    write: (work) => db.write(work as (tx: Tx) => never),
    [Symbol.asyncDispose]: async () => {
      await users.close();
      await rooms[Symbol.asyncDispose]();
    },
  };
}
