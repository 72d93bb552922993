/**
 * Aliases of this server and the published flag of rooms (C-S API v1.19 §Room aliases, §Published room directory).
 * Owns `room_aliases` and `room_directory`. Readers that show an alias wait for its key `alias:<alias>`.
 */
import { levelToSend, powerLevelOf } from '../../matrix/auth-power-levels.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { type RoomAlias, type ServerName, type UserId, parseRoomAlias, serverNameOf } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { RoomCore } from '../core.ts';
import { currentContent, currentLevels } from '../query/room-auth.ts';
import type { Room, RoomNid } from '../types.ts';

interface AliasRow {
  readonly room: RoomNid;
  readonly creator: UserId;
}
const selectAlias = sql<[alias: string], AliasRow>('SELECT room, creator FROM room_aliases WHERE alias = ?');
const selectAliasesByRoom = sql<[room: number], { alias: RoomAlias }>(
  'SELECT alias FROM room_aliases WHERE room = ? ORDER BY alias',
);
const insertAlias = sql<[alias: string, room: number, creator: string, createdAt: number]>(
  'INSERT INTO room_aliases (alias, room, creator, created_at) VALUES (?, ?, ?, ?)',
);
const updateAliasesOfRoom = sql<[to: number, from: number]>('UPDATE room_aliases SET room = ? WHERE room = ?');
const deleteAlias = sql<[alias: string]>('DELETE FROM room_aliases WHERE alias = ?');
const selectPublished = sql<[room: number], { room: RoomNid }>('SELECT room FROM room_directory WHERE room = ?');
const selectAllPublished = sql<[], { room: RoomNid }>('SELECT room FROM room_directory ORDER BY room');
const insertPublished = sql<[room: number]>('INSERT OR IGNORE INTO room_directory (room) VALUES (?)');
const deletePublished = sql<[room: number]>('DELETE FROM room_directory WHERE room = ?');

/** Who asks for a change. */
export interface AliasActor {
  readonly userId: UserId;
  readonly isAdmin: boolean;
  /** The application service that asks for this user. */
  readonly appserviceId?: string | undefined;
}

/**
 * Judges who makes or removes an alias: true when it belongs to the application service that asks, which then needs no
 * other right. @throws M_EXCLUSIVE when it belongs to another
 */
export type AliasRule = (alias: RoomAlias, appserviceId: string | undefined, making: boolean) => boolean;

export class RoomAliases {
  readonly #rooms: RoomCore;
  readonly #serverName: ServerName;
  readonly #clock: Clock;
  readonly #rule: AliasRule;

  constructor(rooms: RoomCore, serverName: ServerName, clock: Clock, rule: AliasRule = () => false) {
    this.#rooms = rooms;
    this.#serverName = serverName;
    this.#clock = clock;
    this.#rule = rule;
  }

  /** The room that an alias of this server points to. */
  roomOf(snapshot: Snapshot, alias: string): RoomNid | undefined {
    return snapshot.get(selectAlias, alias)?.room;
  }

  /** Aliases of this server that point to a room. */
  aliasesOf(snapshot: Snapshot, room: RoomNid): RoomAlias[] {
    return snapshot.all(selectAliasesByRoom, room).map(({ alias }) => alias);
  }

  /** The alias as text of this server's own. @throws M_INVALID_PARAM when it is malformed or another server's */
  parseLocal(text: string): RoomAlias {
    const alias = parseRoomAlias(text);
    if (alias === undefined || /\s/.test(text)) throw matrixError.invalidParam('The room alias is not valid');
    if (serverNameOf(alias) !== this.#serverName) {
      throw matrixError.invalidParam('The room alias does not belong to this server');
    }
    return alias;
  }

  /** Whether an alias that is to be made belongs to who asks. @throws M_EXCLUSIVE */
  mayMake(alias: RoomAlias, appserviceId: string | undefined): boolean {
    return this.#rule(alias, appserviceId, true);
  }

  /**
   * Points a new alias to a room; whoever is joined there may.
   * @throws M_UNKNOWN (409) when it exists; M_FORBIDDEN, M_EXCLUSIVE
   */
  create(tx: Tx, alias: RoomAlias, room: Room, actor: AliasActor): void {
    const owned = this.mayMake(alias, actor.appserviceId);
    if (tx.get(selectAlias, alias) !== undefined) {
      throw new MatrixError(409, 'M_UNKNOWN', 'The room alias exists already');
    }
    const joined = this.#rooms.membership(tx, room.nid, actor.userId)?.membership === 'join';
    if (!actor.isAdmin && !owned && !joined) {
      throw matrixError.forbidden('You are not in this room');
    }
    this.add(tx, alias, room, actor.userId);
  }

