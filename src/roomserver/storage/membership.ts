/**
 * Memberships: who is in a room by its current state, with counts per room and server, and the history of each local
 * user's membership (INVARIANTS 16), one row per transition, out-of-band ones included.
 */
import { type ServerName, type UserId, serverNameOf } from '../../matrix/ids.ts';
import { asPosition, sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, LocalMembership, Membership, RoomNid, StateKeyNid } from '../types.ts';
import { membershipCode, membershipOfCode } from './event-rows.ts';
import { HostStore } from './hosts.ts';
import { countByServer, countJoinedAndInvited, localMembers, setMembers } from './many-members.ts';
import type { Names } from './nids.ts';
import type { RoomStore } from './rooms.ts';

interface MemberRow {
  readonly membership: number;
  readonly event: number;
}
interface LocalRow {
  readonly user: number;
  readonly position: number;
  readonly room: number;
  readonly membership: number;
  readonly event: number;
  readonly out_of_band: number;
  readonly forgotten: number;
}

/** A member entry of the current state that changed; membership 0: the entry is gone. */
export interface MemberChange {
  readonly user: StateKeyNid;
  readonly membership: number;
  readonly event: EventNid;
}
/** A local user's transition, for the log. */
export interface Transition {
  readonly user: UserId;
  readonly membership: Membership;
}

const join = membershipCode('join');
const invite = membershipCode('invite');
const leave = membershipCode('leave');

const selectMember = sql<[user: number, room: number], MemberRow>(
  'SELECT membership, event FROM room_members WHERE user = ? AND room = ?',
);
const upsertMember = sql<[user: number, room: number, membership: number, local: number, event: number]>(
  `INSERT INTO room_members (user, room, membership, local, event) VALUES (?, ?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET membership = excluded.membership, event = excluded.event`,
);
const deleteMember = sql<[user: number, room: number]>('DELETE FROM room_members WHERE user = ? AND room = ?');
const selectMembers = sql<[room: number], MemberRow & { user: number }>(
  'SELECT user, membership, event FROM room_members WHERE room = ? ORDER BY membership, local, user',
);
const selectMembersWith = sql<[room: number, membership: number], MemberRow & { user: number }>(
  'SELECT user, membership, event FROM room_members WHERE room = ? AND membership = ? ORDER BY local, user',
);
const selectLocalJoined = sql<[room: number, join: number], { user: number }>(
  'SELECT user FROM room_members WHERE room = ? AND membership = ? AND local = 1 ORDER BY user',
);
const selectFirst = sql<
  [room: number, membership: number, local: number, limit: number],
  { user: number; event: number }
>(`SELECT user, event FROM room_members WHERE room = ? AND membership = ? AND local = ? ORDER BY event LIMIT ?`);
const selectAfter = sql<
  [room: number, membership: number, local: number, event: number, limit: number],
  { user: number; local: number; event: number }
>(
  `SELECT user, local, event FROM room_members WHERE room = ? AND membership = ? AND (local, event) > (?, ?)
   ORDER BY local, event LIMIT ?`,
);
const selectRoomsOf = sql<[user: number, membership: number], { room: number }>(
  'SELECT room FROM room_members WHERE user = ? AND membership = ? ORDER BY room',
);
const selectShared = sql<[membership: number, one: number, other: number], { room: number }>(
  `SELECT a.room FROM room_members a JOIN room_members b ON b.room = a.room AND b.membership = a.membership
   WHERE a.membership = ? AND a.user = ? AND b.user = ? ORDER BY a.room`,
);
const upsertServer = sql<[room: number, server: number, change: number]>(
  `INSERT INTO room_servers (room, server, joined) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET joined = joined + excluded.joined`,
);
const deleteServer = sql<[room: number, server: number]>(
  'DELETE FROM room_servers WHERE room = ? AND server = ? AND joined = 0',
);
const selectServers = sql<[room: number], { server: number; joined: number }>(
  'SELECT server, joined FROM room_servers WHERE room = ? ORDER BY server',
);
const selectServer = sql<[room: number, server: number], { joined: number }>(
  'SELECT joined FROM room_servers WHERE room = ? AND server = ?',
);
/** The server name of a user id stands behind its first colon. */
const selectMembersOfServer = sql<[room: number, server: string], { user: string; membership: number }>(
  `SELECT k.key AS user, m.membership FROM room_members m JOIN room_keys k ON k.nid = m.user
   WHERE m.room = ? AND substr(k.key, instr(k.key, ':') + 1) = ? ORDER BY m.membership, m.user`,
);
const localColumns = 'user, position, room, membership, event, out_of_band, forgotten';
const insertLocal = sql<
  [user: number, position: number, room: number, membership: number, event: number, outOfBand: number]
