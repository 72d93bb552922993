/**
 * What a change of an account means for rooms (C-S API v1.19 §Profiles, §Account deactivation): a new name or avatar goes
 * into the member event of every joined room; who is deactivated leaves. The task is a row, taken up again after a crash;
 * rooms are done in small commits, so that a user of a thousand rooms holds nobody up.
 */
import { isDeepStrictEqual } from 'node:util';
import { MatrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import { memberOf } from '../matrix/json.ts';
import type { RoomNid, RoomReader, RoomWriter } from '../roomserver/index.ts';
import { sql, type Database, type Tx } from '../storage/index.ts';
import type { Profiles } from './profiles.ts';

export type RoomTask = 'profile' | 'leave';

const insertTask = sql<[userId: string, task: RoomTask]>(
  'INSERT INTO userapi_room_tasks (user_id, task) VALUES (?, ?) ON CONFLICT DO NOTHING',
);
const selectTasks = sql<[], { user_id: UserId; task: RoomTask }>('SELECT user_id, task FROM userapi_room_tasks');
const deleteTask = sql<[userId: string, task: RoomTask]>(
  'DELETE FROM userapi_room_tasks WHERE user_id = ? AND task = ?',
);

/** Rooms whose events may share a commit. */
const roomsAtOnce = 16;

export class MemberEvents {
  readonly #db: Database;
  readonly #rooms: RoomReader & RoomWriter;
  readonly #profiles: Profiles;
  /** The run under way per user and task: another change runs after it, so that the last one wins. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(db: Database, rooms: RoomReader & RoomWriter, profiles: Profiles) {
    this.#db = db;
    this.#rooms = rooms;
    this.#profiles = profiles;
  }

  /** Has the user's events come redacted to who was not there when they were sent. */
  erase(tx: Tx, userId: UserId): void {
    this.#rooms.eraseSender(tx, userId);
  }

  /** Notes in the change's own transaction that rooms must follow; `run` does it afterwards. */
  require(tx: Tx, userId: UserId, task: RoomTask): void {
    tx.run(insertTask, userId, task);
  }

  /** Does what was noted; resolves when every room has followed, or refused. */
  run(userId: UserId, task: RoomTask): Promise<void> {
    const key = `${task} ${userId}`;
    const before = this.#running.get(key) ?? Promise.resolve();
    const next = before.then(() => this.#run(userId, task));
    const settled = next
      .catch(() => undefined)
      .then(() => {
        if (this.#running.get(key) === settled) this.#running.delete(key);
      });
    this.#running.set(key, settled);
    return next;
  }

  /** Takes up what an earlier process left undone. */
  async resume(): Promise<void> {
    for (const { user_id: userId, task } of this.#db.read((snapshot) => snapshot.all(selectTasks))) {
      await this.run(userId, task);
    }
  }

  async #run(userId: UserId, task: RoomTask): Promise<void> {
    const rooms = this.#db.read((snapshot) =>
      this.#rooms
        .localMemberships(snapshot, userId)
        .filter(({ membership }) => (task === 'leave' ? /join|invite|knock/.test(membership) : membership === 'join'))
        .map(({ room }) => room),
    );
    const apply = task === 'leave' ? this.#leave.bind(this) : this.#sendProfile.bind(this);
    for (let start = 0; start < rooms.length; start += roomsAtOnce) {
      const batch = rooms.slice(start, start + roomsAtOnce);
      await Promise.all(batch.map((room) => this.#db.write((tx) => apply(tx, userId, room)).catch(refused)));
    }
    await this.#db.write((tx) => void tx.run(deleteTask, userId, task));
  }

  #sendProfile(tx: Tx, userId: UserId, roomNid: RoomNid): void {
    const member = this.#rooms.membership(tx, roomNid, userId);
    if (member?.membership !== 'join') return;
    const content = { membership: 'join', ...this.#profiles.ofMember(tx, userId) };
    const { content: present } = this.#rooms.roomEvent(tx, member.event);
    const shown = (value: object): unknown[] => ['displayname', 'avatar_url'].map((key) => memberOf(value, key));
    if (isDeepStrictEqual(shown(present), shown(content))) return;
    const room = this.#rooms.roomByNid(tx, roomNid);
    this.#rooms.send(tx, room, { type: 'm.room.member', stateKey: userId, sender: userId, content });
  }

  #leave(tx: Tx, userId: UserId, roomNid: RoomNid): void {
    const room = this.#rooms.roomByNid(tx, roomNid);
    const membership = this.#rooms.membership(tx, roomNid, userId)?.membership;
    if (membership === undefined || membership === 'leave' || membership === 'ban') return;
    const content = { membership: 'leave' };
    this.#rooms.send(tx, room, { type: 'm.room.member', stateKey: userId, sender: userId, content });
  }
}

/** A room may refuse (auth rules); everything else is a fault. */
function refused(error: unknown): void {
  if (!(error instanceof MatrixError)) throw error;
}
