/**
 * The user directory (C-S API v1.19 §User Directory). Its index holds under which words a user may be found; whether the
 * searcher may be shown that user, and under which name, is read from rooms and profiles when he searches. So nobody is
 * found by, or shown with, a name that he has only in a room that the searcher is not in.
 */
import type { Consumer, ConsumerContents, RoomNid, StoredEntry } from '../bus/index.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import { asString, memberOf } from '../matrix/json.ts';
import { contentOf, isWorldReadable, joinRuleIn, type RoomReader } from '../roomserver/index.ts';
import { asPosition, sql, type Snapshot, type Tx } from '../storage/index.ts';
import { indexedWords, matchesName, nameExpressions } from '../util/words.ts';
import { systemClock } from '../util/clock.ts';
import { Accounts } from './accounts.ts';
import { type MemberProfile, Profiles } from './profiles.ts';

export interface FoundUser {
  readonly user_id: UserId;
  readonly display_name?: string;
  readonly avatar_url?: string;
}

export interface UserSearch {
  readonly results: readonly FoundUser[];
  /** There are more than the limit. */
  readonly limited: boolean;
}

export interface UserDirectoryParts {
  readonly rooms: RoomReader;
  readonly accounts: Accounts;
  readonly profiles: Profiles;
  /** Every user of this server is shown to every other. */
  readonly showsEveryone: boolean;
}

const selectId = sql<[userId: string], { id: number }>('SELECT id FROM userapi_directory WHERE user_id = ?');
const insertUser = sql<[userId: string]>('INSERT INTO userapi_directory (user_id) VALUES (?)');
const deleteUser = sql<[id: number]>('DELETE FROM userapi_directory WHERE id = ?');
const insertWords = sql<[id: number, words: string]>('INSERT INTO userapi_directory_text (rowid, words) VALUES (?, ?)');
const deleteWords = sql<[id: number]>('DELETE FROM userapi_directory_text WHERE rowid = ?');
const clearUsers = sql<[]>('DELETE FROM userapi_directory');
const clearWords = sql<[]>("INSERT INTO userapi_directory_text (userapi_directory_text) VALUES ('delete-all')");
const clearRooms = sql<[]>('DELETE FROM userapi_directory_rooms');
const selectMatches = sql<[query: string, limit: number], { user_id: UserId }>(
  `SELECT u.user_id FROM userapi_directory_text t CROSS JOIN userapi_directory u ON u.id = t.rowid
   WHERE t.userapi_directory_text MATCH ? ORDER BY bm25(userapi_directory_text), u.user_id LIMIT ?`,
);
const upsertRoom = sql<[room: number]>(
  `INSERT INTO userapi_directory_rooms (room, after) VALUES (?, '') ON CONFLICT DO UPDATE SET after = ''`,
);
const selectRoom = sql<[], { room: RoomNid; after: string }>(
  'SELECT room, after FROM userapi_directory_rooms ORDER BY room LIMIT 1',
);
const selectStoredRoom = sql<[], { room: RoomNid }>('SELECT room FROM main.userapi_directory_rooms LIMIT 1');
const updateRoom = sql<[after: string, room: number]>('UPDATE userapi_directory_rooms SET after = ? WHERE room = ?');
const deleteRoom = sql<[room: number]>('DELETE FROM userapi_directory_rooms WHERE room = ?');

/** Users that one search looks at, best first. */
const lookedAt = 2000;
/** Members taken in at once. */
const membersAtOnce = 100;
/** A user of another server is found by the names that he has in this many rooms. */
const namedRooms = 20;

export class UserDirectory implements Consumer {
  readonly name = 'user_directory';
  readonly version = 1;
  readonly contents: ConsumerContents = {
    tables: ['userapi_directory_text', 'userapi_directory', 'userapi_directory_rooms'],
    text: 'userapi_directory_text',
    query: (schema, words) =>
      `SELECT 'words of ' || user_id AS what, group_concat(term, ' ') AS value
       FROM (SELECT u.user_id, v.term FROM temp.${words} v JOIN ${schema}.userapi_directory u ON u.id = v.doc
             ORDER BY u.user_id, v.offset) GROUP BY user_id`,
    isBehind: (snapshot) => snapshot.get(selectStoredRoom) !== undefined,
  };
  readonly #parts: UserDirectoryParts;

  constructor(parts: UserDirectoryParts) {
    this.#parts = parts;
  }

