/**
 * What hangs on single events: redaction marks with the originals of redacted events, relations, transaction ids. Targets
 * are kept by id, because they may come later than what names them.
 */
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, RoomNid } from '../types.ts';
import { type StoredId, storedId } from './nids.ts';

interface Texts {
  readonly client: string;
  readonly rest: string;
}

const insertRedaction = sql<[target: StoredId, redaction: number]>(
  'INSERT OR IGNORE INTO room_redactions (target, redaction) VALUES (?, ?)',
);
const selectRedactions = sql<[target: StoredId], { redaction: number }>(
  'SELECT redaction FROM room_redactions WHERE target = ? ORDER BY redaction',
);
const insertOriginal = sql<[nid: number, at: number, client: string, rest: string]>(
  'INSERT OR IGNORE INTO room_originals (nid, redacted_at, client, rest) VALUES (?, ?, ?, ?)',
);
const selectOriginal = sql<[nid: number], Texts>('SELECT client, rest FROM room_originals WHERE nid = ?');
const deleteOriginal = sql<[nid: number]>('DELETE FROM room_originals WHERE nid = ?');
const deleteOriginals = sql<[before: number, limit: number]>(
  `DELETE FROM room_originals WHERE nid IN
     (SELECT nid FROM room_originals WHERE redacted_at < ? ORDER BY redacted_at LIMIT ?)`,
);
const insertRelation = sql<[parent: StoredId, relType: string, child: number]>(
  'INSERT OR IGNORE INTO room_relations (parent, rel_type, child) VALUES (?, ?, ?)',
);
const selectRelating = sql<[parent: StoredId], { child: number }>('SELECT child FROM room_relations WHERE parent = ?');
const selectRelatingOf = sql<[parent: StoredId, relType: string], { child: number }>(
  'SELECT child FROM room_relations WHERE parent = ? AND rel_type = ?',
);
interface ChildRow {
  readonly nid: number;
  readonly event_id: StoredId;
  readonly rel_type: string;
  readonly type: number;
  readonly sender: number;
  readonly ts: number;
  readonly slot: number;
  readonly live: number;
  readonly depth: number;
}
const selectAnyRelating = sql<[parent: StoredId], { child: number }>(
  'SELECT child FROM room_relations WHERE parent = ? LIMIT 1',
);
const selectChildren = sql<[parent: StoredId, room: number], ChildRow>(
  `SELECT e.nid, e.event_id, r.rel_type, e.type, e.sender, e.ts, e.slot, e.live, e.depth
   FROM room_relations r CROSS JOIN room_events e ON e.nid = r.child
   WHERE r.parent = ? AND e.room = ? AND e.redacted_by = 0 AND e.slot IS NOT NULL`,
);
const insertTransaction = sql<[event: number, device: string, transactionId: string]>(
  'INSERT INTO room_transactions (event, device, transaction_id) VALUES (?, ?, ?)',
);
const selectTransaction = sql<[event: number], { device: string; transaction_id: string }>(
  'SELECT device, transaction_id FROM room_transactions WHERE event = ?',
);

export const addRedaction = (tx: Tx, target: string, redaction: EventNid): void =>
  void tx.run(insertRedaction, storedId(target), redaction);

/** The redactions that name an event, in force or not, in the order of their arrival. */
export const redactionsOf = (snapshot: Snapshot, target: string): EventNid[] =>
  snapshot.all(selectRedactions, storedId(target)).map((row) => row.redaction as EventNid);

/** @param at ms; when the event was redacted */
export const keepOriginal = (tx: Tx, nid: EventNid, at: number, texts: Texts): void =>
  void tx.run(insertOriginal, nid, at, texts.client, texts.rest);

/** The texts before the redaction; undefined once they were deleted. */
export const originalOf = (snapshot: Snapshot, nid: EventNid): Texts | undefined => snapshot.get(selectOriginal, nid);

export const dropOriginal = (tx: Tx, nid: EventNid): void => void tx.run(deleteOriginal, nid);

/** Deletes originals of events redacted before `before` (ms), oldest first; returns how many there were. */
export const deleteOriginalsBefore = (tx: Tx, before: number, limit = 1000): number =>
  tx.run(deleteOriginals, before, limit).changes;

export const addRelation = (tx: Tx, parent: string, relType: string, child: EventNid): void =>
  void tx.run(insertRelation, storedId(parent), relType, child);

/** Events that relate to one, of one relation type or any, in no order. */
export const relatingNids = (snapshot: Snapshot, parent: string, relType?: string): EventNid[] => {
  const id = storedId(parent);
  const rows = relType === undefined ? snapshot.all(selectRelating, id) : snapshot.all(selectRelatingOf, id, relType);
  return rows.map((row) => row.child as EventNid);
};

/** What relates to an event in its room and stands in the timeline unredacted, newest first. */
export function childRows(snapshot: Snapshot, parent: string, room: RoomNid): ChildRow[] {
  const id = storedId(parent);
  // Most events have no children: this look-up costs a twentieth of the join that finds none.
  if (snapshot.get(selectAnyRelating, id) === undefined) return [];
  return snapshot
    .all(selectChildren, id, room)
    .sort((a, b) => b.slot - a.slot || b.live - a.live || b.depth - a.depth || b.nid - a.nid);
}

export const addTransaction = (tx: Tx, event: EventNid, device: string, transactionId: string): void =>
  void tx.run(insertTransaction, event, device, transactionId);

/** The transaction id under which a device sent an event. */
export function transactionOf(snapshot: Snapshot, event: EventNid, device: string): string | undefined {
  const row = snapshot.get(selectTransaction, event);
  return row?.device === device ? row.transaction_id : undefined;
}
