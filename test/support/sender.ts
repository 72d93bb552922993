/** A server's sender with all that it stands on, in this process, and scripted servers that take its transactions. */
import { createHash } from 'node:crypto';
import { Bus } from '../../src/bus/index.ts';
import type { FedClient } from '../../src/fedclient/index.ts';
import { createFederationSender, type FederationSender } from '../../src/federation/index.ts';
import type { ServerName, UserId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { createRoomCore, type ProtoEvent, type Room, type StoredEvent } from '../../src/roomserver/index.ts';
import { openDatabase, type Database, type Snapshot } from '../../src/storage/index.ts';
import { createUserApi, type UserApi } from '../../src/userapi/index.ts';
import type { Clock } from '../../src/util/clock.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { sendJson, startFed, startKeyedPeer, type KeyedPeer, type TestNetwork } from './federation.ts';
import { testConfig } from './http.ts';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignedRoom } from './room-builder.ts';
import { migrations, roomIdOf, testKey, user } from './room-core.ts';

export const us = 'us.test' as ServerName;

export interface TestSender extends AsyncDisposable {
  readonly db: Database;
  readonly bus: Bus;
  readonly core: ReturnType<typeof createRoomCore>;
  readonly users: UserApi;
  readonly fed: FedClient;
  readonly sender: FederationSender;
  readonly path: string;
  readonly clock: Clock;
  read<T>(work: (snapshot: Snapshot) => T): T;
  /** A message of alice, or another event of hers. */
  say(room: Room, body: string): Promise<StoredEvent>;
  send(room: Room, proto: Omit<ProtoEvent, 'sender'> & { readonly sender?: string }): Promise<StoredEvent>;
  /** Takes over a room that other servers have made, as far as it has got. */
  receive(room: SignedRoom): Promise<Room>;
  device(localpart: string, deviceId: string): Promise<void>;
  keys(localpart: string, deviceId: string): Promise<void>;
}

export interface TestSenderOptions {
  readonly clock?: Clock;
  /** A database whose files are taken as they are now, as if its process had been killed. */
  readonly killed?: string;
  readonly keptEvents?: number;
  /** false: `sender.start` is left to the test. */
  readonly started?: boolean;
}

export const alice = user(`@alice:${us}`);

