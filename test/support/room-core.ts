/** A roomserver on a database of its own in a temporary folder, with a clock that the test holds. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bus, type Logged, type StoredEntry } from '../../src/bus/index.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { RoomId, ServerName, UserId } from '../../src/matrix/ids.ts';
import { createRoomCore, type ProtoEvent, type Room, type StoredEvent } from '../../src/roomserver/index.ts';
import { type Database, openDatabase, type Snapshot } from '../../src/storage/index.ts';

export const migrations = new URL('../../migrations', import.meta.url).pathname;
export const testKey = { keyId: 'ed25519:test', key: keyPairFromSeed(new Uint8Array(32).fill(7)) };

export const user = (id: string): UserId => id as UserId;
export const roomIdOf = (id: string): RoomId => id as RoomId;

export interface TestRooms extends AsyncDisposable {
  readonly db: Database;
  readonly bus: Bus;
  readonly core: ReturnType<typeof createRoomCore>;
  readonly log: Logged[];
  readonly time: { now: number };
  readonly path: string;
  read<T>(work: (snapshot: Snapshot) => T): T;
  createRoom(sender: string, version?: string, content?: Record<string, unknown>): Promise<Room>;
  send(room: Room, proto: Omit<ProtoEvent, 'sender'> & { sender: string }): Promise<StoredEvent>;
  /** A room with its creator joined, power levels, and join rules. */
  openRoom(creator: string, version?: string): Promise<Room>;
  join(room: Room, member: string): Promise<StoredEvent>;
  topics(): StoredEntry['topic'][];
}

/**
 * @param killed a database whose files are taken as they are now, as if its process had been killed
 * @param resolveInlineUpTo conflicted events up to which a state resolution runs inside a transaction
 */
export function openTestRooms(serverName = 'one.example', killed?: string, resolveInlineUpTo = 500): TestRooms {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-rooms-'));
  const path = join(folder, 'test.db');
  if (killed !== undefined) for (const part of ['', '-wal']) copyFileSync(`${killed}${part}`, `${path}${part}`);
  const db = openDatabase({
    path,
    migrations,
    onFatal: (error) => {
      throw error;
    },
  });
  const bus = new Bus(db);
  const log: Logged[] = [];
  bus.addListener((entries) => void log.push(...entries));
  const time = { now: 1_700_000_000_000 };
  const clock = { now: () => time.now++, sleep: async (): Promise<void> => undefined };
  const own = { serverName: serverName as ServerName, signingKey: testKey };
  const core = createRoomCore({ db, bus, clock, resolveInlineUpTo, ...own });
  const rooms: TestRooms = {
    db,
    bus,
    core,
    log,
    time,
    path,
    read: (work) => db.read(work as (snapshot: Snapshot) => never),
    createRoom: (sender, version = '12', content = {}) =>
      db.write((tx) => core.createRoom(tx, { version, sender: user(sender), content })),
    send: (room, proto) => db.write((tx) => core.send(tx, room, { ...proto, sender: user(proto.sender) })),
    join: (room, member) =>
      rooms.send(room, { type: 'm.room.member', stateKey: member, sender: member, content: { membership: 'join' } }),
    async openRoom(creator, version = '12') {
      return db.write((tx) => {
        const sender = user(creator);
        const room = core.createRoom(tx, { version, sender, content: {} });
        const state = (type: string, content: Record<string, unknown>, stateKey = ''): void =>
          void core.send(tx, room, { type, stateKey, sender, content });
        state('m.room.member', { membership: 'join' }, creator);
        state('m.room.power_levels', { users: room.rules.privilegedCreators ? {} : { [creator]: 100 } });
        state('m.room.join_rules', { join_rule: 'public' });
        return room;
      });
    },
    topics: () => log.map(({ entry }) => entry.topic as StoredEntry['topic']),
    async [Symbol.asyncDispose]() {
      await db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return rooms;
}
