/**
 * The history of each local user's membership (INVARIANTS 16): one row per transition, never pruned with the log, out-of-band
 * ones included, and the stripped state that came with those.
 */
import type { UserId } from '../../matrix/ids.ts';
import { asPosition, sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, LocalMembership, Membership, RoomNid, StateKeyNid } from '../types.ts';
import { membershipCode, membershipOfCode } from './event-rows.ts';
import type { MemberChange } from './membership.ts';
import type { Names } from './nids.ts';

interface LocalRow {
  readonly user: number;
  readonly position: number;
  readonly room: number;
  readonly membership: number;
  readonly event: number;
  readonly out_of_band: number;
  readonly forgotten: number;
}

/** A local user's transition, for the log. */
export interface Transition {
  readonly user: UserId;
  readonly membership: Membership;
}

/** Whether a member event is the one that an out-of-band row has told of. */
export type IsTold = (outOfBand: EventNid, event: EventNid) => boolean;

const leave = membershipCode('leave');
const columns = 'user, position, room, membership, event, out_of_band, forgotten';
const insertRow = sql<
  [user: number, position: number, room: number, membership: number, event: number, outOfBand: number]
>(
  `INSERT OR REPLACE INTO room_local_membership (user, position, room, membership, event, out_of_band, forgotten)
   VALUES (?, ?, ?, ?, ?, ?, 0)`,
);
const selectAt = sql<[user: number, room: number, position: number], LocalRow>(
  `SELECT ${columns} FROM room_local_membership WHERE user = ? AND room = ? AND position <= ?
   ORDER BY position DESC LIMIT 1`,
);
const selectNewest = sql<[user: number], LocalRow>(
  `SELECT ${columns} FROM room_local_membership a WHERE user = ? AND position =
     (SELECT max(position) FROM room_local_membership b WHERE b.user = a.user AND b.room = a.room) ORDER BY position`,
);
const selectBetween = sql<[user: number, after: number, upTo: number], LocalRow>(
  `SELECT ${columns} FROM room_local_membership WHERE user = ? AND position > ? AND position <= ? ORDER BY position`,
);
const selectOfRoom = sql<[user: number, room: number], LocalRow>(
  `SELECT ${columns} FROM room_local_membership WHERE user = ? AND room = ? ORDER BY position`,
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

export class LocalMembershipStore {
  readonly #keys: Names<StateKeyNid>;

  constructor(keys: Names<StateKeyNid>) {
    this.#keys = keys;
  }

  /** Writes a row for a change of the current state; undefined when it is no transition. */
  transit(tx: Tx, room: RoomNid, change: MemberChange, position: Position, isTold: IsTold): Membership | undefined {
    const last = tx.get(selectAt, change.user, room, Number.MAX_SAFE_INTEGER);
    // A member entry that vanishes counts as left (INVARIANTS 8).
    const membership = change.membership === 0 ? leave : change.membership;
    if (last === undefined && change.membership === 0) return undefined;
    if (last !== undefined && last.out_of_band === 0 && last.membership === membership) {
      // A new profile or a repeated leave is no transition; a new invite or knock is one, it asks anew.
      const asksAnew = membershipOfCode(membership) === 'invite' || membershipOfCode(membership) === 'knock';
      if (!asksAnew || last.event === change.event) return undefined;
    }
    if (last?.out_of_band === 1 && change.event > 0 && isTold(last.event as EventNid, change.event)) return undefined;
    tx.run(insertRow, change.user, position, room, membership, change.event, 0);
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
    tx.run(insertRow, nid, position, room, membershipCode(membership), event, 1);
    if (stripped !== undefined) tx.run(insertStripped, nid, position, stripped);
  }

  /** The stripped state that came with the row at a Position, as `addOutOfBand` was given it. */
  stripped(snapshot: Snapshot, user: UserId, position: Position): string | undefined {
    return snapshot.get(selectStripped, this.#keys.find(snapshot, user), position)?.body;
  }

  /** Marks the newest row as forgotten; false: there is none, or it is one of a present member. */
  forget(tx: Tx, room: RoomNid, user: UserId): boolean {
    const nid = this.#keys.find(tx, user);
    const last = tx.get(selectAt, nid, room, Number.MAX_SAFE_INTEGER);
    if (last === undefined) return false;
    const membership = membershipOfCode(last.membership);
    if (membership !== 'leave' && membership !== 'ban') return false;
    tx.run(updateForgotten, nid, last.position);
    return true;
  }

  /** The last row of each room, in order. */
  newest(snapshot: Snapshot, user: UserId): LocalMembership[] {
    return this.#named(snapshot, snapshot.all(selectNewest, this.#keys.find(snapshot, user)));
  }

  /** The row that held at a Position. */
  at(snapshot: Snapshot, user: UserId, room: RoomNid, position: Position): LocalMembership | undefined {
    const row = snapshot.get(selectAt, this.#keys.find(snapshot, user), room, position);
    return row === undefined ? undefined : this.#named(snapshot, [row])[0];
  }

  /** The rows after a Position up to another one, in order. */
  between(snapshot: Snapshot, user: UserId, after: Position, upTo: Position): LocalMembership[] {
    return this.#named(snapshot, snapshot.all(selectBetween, this.#keys.find(snapshot, user), after, upTo));
  }

  /** All of a local user's rows of one room, oldest first. */
  ofRoom(snapshot: Snapshot, user: UserId, room: RoomNid): LocalMembership[] {
    return this.#named(snapshot, snapshot.all(selectOfRoom, this.#keys.find(snapshot, user), room));
  }

  #named(snapshot: Snapshot, rows: readonly LocalRow[]): LocalMembership[] {
    return rows.map((row) => ({
      user: this.#keys.text(snapshot, row.user as StateKeyNid) as UserId,
      room: row.room as RoomNid,
      position: asPosition(row.position),
      membership: membershipOfCode(row.membership) ?? 'leave',
      event: row.event as EventNid,
      outOfBand: row.out_of_band === 1,
      forgotten: row.forgotten === 1,
    }));
  }
}