  /** Points a new alias to a room without asking who wants it. The alias must be free. */
  add(tx: Tx, alias: RoomAlias, room: Room, creator: UserId): void {
    tx.run(insertAlias, alias, room.nid, creator, this.#clock.now());
    tx.touch(`alias:${alias}`);
  }

  /**
   * Removes an alias: its creator, who may send `m.room.canonical_alias` in the room, and administrators may. It leaves
   * the room's canonical alias event too where the user may change that.
   * @throws M_NOT_FOUND, M_FORBIDDEN, M_EXCLUSIVE
   */
  remove(tx: Tx, alias: RoomAlias, actor: AliasActor): void {
    const row = tx.get(selectAlias, alias);
    if (row === undefined) throw matrixError.notFound('There is no such room alias');
    const room = this.#rooms.roomByNid(tx, row.room);
    const mayAny = actor.isAdmin || this.#rule(alias, actor.appserviceId, false);
    if (!mayAny && row.creator !== actor.userId && !this.mayManage(tx, room, actor.userId)) {
      throw matrixError.forbidden('You may not remove this room alias');
    }
    tx.run(deleteAlias, alias);
    tx.touch(`alias:${alias}`);
    this.withdraw(tx, room, actor.userId, new Set([alias]));
  }

  /** Takes aliases out of the room's canonical alias event if they are there and the user may change it. */
  withdraw(tx: Tx, room: Room, user: UserId, aliases: ReadonlySet<string>): void {
    const content = currentContent(tx, this.#rooms, room, 'm.room.canonical_alias');
    if (content === undefined || !this.mayManage(tx, room, user)) return;
    const changed = withoutAliases(content, aliases);
    if (changed === undefined) return;
    this.#rooms.send(tx, room, { type: 'm.room.canonical_alias', stateKey: '', sender: user, content: changed });
  }

  /** Points all aliases of one room to another. */
  move(tx: Tx, from: Room, to: Room): void {
    for (const alias of this.aliasesOf(tx, from.nid)) tx.touch(`alias:${alias}`);
    tx.run(updateAliasesOfRoom, to.nid, from.nid);
  }

  /** What points to a room points to its successor from now on: aliases, and the entry in the published directory. */
  followUpgrade(tx: Tx, old: Room, fresh: Room): void {
    this.move(tx, old, fresh);
    if (!this.isPublished(tx, old.nid)) return;
    this.setPublished(tx, old, false);
    this.setPublished(tx, fresh, true);
  }

  /** Removes all aliases of a room. */
  removeAll(tx: Tx, room: Room): void {
    for (const alias of this.aliasesOf(tx, room.nid)) {
      tx.run(deleteAlias, alias);
      tx.touch(`alias:${alias}`);
    }
  }

  isPublished(snapshot: Snapshot, room: RoomNid): boolean {
    return snapshot.get(selectPublished, room) !== undefined;
  }

  /** All rooms in the published directory. */
  published(snapshot: Snapshot): RoomNid[] {
    return snapshot.all(selectAllPublished).map(({ room }) => room);
  }

  /** Shows a room in the published directory or hides it; who may send `m.room.canonical_alias` and administrators may. @throws M_FORBIDDEN */
  changePublished(tx: Tx, room: Room, published: boolean, actor: AliasActor): void {
    if (!actor.isAdmin && !this.mayManage(tx, room, actor.userId)) {
      throw matrixError.forbidden('You may not change whether this room is published');
    }
    this.setPublished(tx, room, published);
  }

  setPublished(tx: Tx, room: Room, published: boolean): void {
    tx.run(published ? insertPublished : deletePublished, room.nid);
    tx.touch(`room:${room.nid}`);
  }

  /** True for joined users who may send `m.room.canonical_alias`. */
  mayManage(snapshot: Snapshot, room: Room, user: UserId): boolean {
    if (this.#rooms.membership(snapshot, room.nid, user)?.membership !== 'join') return false;
    const levels = currentLevels(snapshot, this.#rooms, room);
    return powerLevelOf(user, levels) >= levelToSend('m.room.canonical_alias', true, levels);
  }
}

/** Content of a canonical alias event without some aliases; undefined when none of them is in it. */
function withoutAliases(content: JsonObject, aliases: ReadonlySet<string>): JsonObject | undefined {
  const gone = (alias: unknown): boolean => typeof alias === 'string' && aliases.has(alias);
  const { alias, alt_aliases: alternatives, ...rest } = content;
  const kept = Array.isArray(alternatives) ? alternatives.filter((item) => !gone(item)) : undefined;
  const changed = gone(alias) || (Array.isArray(alternatives) && kept?.length !== alternatives.length);
  if (!changed) return undefined;
  if (!gone(alias) && alias !== undefined) rest.alias = alias;
  if (kept !== undefined && kept.length > 0) rest.alt_aliases = kept;
  return rest;
}
