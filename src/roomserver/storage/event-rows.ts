/**
 * Rows of events as values and statements: hot columns with the packed auth and prev NIDs in `room_events`, the two texts
 * in `room_event_json`.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import { asPosition, sql, type Position, type SqlValue } from '../../storage/index.ts';
import type { EventNid, Membership, Place, RoomNid, SnapshotNid, StateKeyNid, TypeNid } from '../types.ts';
import { type StoredId, eventIdFrom, storedId } from './nids.ts';

/**
 * Bits of `flags`. `readInFull`: auth rules read more of this member event than its membership; `toldState`: the state
 * before the event came from another server instead of its prev events; `partial`: that state lacks members.
 */
export const flag = { outlier: 1, rejected: 2, softFailed: 4, readInFull: 8, toldState: 16, partial: 32 } as const;

/** Codes of memberships in rows; 0: none. */
const memberships: readonly (Membership | undefined)[] = [undefined, 'invite', 'join', 'knock', 'leave', 'ban'];
export const membershipCode = (membership: unknown): number =>
  typeof membership === 'string' ? Math.max(0, memberships.indexOf(membership as Membership)) : 0;
export const membershipOfCode = (code: number): Membership | undefined => memberships[code];

/** The hot columns of an event. */
export interface EventMeta {
  readonly nid: EventNid;
  readonly eventId: EventId;
  readonly room: RoomNid;
  readonly type: TypeNid;
  /** 0: not a state event. */
  readonly key: StateKeyNid;
  readonly sender: StateKeyNid;
  readonly ts: number;
  readonly depth: number;
  readonly flags: number;
  readonly membership: number;
  readonly snapshot: SnapshotNid;
  /** Never 0 when `snapshot` is not. */
  readonly after: SnapshotNid;
  readonly redactedBy: EventNid;
  readonly place: Place | undefined;
}

export interface MetaRow {
  readonly nid: number;
  readonly event_id: StoredId;
  readonly room: number;
  readonly type: number;
  readonly state_key: number;
  readonly sender: number;
  readonly ts: number;
  readonly depth: number;
  readonly flags: number;
  readonly membership: number;
  readonly snapshot: number;
  readonly state_after: number;
  readonly redacted_by: number;
  readonly slot: number | null;
  readonly live: number | null;
}
/** `state_key` 0: not a state event. */
export type EntryRow = Pick<MetaRow, 'nid' | 'room' | 'type' | 'state_key' | 'flags'>;

/** An event to be stored. */
export interface NewEvent {
  readonly event: RoomEvent;
  readonly room: RoomNid;
  readonly flags: number;
  readonly snapshot: SnapshotNid;
  /** The same as `snapshot` when the event changes nothing. */
  readonly after: SnapshotNid;
  readonly place: { readonly slot: Position; readonly live: 0 | 1 } | undefined;
  /** NIDs of its auth events, in the order cited. */
  readonly auth: readonly EventNid[];
  /** NIDs of its prev events, in the order cited; undefined: some are not stored. */
  readonly prev: readonly EventNid[] | undefined;
  readonly rules: RoomVersionRules;
}

/** The two texts of an event as its rows have them. */
export interface StoredTexts {
  readonly client: string;
  readonly rest: string;
}

const metaColumns = `e.nid, e.event_id, e.room, e.type, e.state_key, e.sender, e.ts, e.depth, e.flags, e.membership,
  e.snapshot, e.state_after, e.redacted_by, e.slot, e.live`;
