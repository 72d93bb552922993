/**
 * Account data (C-S API v1.19 §Client Config, §Room Tagging, §Ignoring Users): a JSON object per user, room (or none)
 * and type, with the Position of its last change. A deletion is a row of `{}`, left out of initial syncs.
 */
import type { Bus } from '../bus/index.ts';
import { isJsonObject, memberOf, type JsonObject, type JsonValue } from '../matrix/json.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import { asPosition, sql, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';

export interface AccountDataRow {
  /** null: global. */
  readonly roomId: RoomId | null;
  readonly type: string;
  /** JSON text of the content. */
  readonly content: string;
  readonly position: Position;
}

interface Row {
  room_id: RoomId | '';
  type: string;
  content: string;
  position: Position;
}

const selectContent = sql<[userId: string, roomId: string, type: string], { content: string; position: Position }>(
  'SELECT content, position FROM userapi_account_data WHERE user_id = ? AND room_id = ? AND type = ?',
);
const selectSince = sql<[userId: string, since: number, upTo: number], Row>(
  `SELECT room_id, type, content, position FROM userapi_account_data
   WHERE user_id = ? AND position > ? AND position <= ? ORDER BY position`,
);
const selectOfRoom = sql<[userId: string, roomId: string], Row>(
  `SELECT room_id, type, content, position FROM userapi_account_data
   WHERE user_id = ? AND room_id = ? AND content <> '{}' ORDER BY position`,
);
const upsertContent = sql<[userId: string, roomId: string, type: string, content: string, position: number]>(
  `INSERT INTO userapi_account_data (user_id, room_id, type, content, position) VALUES (?, ?, ?, ?, ?)
   ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, position = excluded.position`,
);
/** Whole as it stands: the partial index serves it. */
const selectIgnoring = sql<[], { user_id: UserId }>(
  `SELECT user_id FROM userapi_account_data WHERE room_id = '' AND type = 'm.ignored_user_list'`,
);
const deleteOfUser = sql<[userId: string]>('DELETE FROM userapi_account_data WHERE user_id = ?');

const nobody: ReadonlySet<string> = new Set();

export class AccountData {
  readonly #bus: Bus;
  /** Parsed ignore lists by their own text: an immutable key. */
  readonly #ignored = new LruCache<string, ReadonlySet<string>>({ max: 1000 });

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** JSON text of the content; undefined when there never was one. `roomId` null: global. */
  get(snapshot: Snapshot, userId: UserId, roomId: RoomId | null, type: string): string | undefined {
    return snapshot.get(selectContent, userId, roomId ?? '', type)?.content;
  }

  /** What a user has stored for one room, or globally (null): no deletions. */
  ofRoom(snapshot: Snapshot, userId: UserId, roomId: RoomId | null): AccountDataRow[] {
    return snapshot.all(selectOfRoom, userId, roomId ?? '').map(accountDataRow);
  }

  /** All that a user has stored, globally and for rooms: no deletions. */
  all(snapshot: Snapshot, userId: UserId): AccountDataRow[] {
    const rows = this.changes(snapshot, userId, asPosition(0), asPosition(Number.MAX_SAFE_INTEGER));
    return rows.filter(({ content }) => content !== '{}');
  }

  /** Last values that changed in (since, upTo], deletions (`{}`) included. */
  changes(snapshot: Snapshot, userId: UserId, since: Position, upTo: Position): AccountDataRow[] {
    return snapshot.all(selectSince, userId, since, upTo).map(accountDataRow);
  }

  /** Stores a value; equal ones are stored again, since a client may wait for the echo. */
  put(tx: Tx, userId: UserId, roomId: RoomId | null, type: string, content: JsonObject): void {
    const position = tx.nextPosition();
    tx.run(upsertContent, userId, roomId ?? '', type, JSON.stringify(content), position);
    this.#bus.append(tx, { topic: 'user.account_data', user: userId, roomId, type }, position);
  }

  /** Removes all that a user has stored (erasure). */
  deleteAll(tx: Tx, userId: UserId): void {
    tx.run(deleteOfUser, userId);
    tx.touch(`user:${userId}`);
  }

  /** The user's tags of a room, by name. */
  tags(snapshot: Snapshot, userId: UserId, roomId: RoomId): JsonObject {
    const text = this.get(snapshot, userId, roomId, 'm.tag');
    const tags = text === undefined ? undefined : memberOf(JSON.parse(text), 'tags');
    return isJsonObject(tags) ? tags : {};
  }

  /** Sets one tag; `value` undefined removes it. */
  setTag(tx: Tx, userId: UserId, roomId: RoomId, tag: string, value: JsonObject | undefined): void {
    const others = Object.entries(this.tags(tx, userId, roomId)).filter(([name]) => name !== tag);
    const tags = Object.fromEntries(value === undefined ? others : [...others, [tag, value]]);
    this.put(tx, userId, roomId, 'm.tag', { tags });
  }

  /** Lets an upgraded room have what its predecessor had: the user's tags, and its place among the direct chats. */
  followUpgrade(tx: Tx, userId: UserId, from: RoomId, to: RoomId): void {
    const tags = this.tags(tx, userId, from);
    if (Object.keys(tags).length > 0) {
      this.put(tx, userId, to, 'm.tag', { tags: { ...this.tags(tx, userId, to), ...tags } });
    }
    const text = this.get(tx, userId, null, 'm.direct');
    const direct = text === undefined ? {} : (JSON.parse(text) as JsonObject);
    const follows = (rooms: JsonValue | undefined): rooms is JsonValue[] =>
      Array.isArray(rooms) && rooms.includes(from) && !rooms.includes(to);
    if (!Object.values(direct).some(follows)) return;
    const changed = Object.entries(direct).map(([other, rooms]) => [other, follows(rooms) ? [...rooms, to] : rooms]);
    this.put(tx, userId, null, 'm.direct', Object.fromEntries(changed) as JsonObject);
  }

  /** C-S API §Invite permission: `m.invite_permission_config` with `default_action: block`. */
  blocksInvites(snapshot: Snapshot, userId: UserId): boolean {
    const text = this.get(snapshot, userId, null, 'm.invite_permission_config');
    return text !== undefined && memberOf(JSON.parse(text), 'default_action') === 'block';
  }

  /** The users who have stored a list of whom they ignore. */
  usersIgnoring(snapshot: Snapshot): UserId[] {
    return snapshot.all(selectIgnoring).map((row) => row.user_id);
  }

  /** The users whose events and invites this user doesn't want to see (`m.ignored_user_list`). */
  ignoredUsers(snapshot: Snapshot, userId: UserId): ReadonlySet<string> {
    const text = this.get(snapshot, userId, null, 'm.ignored_user_list');
    if (text === undefined) return nobody;
    const known = this.#ignored.get(text);
    if (known !== undefined) return known;
    const listed = memberOf(JSON.parse(text), 'ignored_users');
    // Ignoring oneself has no effect: nobody can undo it from a client that shows nothing.
    const users = new Set(isJsonObject(listed) ? Object.keys(listed).filter((user) => user !== userId) : []);
    this.#ignored.set(text, users);
    return users;
  }
}

const accountDataRow = (row: Row): AccountDataRow => ({
  roomId: row.room_id === '' ? null : row.room_id,
  type: row.type,
  content: row.content,
  position: row.position,
});