  /**
   * Users who share a room with the searcher, or are in a room that is open to everyone, and whose id or name holds all
   * words of the term or their beginnings.
   */
  search(snapshot: Snapshot, searcher: UserId, term: string, limit: number): UserSearch {
    const expressions = nameExpressions(term);
    if (expressions.length === 0) return { results: [], limited: false };
    const view = new View(this.#parts, snapshot, searcher);
    const results: FoundUser[] = [];
    for (const { user_id: user } of snapshot.all(selectMatches, expressions.join(' AND '), lookedAt)) {
      const found = view.show(user, term);
      if (found === undefined) continue;
      if (results.length === limit) return { results, limited: true };
      results.push(found);
    }
    return { results, limited: false };
  }

  keyOf(entry: StoredEntry): string | undefined {
    switch (entry.topic) {
      case 'room.event':
        return entry.type === 'm.room.member' ? (entry.stateKey ?? undefined) : undefined;
      case 'user.profile':
        return entry.user;
      case 'room.state':
      case 'room.unpartial':
        return String(entry.room);
      case 'room.membership':
      case 'room.purged':
      case 'room.backfilled':
      case 'event.redacted':
      case 'event.withdrawn':
      case 'room.receipt':
      case 'user.account_data':
      case 'user.counts':
      case 'user.device_list':
      case 'device.to_device':
      case 'device.key_counts':
        return undefined;
    }
  }

  apply(tx: Tx, entry: StoredEntry): void {
    if (entry.topic === 'user.profile') this.#index(tx, entry.user);
    else if (entry.topic === 'room.state') tx.run(upsertRoom, entry.room);
    else if (entry.topic === 'room.unpartial') {
      tx.run(upsertRoom, entry.room);
      for (const user of this.#misjudged(tx, entry.room)) this.#index(tx, user);
    } else if (entry.topic === 'room.event' && entry.stateKey !== null) {
      const user = entry.stateKey as UserId;
      this.#index(tx, user);
      // With the first of our users the members of other servers come in, without an event of their own each.
      if (!this.#parts.accounts.isLocal(user)) return;
      const ours = this.#parts.rooms.joinedLocalUsers(tx, entry.room, 2);
      if (ours.length === 1 && ours[0] === user) tx.run(upsertRoom, entry.room);
    }
  }

  /** Whom a partial room was believed to know something of that its full state tells otherwise. */
  #misjudged(tx: Tx, room: RoomNid): UserId[] {
    const { rooms } = this.#parts;
    const whole = rooms.wholeSince(tx, room);
    if (whole === 0) return [];
    const [before, after] = [rooms.snapshotAt(tx, room, asPosition(whole - 1)), rooms.snapshotAt(tx, room, whole)];
    if (before === 0 || after === 0) return [];
    return rooms
      .stateEntries(tx, before, 'm.room.member')
      .filter(({ stateKey, event }) => rooms.stateEvent(tx, after, 'm.room.member', stateKey) !== event)
      .map(({ stateKey }) => stateKey as UserId);
  }

  /** Takes in some members of a room that has many. */
  continue(tx: Tx): boolean {
    const next = tx.get(selectRoom);
    if (next === undefined) return false;
    const { room, after } = next;
    const { members, last } = this.#parts.rooms.joinedAfter(tx, room, after, membersAtOnce);
    for (const { user } of members) this.#index(tx, user);
    if (last === undefined) tx.run(deleteRoom, room);
    else tx.run(updateRoom, last, room);
    return true;
  }

  clear(tx: Tx): void {
    for (const statement of [clearUsers, clearWords, clearRooms]) tx.run(statement);
  }

  /** First the accounts; the rooms are noted with the last of them, and taken in like those of any other join. */
  rebuild(tx: Tx, cursor: number): number | undefined {
    const { accounts, rooms } = this.#parts;
    const users = accounts.page(tx, cursor, membersAtOnce);
    for (const user of users) this.#index(tx, user);
    if (users.length === membersAtOnce) return cursor + users.length;
    for (const room of [...rooms.roomsChangedSince(tx, asPosition(0))]) tx.run(upsertRoom, room);
    return undefined;
  }

  /** Brings the words of a user to the names that he goes by now. */
  #index(tx: Tx, user: UserId): void {
    const words = this.#wordsOf(tx, user);
    const id = tx.get(selectId, user)?.id;
    if (id !== undefined) {
      tx.run(deleteWords, id);
      if (words === undefined) tx.run(deleteUser, id);
      else tx.run(insertWords, id, words);
    } else if (words !== undefined) {
      tx.run(insertWords, tx.run(insertUser, user).lastInsertRowid, words);
    }
  }

  /** Undefined for who is not there any more. */
  #wordsOf(snapshot: Snapshot, user: UserId): string | undefined {
    const { accounts, profiles, rooms } = this.#parts;
    if (accounts.isLocal(user)) {
      const account = accounts.get(snapshot, user);
      if (account === undefined || account.deactivated) return undefined;
      return indexedWords(`${user} ${profiles.ofMember(snapshot, user).displayname ?? ''}`);
    }
    const joined = rooms.joinedRooms(snapshot, user);
    if (joined.length === 0) return undefined;
    const names = joined
      .slice(-namedRooms)
      .map((room) => memberProfile(snapshot, rooms, room, user)?.displayname ?? '');
    return indexedWords([user, ...new Set(names)].join(' '));
  }
}

