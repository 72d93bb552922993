/**
 * Hosts: the servers with joined members in a room, as intervals of Positions (INVARIANTS 21). They change in the commit
 * of the state, so that "who was there when this happened" has one answer for ever, and at no time nobody.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { HostInterval, RoomNid, StateKeyNid } from '../types.ts';
import { membershipCode } from './event-rows.ts';
import type { Names } from './nids.ts';

const insertHost = sql<[server: number, room: number, from: number]>(
  'INSERT OR IGNORE INTO room_hosts (server, room, from_position, to_position) VALUES (?, ?, ?, NULL)',
);
const closeHost = sql<[to: number, server: number, room: number]>(
  'UPDATE room_hosts SET to_position = ? WHERE server = ? AND room = ? AND to_position IS NULL',
);
const selectHostsNow = sql<[room: number], { server: number }>(
  'SELECT server FROM room_hosts WHERE room = ? AND to_position IS NULL ORDER BY server',
);
const selectHostsAt = sql<[room: number, position: number, room: number, position: number, position: number], HostRow>(
  `SELECT server FROM room_hosts WHERE room = ? AND to_position IS NULL AND from_position < ?
   UNION SELECT server FROM room_hosts WHERE room = ? AND to_position >= ? AND from_position < ? ORDER BY server`,
);
const selectWasHost = sql<
  [server: number, room: number, position: number, position: number],
  { from_position: number }
>(
  `SELECT from_position FROM room_hosts WHERE server = ? AND room = ? AND from_position < ?
   AND (to_position IS NULL OR to_position >= ?) LIMIT 1`,
);
const selectOther = sql<[room: number, position: number, position: number, own: number], HostRow>(
  `SELECT server FROM room_hosts WHERE room = ? AND (to_position IS NULL OR to_position >= ?) AND from_position < ?
   AND server <> ? LIMIT 1`,
);
const selectOpened = sql<[room: number, position: number], HostRow>(
  'SELECT server FROM room_hosts WHERE room = ? AND from_position = ? ORDER BY server',
);
const selectRooms = sql<
  [server: number, since: number],
  { room: number; from_position: number; to_position: number | null }
>(
  `SELECT room, from_position, to_position FROM room_hosts
   WHERE server = ? AND (to_position IS NULL OR to_position > ?) ORDER BY room, from_position`,
);
const selectSharing = sql<[user: number, join: number], HostRow>(
  `SELECT DISTINCT s.server FROM room_members m JOIN room_servers s ON s.room = m.room
   WHERE m.user = ? AND m.membership = ? ORDER BY s.server`,
);

interface HostRow {
  readonly server: number;
}

const join = membershipCode('join');

export class HostStore {
  readonly #keys: Names<StateKeyNid>;

  constructor(keys: Names<StateKeyNid>) {
    this.#keys = keys;
  }

  /** A server's first member joined with the state change at `position`. */
  opened(tx: Tx, room: RoomNid, server: StateKeyNid, position: Position): void {
    tx.run(insertHost, server, room, position);
  }

  /** A server's last member is gone with the state change at `position`. */
  closed(tx: Tx, room: RoomNid, server: StateKeyNid, position: Position): void {
    tx.run(closeHost, position, server, room);
  }

  /** Servers in the room in the state before what happened at `position`. */
  at(snapshot: Snapshot, room: RoomNid, position: Position): ServerName[] {
    return this.#names(snapshot, snapshot.all(selectHostsAt, room, position, room, position, position));
  }

  /** Whether `at` names a server besides `own`. */
  hasOthers(snapshot: Snapshot, room: RoomNid, position: Position, own: ServerName): boolean {
    return snapshot.get(selectOther, room, position, position, this.#keys.find(snapshot, own)) !== undefined;
  }

  now(snapshot: Snapshot, room: RoomNid): ServerName[] {
    return this.#names(snapshot, snapshot.all(selectHostsNow, room));
  }

  /** Whether a server was in the room in the state before what happened at `position`. */
  wasIn(snapshot: Snapshot, server: ServerName, room: RoomNid, position: Position): boolean {
    const nid = this.#keys.find(snapshot, server);
    return snapshot.get(selectWasHost, nid, room, position, position) !== undefined;
  }

  /** Servers that came into the room with the state change at `position`. */
  openedAt(snapshot: Snapshot, room: RoomNid, position: Position): ServerName[] {
    return this.#names(snapshot, snapshot.all(selectOpened, room, position));
  }

  /** When a server was in which rooms, those intervals left out that ended at or before `since`. */
  intervalsOf(snapshot: Snapshot, server: ServerName, since: Position): HostInterval[] {
    return snapshot.all(selectRooms, this.#keys.find(snapshot, server), since).map((row) => ({
      room: row.room as RoomNid,
      from: row.from_position as Position,
      to: (row.to_position ?? undefined) as Position | undefined,
    }));
  }

  /** Servers in any room in which the user is joined now. */
  sharingWith(snapshot: Snapshot, user: string): ServerName[] {
    return this.#names(snapshot, snapshot.all(selectSharing, this.#keys.find(snapshot, user), join));
  }

  #names(snapshot: Snapshot, rows: readonly HostRow[]): ServerName[] {
    return rows.map(({ server }) => this.#keys.text(snapshot, server as StateKeyNid) as ServerName);
  }
}