export async function startSender(network: TestNetwork, options: TestSenderOptions = {}): Promise<TestSender> {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-sender-'));
  const path = join(folder, 'test.db');
  if (options.killed !== undefined)
    for (const part of ['', '-wal']) copyFileSync(`${options.killed}${part}`, `${path}${part}`);
  const onFatal = (error: Error): void => {
    throw error;
  };
  const db = openDatabase({ path, migrations, onFatal });
  const bus = new Bus(db);
  const clock = options.clock ?? systemClock;
  const log = createLogger({ level: 'silent', format: 'json' });
  const core = createRoomCore({ db, bus, serverName: us, signingKey: testKey, clock });
  const config = testConfig();
  const users = createUserApi({ db, bus, rooms: core, config, serverName: us, signingKey: testKey, clock });
  const { fed, ...client } = await startFed(network, { serverName: us, clock, db });
  const sender = createFederationSender({
    ...{ db, bus, fed, rooms: core, users, serverName: us, clock, log },
    ...(options.keptEvents === undefined ? {} : { keptEvents: options.keptEvents }),
  });
  if (options.started !== false) sender.start();
  const received = new Map<string, number>();
  const send: TestSender['send'] = (room, proto) =>
    db.write((tx) => core.send(tx, room, { ...proto, sender: user(proto.sender ?? alice) }));
  return {
    ...{ db, bus, core, users, fed, sender, path, clock, send },
    read: (work) => db.read(work as (snapshot: Snapshot) => never),
    say: (room, body) => send(room, { type: 'm.room.message', content: { msgtype: 'm.text', body } }),
    receive: async (room) => {
      const id = roomIdOf(room.roomId);
      const events: readonly RoomEvent[] = room.events.slice(received.get(id) ?? 0);
      const join = events.at(-1);
      if (received.has(id) || join?.sender !== alice) await core.input(id, events, 'live');
      else {
        // Joined through another server: all that was before came with the answer to the join.
        await core.input(id, events.slice(0, -1), 'outlier');
        const state = new Map(
          events
            .slice(0, -1)
            .flatMap(({ type, stateKey, eventId }) =>
              stateKey === undefined ? [] : [[`${type} ${stateKey}`, eventId] as const],
            ),
        );
        const stateBefore = new Map([[join.eventId, [...state.values()]]]);
        await core.input(id, [join], 'live', { stateBefore, replacesRoom: join.eventId });
      }
      received.set(id, room.events.length);
      const known = db.read((snapshot) => core.room(snapshot, id));
      if (known === undefined) throw new Error('the room was not taken');
      return known;
    },
    device: async (localpart, deviceId) => {
      const id = `@${localpart}:${us}` as UserId;
      await db.write((tx) => void users.devices.create(tx, id, deviceId, `${localpart}'s ${deviceId}`));
    },
    keys: async (localpart, deviceId) => {
      const id = `@${localpart}:${us}` as UserId;
      const key = createHash('sha256').update(`${localpart} ${deviceId} ${Math.random()}`).digest('base64url');
      const keys = { [`ed25519:${deviceId}`]: key };
      const upload = { user_id: id, device_id: deviceId, algorithms: ['m.olm'], keys, signatures: {} };
      await db.write((tx) => users.deviceKeys.upload(tx, id, deviceId, upload));
    },
    async [Symbol.asyncDispose]() {
      await sender[Symbol.asyncDispose]();
      await users.close();
      await client[Symbol.asyncDispose]();
      await db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface SentEdu {
  readonly edu_type: string;
  readonly content: Record<string, unknown>;
}

export interface SentTransaction {
  readonly id: string;
  readonly text: string;
  readonly pdus: readonly {
    readonly type: string;
    readonly sender: string;
    readonly content: Record<string, unknown>;
  }[];
  readonly edus: readonly SentEdu[];
  /** It was answered with 200. */
  readonly taken: boolean;
}

export interface Receiver extends KeyedPeer {
  /** What it was sent, attempts that it refused too. */
  readonly sent: SentTransaction[];
  /** The status of its next answers; the last one stays. */
  statuses: number[];
  /** What goes before an answer. */
  before: () => Promise<void>;
  /** Transactions under way at this moment, and the most that there were. */
  readonly load: { now: number; most: number };
  /** Bodies of the messages that it took, in order. */
  bodies(): string[];
  /** EDUs of a type that it took. */
  edus(type: string): Record<string, unknown>[];
  until(isThere: () => boolean): Promise<void>;
}

/** A server that takes transactions. */
export async function startReceiver(network: TestNetwork, host: string): Promise<Receiver> {
  const waiting = new Set<() => void>();
  const peer = (await startKeyedPeer(network, host, async (request, response) => {
    const id = /^\/_matrix\/federation\/v1\/send\/([^/?]+)$/.exec(request.url)?.[1];
    if (id === undefined) return sendJson(response, { errcode: 'M_UNRECOGNIZED', error: 'no' }, 404);
    receiver.load.now += 1;
    receiver.load.most = Math.max(receiver.load.most, receiver.load.now);
    await receiver.before();
    const status = receiver.statuses.length > 1 ? receiver.statuses.shift() : receiver.statuses[0];
    const { pdus = [], edus = [] } = JSON.parse(request.body) as Partial<SentTransaction>;
    receiver.sent.push({ id: decodeURIComponent(id), text: request.body, pdus, edus, taken: status === 200 });
    receiver.load.now -= 1;
    sendJson(response, status === 200 ? { pdus: {} } : { errcode: 'M_UNKNOWN', error: 'no' }, status);
    for (const look of waiting) look();
  })) as Receiver;
  const receiver = Object.assign(peer, {
    sent: [] as SentTransaction[],
    statuses: [200],
    before: async () => undefined,
    load: { now: 0, most: 0 },
    bodies: () => {
      const seen = new Set<string>();
      return receiver.sent
        .filter(({ taken, id }) => taken && !seen.has(id) && seen.add(id))
        .flatMap(({ pdus }) => pdus.filter(({ type }) => type === 'm.room.message'))
        .map(({ content }) => String(content.body));
    },
    edus: (type: string) =>
      receiver.sent
        .filter(({ taken }) => taken)
        .flatMap(({ edus }) => edus.filter(({ edu_type: kind }) => kind === type).map(({ content }) => content)),
    until: (isThere: () => boolean) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (!isThere()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  });
  return receiver;
}

/** A room, one of each version, made by the first of these users, in which the others and alice are; all but alice are of other servers. */
export function sharedRoom(members: readonly string[], version = '11'): SignedRoom {
  const [creator = '', ...others] = members;
  const room = SignedRoom.open(version, creator, { state_default: 0, users: { [creator]: 50, [alice]: 100 } });
  for (const member of others) room.join(member);
  room.join(alice);
  return room;
}