export const selectNid = sql<[id: StoredId], { nid: number }>('SELECT nid FROM room_events WHERE event_id = ?');
export const selectEntry = sql<[id: StoredId], EntryRow>(
  'SELECT nid, room, type, state_key, flags FROM room_events WHERE event_id = ?',
);
export const selectMeta = sql<[nid: number], MetaRow>(`SELECT ${metaColumns} FROM room_events e WHERE nid = ?`);
export const selectAuth = sql<[nid: number], { auth: Uint8Array }>('SELECT auth FROM room_events WHERE nid = ?');
export const selectTexts = sql<[nid: number], StoredTexts>('SELECT client, rest FROM room_event_json WHERE nid = ?');
export const selectPrev = sql<[nid: number], { prev: Uint8Array | null }>('SELECT prev FROM room_events WHERE nid = ?');
export const selectEventId = sql<[nid: number], { event_id: StoredId }>(
  'SELECT event_id FROM room_events WHERE nid = ?',
);
export const insertEvent = sql<SqlValue[]>(
  `INSERT INTO room_events (nid, event_id, room, type, state_key, sender, ts, depth, flags, membership, snapshot,
     state_after, redacted_by, slot, live, auth, prev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)`,
);
export const insertTexts = sql<[nid: number, client: string, rest: string]>(
  'INSERT INTO room_event_json (nid, client, rest) VALUES (?, ?, ?)',
);
export const updateTexts = sql<[client: string, rest: string, nid: number]>(
  'UPDATE room_event_json SET client = ?, rest = ? WHERE nid = ?',
);
export const updateRest = sql<[rest: string, nid: number]>('UPDATE room_event_json SET rest = ? WHERE nid = ?');
export const updateOriginalRest = sql<[rest: string, nid: number]>('UPDATE room_originals SET rest = ? WHERE nid = ?');
export const clearPrev = sql<[nid: number]>('UPDATE room_events SET prev = NULL WHERE nid = ?');
export const updateJudged = sql<
  [flags: number, snapshot: number, after: number, slot: number | null, live: number | null, nid: number]
>('UPDATE room_events SET flags = (flags & 8) | ?, snapshot = ?, state_after = ?, slot = ?, live = ? WHERE nid = ?');
export const updateRedactedBy = sql<[redaction: number, nid: number]>(
  'UPDATE room_events SET redacted_by = ? WHERE nid = ?',
);
export const upsertVerdict = sql<[nid: number, reason: string]>(
  'INSERT INTO room_verdicts (event, reason) VALUES (?, ?) ON CONFLICT DO UPDATE SET reason = excluded.reason',
);
export const deleteVerdict = sql<[nid: number]>('DELETE FROM room_verdicts WHERE event = ?');
export const selectVerdict = sql<[nid: number], { reason: string }>('SELECT reason FROM room_verdicts WHERE event = ?');

/** Slot, live, depth, NID. */
export type Bound = [slot: number, live: number, depth: number, nid: number];
/** A Position stands for the end of its slot. */
export const boundOf = (place: Place | Position): Bound =>
  typeof place === 'number'
    ? [place, 1, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
    : [place.slot, place.live, place.depth, place.nid];

export const placeOf = (row: MetaRow): Place | undefined =>
  row.slot === null
    ? undefined
    : { slot: asPosition(row.slot), live: row.live === 1 ? 1 : 0, depth: row.depth, nid: row.nid as EventNid };

export const metaOf = (row: MetaRow): EventMeta => ({
  nid: row.nid as EventNid,
  eventId: eventIdFrom(row.event_id),
  room: row.room as RoomNid,
  type: row.type as TypeNid,
  key: row.state_key as StateKeyNid,
  sender: row.sender as StateKeyNid,
  ts: row.ts,
  depth: row.depth,
  flags: row.flags,
  membership: row.membership,
  snapshot: row.snapshot as SnapshotNid,
  after: (row.state_after === 0 ? row.snapshot : row.state_after) as SnapshotNid,
  redactedBy: row.redacted_by as EventNid,
  place: placeOf(row),
});

/** The columns of a new event up to `live`, in the order of `insertEvent`. */
export const insertedValues = (meta: EventMeta): SqlValue[] => [
  ...[meta.nid, storedId(meta.eventId), meta.room, meta.type, meta.key, meta.sender, meta.ts, meta.depth, meta.flags],
  ...[meta.membership, meta.snapshot, meta.after === meta.snapshot ? 0 : meta.after],
  ...[meta.place?.slot ?? null, meta.place?.live ?? null],
];

/** Room order of two places (INVARIANTS 12). */
export const comparePlaces = (a: Place, b: Place): number =>
  a.slot - b.slot || a.live - b.live || a.depth - b.depth || a.nid - b.nid;