>(
  `INSERT OR REPLACE INTO room_local_membership (user, position, room, membership, event, out_of_band, forgotten)
   VALUES (?, ?, ?, ?, ?, ?, 0)`,
);
const selectLocalAt = sql<[user: number, room: number, position: number], LocalRow>(
  `SELECT ${localColumns} FROM room_local_membership WHERE user = ? AND room = ? AND position <= ?
   ORDER BY position DESC LIMIT 1`,
);
const selectLocalNewest = sql<[user: number], LocalRow>(
  `SELECT ${localColumns} FROM room_local_membership a WHERE user = ? AND position =
     (SELECT max(position) FROM room_local_membership b WHERE b.user = a.user AND b.room = a.room) ORDER BY position`,
);
const selectLocalBetween = sql<[user: number, after: number, upTo: number], LocalRow>(
  `SELECT ${localColumns} FROM room_local_membership WHERE user = ? AND position > ? AND position <= ? ORDER BY position`,
);
const selectLocalOfRoom = sql<[user: number, room: number], LocalRow>(
  `SELECT ${localColumns} FROM room_local_membership WHERE user = ? AND room = ? ORDER BY position`,
);
const updateForgotten = sql<[user: number, position: number]>(
  'UPDATE room_local_membership SET forgotten = 1 WHERE user = ? AND position = ?',
);
const insertStripped = sql<[user: number, position: number, body: string]>(
  'INSERT OR REPLACE INTO room_stripped (user, position, body) VALUES (?, ?, ?)',
);
const selectStripped = sql<[user: number, position: number], { body: string }>(
  'SELECT body FROM room_stripped WHERE user = ? AND position = ?',
);

export class MemberStore {
  readonly hosts: HostStore;
  readonly #keys: Names<StateKeyNid>;
  readonly #rooms: RoomStore;
  readonly #serverName: ServerName;

  constructor(keys: Names<StateKeyNid>, rooms: RoomStore, serverName: ServerName) {
    this.#keys = keys;
    this.#rooms = rooms;
    this.#serverName = serverName;
    this.hosts = new HostStore(keys);
  }