/** The directory for a process that only reads. */
export function openUserDirectory(rooms: RoomReader, serverName: ServerName): Consumer {
  const readOnly = {
    append: (): never => {
      throw new Error('this process only reads');
    },
  };
  const accounts = new Accounts(readOnly, serverName, systemClock);
  return new UserDirectory({ rooms, accounts, profiles: new Profiles(readOnly), showsEveryone: false });
}

/** What one searcher may see; remembers what it has looked up about rooms. */
class View {
  readonly #parts: UserDirectoryParts;
  readonly #snapshot: Snapshot;
  readonly #searcher: UserId;
  readonly #open = new Map<RoomNid, boolean>();
  readonly #mine: ReadonlySet<RoomNid>;

  constructor(parts: UserDirectoryParts, snapshot: Snapshot, searcher: UserId) {
    this.#parts = parts;
    this.#snapshot = snapshot;
    this.#searcher = searcher;
    this.#mine = new Set(parts.rooms.joinedRooms(snapshot, searcher));
  }

  /** The user as the searcher sees him; undefined when he must not, or when the term is not in what he sees. */
  show(user: UserId, term: string): FoundUser | undefined {
    const { rooms, accounts, profiles, showsEveryone } = this.#parts;
    const isLocal = accounts.isLocal(user);
    const isShared = (room: RoomNid): boolean => user !== this.#searcher && this.#mine.has(room);
    const visible = rooms.joinedRooms(this.#snapshot, user).filter((room) => isShared(room) || this.#isOpen(room));
    if (visible.length === 0 && !(isLocal && showsEveryone)) return undefined;
    const profile = isLocal ? profiles.ofMember(this.#snapshot, user) : this.#newestProfile(visible, user);
    if (!matchesName(term, `${user} ${profile.displayname ?? ''}`)) return undefined;
    return {
      user_id: user,
      ...(profile.displayname === undefined ? {} : { display_name: profile.displayname }),
      ...(profile.avatar_url === undefined ? {} : { avatar_url: profile.avatar_url }),
    };
  }

  #newestProfile(visible: readonly RoomNid[], user: UserId): MemberProfile {
    const { rooms } = this.#parts;
    let newest = { event: 0, room: visible[0] };
    for (const room of visible) {
      const event = rooms.membership(this.#snapshot, room, user)?.event ?? 0;
      if (event > newest.event) newest = { event, room };
    }
    return newest.room === undefined ? {} : (memberProfile(this.#snapshot, rooms, newest.room, user) ?? {});
  }

  /** Whether anybody may join or read the room; of one that this server is not in any more nothing is known. */
  #isOpen(nid: RoomNid): boolean {
    const known = this.#open.get(nid);
    if (known !== undefined) return known;
    const { rooms } = this.#parts;
    const room = rooms.roomByNid(this.#snapshot, nid);
    const isOpen =
      rooms.isServerJoined(this.#snapshot, nid) &&
      (joinRuleIn(this.#snapshot, rooms, room) === 'public' || isWorldReadable(this.#snapshot, rooms, room));
    this.#open.set(nid, isOpen);
    return isOpen;
  }
}

/** What a user's member event in a room says of him. */
function memberProfile(snapshot: Snapshot, rooms: RoomReader, room: RoomNid, user: UserId): MemberProfile | undefined {
  const nid = rooms.membership(snapshot, room, user)?.event;
  const event = nid === undefined ? undefined : rooms.event(snapshot, nid);
  if (event === undefined) return undefined;
  const content = contentOf(event);
  const [name, avatar] = [asString(memberOf(content, 'displayname')), asString(memberOf(content, 'avatar_url'))];
  return { ...(name ? { displayname: name } : {}), ...(avatar ? { avatar_url: avatar } : {}) };
}
