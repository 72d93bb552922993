/**
 * Members: who is in a room by its current state. What follows from it is brought along in the same commit: the counts
 * of the room, the servers in it, and the history of its local users.
 */
import { type ServerName, type UserId, serverNameOf } from '../../matrix/ids.ts';
import { sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, Membership, RoomNid, StateKeyNid } from '../types.ts';
import { membershipCode, membershipOfCode } from './event-rows.ts';
import { JoinedServerStore } from './joined-servers.ts';
import { type IsTold, LocalMembershipStore, type Transition } from './local-memberships.ts';
import { countByServer, countJoinedAndInvited, localMembers, setMembers } from './many-members.ts';
import type { Names } from './nids.ts';
import type { RoomStore } from './rooms.ts';

interface MemberRow {
  readonly membership: number;
  readonly event: number;
}

/** A member entry of the current state that changed; membership 0: the entry is gone. */
export interface MemberChange {
  readonly user: StateKeyNid;
  readonly membership: number;
  readonly event: EventNid;
}

const join = membershipCode('join');
const invite = membershipCode('invite');

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
/** The server name of a user id stands behind its first colon. */
const selectMembersOfServer = sql<[room: number, server: string], { user: string; membership: number }>(
  `SELECT k.key AS user, m.membership FROM room_members m JOIN room_keys k ON k.nid = m.user
   WHERE m.room = ? AND substr(k.key, instr(k.key, ':') + 1) = ? ORDER BY m.membership, m.user`,
);

export class MemberStore {
  readonly servers: JoinedServerStore;
  readonly local: LocalMembershipStore;
  readonly #keys: Names<StateKeyNid>;
  readonly #rooms: RoomStore;
  readonly #serverName: ServerName;

  constructor(keys: Names<StateKeyNid>, rooms: RoomStore, serverName: ServerName) {
    this.#keys = keys;
    this.#rooms = rooms;
    this.#serverName = serverName;
    this.servers = new JoinedServerStore(keys);
    this.local = new LocalMembershipStore(keys);
  }

  isLocal(user: string): boolean {
    return user.endsWith(this.#serverName) && serverNameOf(user as UserId) === this.#serverName;
  }

  /** Brings members, counts and local histories to a change of the current state; returns local users' transitions. */
  apply(tx: Tx, room: RoomNid, changes: readonly MemberChange[], position: Position, isTold: IsTold): Transition[] {
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
      const transition = this.local.transit(tx, room, change, position, isTold);
      if (transition !== undefined) transitions.push({ user: userId, membership: transition });
    }
    for (const [server, joins] of servers) this.servers.count(tx, room, server, joins, position);
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
    isTold: IsTold,
  ): Transition[] {
    const nothing = { membership: 0, event: 0 as EventNid };
    const removed = [
      ...setMembers(tx, room, this.#serverName, events),
      ...gone.map((user): MemberChange => ({ user, ...nothing })),
    ];
    for (const { user } of removed) tx.run(deleteMember, user, room);
    const known = this.servers.counts(tx, room);
    for (const [server, joined] of countByServer(tx, room)) {
      const nid = this.#keys.intern(tx, server);
      this.servers.count(tx, room, nid, joined - (known.get(nid) ?? 0), position);
      known.delete(nid);
    }
    for (const [server, joined] of known) this.servers.count(tx, room, server, -joined, position);
    const [before, now] = [this.#rooms.head(tx, room), countJoinedAndInvited(tx, room)];
    this.#rooms.addCounts(tx, room, now.joined - before.joined, now.invited - before.invited);
    const ours = new Map(localMembers(tx, room).map((change) => [change.event, change]));
    const local = [...events.flatMap((event) => ours.get(event) ?? []), ...removed];
    return local.flatMap((change) => {
      const user = this.#user(tx, change.user);
      const membership = this.isLocal(user) ? this.local.transit(tx, room, change, position, isTold) : undefined;
      return membership === undefined ? [] : [{ user, membership }];
    });
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
  ): { readonly members: { readonly user: UserId; readonly event: EventNid }[]; readonly last: string | undefined } {
    const [, local = '0', event = '0'] = /^(\d) (\d+)$/.exec(after) ?? [];
    const rows = snapshot.all(selectAfter, room, join, Number(local), Number(event), limit);
    const last = rows.at(-1);
    return {
      members: rows.map(({ user, event }) => ({ user: this.#user(snapshot, user), event: event as EventNid })),
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

  #user(snapshot: Snapshot, nid: number): UserId {
    return this.#keys.text(snapshot, nid as StateKeyNid) as UserId;
  }
}