  isLocal(user: string): boolean {
    return user.endsWith(this.#serverName) && serverNameOf(user as UserId) === this.#serverName;
  }

  /**
   * Brings members, counts and local histories to a change of the current state; returns local users' transitions.
   *
   * @param isTold whether a member event is the one that an out-of-band row has told of
   */
  apply(
    tx: Tx,
    room: RoomNid,
    changes: readonly MemberChange[],
    position: Position,
    isTold: (outOfBand: EventNid, event: EventNid) => boolean,
  ): Transition[] {
    const transitions: Transition[] = [];
    const servers = new Map<StateKeyNid, number>();
    let joined = 0;
    let invited = 0;
    for (const change of changes) {
      const userId = this.#keys.text(tx, change.user) as UserId;
      const local = this.isLocal(userId);
      const before = tx.get(selectMember, change.user, room)?.membership ?? 0;
      if (change.membership === 0) tx.run(deleteMember, change.user, room);
      else tx.run(upsertMember, change.user, room, change.membership, local ? 1 : 0, change.event);
      const joins = Number(change.membership === join) - Number(before === join);
      joined += joins;
      invited += Number(change.membership === invite) - Number(before === invite);
      if (joins !== 0) {
        const server = this.#keys.intern(tx, serverNameOf(userId));
        servers.set(server, (servers.get(server) ?? 0) + joins);
      }
      if (!local) continue;
      const transition = this.#transit(tx, room, change, position, isTold);
      if (transition !== undefined) transitions.push({ user: userId, membership: transition });
    }
    for (const [server, joins] of servers) this.#countServer(tx, room, server, joins, position);
    this.#rooms.addCounts(tx, room, joined, invited);
    return transitions;
  }

  /** The same for very many changes: events that say them, and users whose entry is gone. */
  applyMany(
    tx: Tx,
    room: RoomNid,
    events: readonly EventNid[],
    gone: readonly StateKeyNid[],
    position: Position,
    isTold: (outOfBand: EventNid, event: EventNid) => boolean,
  ): Transition[] {
    const nothing = { membership: 0, event: 0 as EventNid };
    const removed = [
      ...setMembers(tx, room, this.#serverName, events),
      ...gone.map((user): MemberChange => ({ user, ...nothing })),
    ];
    for (const { user } of removed) tx.run(deleteMember, user, room);
    const known = new Map(tx.all(selectServers, room).map(({ server, joined }) => [server as StateKeyNid, joined]));
    for (const [server, joined] of countByServer(tx, room)) {
      const nid = this.#keys.intern(tx, server);
      this.#countServer(tx, room, nid, joined - (known.get(nid) ?? 0), position);
      known.delete(nid);
    }
    for (const [server, joined] of known) this.#countServer(tx, room, server, -joined, position);
    const [before, now] = [this.#rooms.head(tx, room), countJoinedAndInvited(tx, room)];
    this.#rooms.addCounts(tx, room, now.joined - before.joined, now.invited - before.invited);
    const ours = new Map(localMembers(tx, room).map((change) => [change.event, change]));
    const local = [...events.flatMap((event) => ours.get(event) ?? []), ...removed];
    return local.flatMap((change) => {
      const user = this.#user(tx, change.user);
      const membership = this.isLocal(user) ? this.#transit(tx, room, change, position, isTold) : undefined;
      return membership === undefined ? [] : [{ user, membership }];
    });
  }

  /** Of all changes at once: a server whose one member leaves while another joins was never away. */
  #countServer(tx: Tx, room: RoomNid, server: StateKeyNid, change: number, position: Position): void {
    if (change === 0) return;
    const before = tx.get(selectServer, room, server)?.joined ?? 0;
    tx.run(upsertServer, room, server, change);
    if (before === 0) this.hosts.opened(tx, room, server, position);
    if (before + change > 0) return;
    tx.run(deleteServer, room, server);
    this.hosts.closed(tx, room, server, position);
  }

  #transit(
    tx: Tx,
    room: RoomNid,
    change: MemberChange,
    position: Position,
    isTold: (outOfBand: EventNid, event: EventNid) => boolean,
  ): Membership | undefined {
    const last = tx.get(selectLocalAt, change.user, room, Number.MAX_SAFE_INTEGER);
    // A member entry that vanishes counts as left (INVARIANTS 8).
    const membership = change.membership === 0 ? leave : change.membership;
    if (last === undefined && change.membership === 0) return undefined;
    if (last !== undefined && last.out_of_band === 0 && last.membership === membership) {
      // A new profile or a repeated leave is no transition; a new invite or knock is one, it asks anew.
      const asksAnew = membershipOfCode(membership) === 'invite' || membershipOfCode(membership) === 'knock';
      if (!asksAnew || last.event === change.event) return undefined;
    }
    if (last?.out_of_band === 1 && change.event > 0 && isTold(last.event as EventNid, change.event)) return undefined;
    tx.run(insertLocal, change.user, position, room, membership, change.event, 0);
    return membershipOfCode(membership);
  }

  /** Writes a transition that no room state tells of; `stripped`: JSON list of the stripped state that came with it. */
  addOutOfBand(
    tx: Tx,
    room: RoomNid,
    user: UserId,
    membership: Membership,
    event: EventNid,
    position: Position,
    stripped?: string,
  ): void {
    const nid = this.#keys.intern(tx, user);
    tx.run(insertLocal, nid, position, room, membershipCode(membership), event, 1);
    if (stripped !== undefined) tx.run(insertStripped, nid, position, stripped);
  }

  stripped(snapshot: Snapshot, user: UserId, position: Position): string | undefined {
    return snapshot.get(selectStripped, this.#keys.find(snapshot, user), position)?.body;
  }

  /** Marks the newest row as forgotten; false: there is none, or it is one of a present member. */
  forget(tx: Tx, room: RoomNid, user: UserId): boolean {
    const nid = this.#keys.find(tx, user);
    const last = tx.get(selectLocalAt, nid, room, Number.MAX_SAFE_INTEGER);
    if (last === undefined) return false;
    const membership = membershipOfCode(last.membership);
    if (membership !== 'leave' && membership !== 'ban') return false;
    tx.run(updateForgotten, nid, last.position);
    return true;
  }

  member(snapshot: Snapshot, room: RoomNid, user: UserId): { membership: Membership; event: EventNid } | undefined {
    const row = snapshot.get(selectMember, this.#keys.find(snapshot, user), room);
    const membership = membershipOfCode(row?.membership ?? 0);
    return row === undefined || membership === undefined ? undefined : { membership, event: row.event as EventNid };
  }

  members(
    snapshot: Snapshot,
    room: RoomNid,
    membership?: Membership,
  ): { user: UserId; membership: Membership; event: EventNid }[] {
    const rows =
      membership === undefined
        ? snapshot.all(selectMembers, room)
        : snapshot.all(selectMembersWith, room, membershipCode(membership));
    return rows.flatMap((row) => {
      const own = membershipOfCode(row.membership);
      return own === undefined
        ? []
        : [{ user: this.#user(snapshot, row.user), membership: own, event: row.event as EventNid }];
    });
  }

  /** The members of some memberships that come first in the order of their member events. */
  firstMembers(snapshot: Snapshot, room: RoomNid, memberships: readonly Membership[], limit: number): UserId[] {
    return memberships
      .flatMap((membership) => {
        const code = membershipCode(membership);
        return [0, 1].flatMap((local) => snapshot.all(selectFirst, room, code, local, limit));
      })
      .sort((a, b) => a.event - b.event)
      .slice(0, limit)
      .map(({ user }) => this.#user(snapshot, user));
  }

  /** In the order of the index: by their member events, those of other servers first. */
  joinedAfter(
    snapshot: Snapshot,
    room: RoomNid,
    after: string,
    limit: number,
  ): { readonly users: UserId[]; readonly last: string | undefined } {
    const [, local = '0', event = '0'] = /^(\d) (\d+)$/.exec(after) ?? [];
    const rows = snapshot.all(selectAfter, room, join, Number(local), Number(event), limit);
    const last = rows.at(-1);
    return {
      users: rows.map(({ user }) => this.#user(snapshot, user)),
      last: last === undefined ? undefined : `${last.local} ${last.event}`,
    };
  }

  joinedLocalUsers(snapshot: Snapshot, room: RoomNid, limit?: number): UserId[] {
    const rows =
      limit === undefined
        ? snapshot.all(selectLocalJoined, room, join)
        : snapshot.all(selectFirst, room, join, 1, limit);
    return rows.map((row) => this.#user(snapshot, row.user));
  }

  joinedServers(snapshot: Snapshot, room: RoomNid): Map<ServerName, number> {
    const rows = snapshot.all(selectServers, room);
    return new Map(rows.map((row) => [this.#keys.text(snapshot, row.server as StateKeyNid) as ServerName, row.joined]));
  }

  isServerJoined(snapshot: Snapshot, room: RoomNid, server: string): boolean {
    return snapshot.get(selectServer, room, this.#keys.find(snapshot, server)) !== undefined;
  }

  membersOfServer(snapshot: Snapshot, room: RoomNid, server: string): { user: UserId; membership: Membership }[] {
    return snapshot.all(selectMembersOfServer, room, server).flatMap((row) => {
      const membership = membershipOfCode(row.membership);
      return membership === undefined ? [] : [{ user: row.user as UserId, membership }];
    });
  }

  joinedRooms(snapshot: Snapshot, user: UserId): RoomNid[] {
    return snapshot.all(selectRoomsOf, this.#keys.find(snapshot, user), join).map((row) => row.room as RoomNid);
  }

  sharedRooms(snapshot: Snapshot, one: UserId, other: UserId): RoomNid[] {
    const nids = [this.#keys.find(snapshot, one), this.#keys.find(snapshot, other)] as const;
    return snapshot.all(selectShared, join, ...nids).map((row) => row.room as RoomNid);
  }

  localNewest(snapshot: Snapshot, user: UserId): LocalMembership[] {
    return this.#local(snapshot, snapshot.all(selectLocalNewest, this.#keys.find(snapshot, user)));
  }

  localAt(snapshot: Snapshot, user: UserId, room: RoomNid, position: Position): LocalMembership | undefined {
    const row = snapshot.get(selectLocalAt, this.#keys.find(snapshot, user), room, position);
    return row === undefined ? undefined : this.#local(snapshot, [row])[0];
  }

  localBetween(snapshot: Snapshot, user: UserId, after: Position, upTo: Position): LocalMembership[] {
    return this.#local(snapshot, snapshot.all(selectLocalBetween, this.#keys.find(snapshot, user), after, upTo));
  }

  /** All of a local user's rows of one room, oldest first. */
  localOfRoom(snapshot: Snapshot, user: UserId, room: RoomNid): LocalMembership[] {
    return this.#local(snapshot, snapshot.all(selectLocalOfRoom, this.#keys.find(snapshot, user), room));
  }

  #user(snapshot: Snapshot, nid: number): UserId {
    return this.#keys.text(snapshot, nid as StateKeyNid) as UserId;
  }

  #local(snapshot: Snapshot, rows: readonly LocalRow[]): LocalMembership[] {
    return rows.map((row) => ({
      user: this.#user(snapshot, row.user),
      room: row.room as RoomNid,
      position: asPosition(row.position),
      membership: membershipOfCode(row.membership) ?? 'leave',
      event: row.event as EventNid,
      outOfBand: row.out_of_band === 1,
      forgotten: row.forgotten === 1,
    }));
  }
}
