/** What hangs on single events: redaction marks and the texts they leave, relations (INVARIANTS 20). */
import { type RoomEvent, toRoomEvent } from '../../matrix/pdu.ts';
import { joinFromStorage } from '../../matrix/stored-event.ts';
import { type Snapshot, sql } from '../../storage/index.ts';
import { applyRedactions, redactedTexts, redactionInForce, relationOf } from '../input/annotate.ts';
import { addRedaction, addRelation, originalOf, redactionsOf } from '../storage/annotations.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import { type StoredId, eventIdFrom, storedId } from '../storage/nids.ts';
import type { Stores } from '../stores.ts';
import type { EventNid } from '../types.ts';
import { type Differs, type Verification, isReal } from './verification.ts';

const selectRelation = sql<[parent: StoredId, relType: string, child: number], { child: number }>(
  'SELECT child FROM room_relations WHERE parent = ? AND rel_type = ? AND child = ?',
);
const selectRelations = sql<
  [parent: StoredId, relType: string, child: number, limit: number],
  { parent: StoredId; rel_type: string; child: number }
>(
  `SELECT parent, rel_type, child FROM room_relations WHERE (parent, rel_type, child) > (?, ?, ?)
   ORDER BY parent, rel_type, child LIMIT ?`,
);
const deleteRelation = sql<[parent: StoredId, relType: string, child: number]>(
  'DELETE FROM room_relations WHERE parent = ? AND rel_type = ? AND child = ?',
);
const pageSize = 1000;

/** @param now ms; when what is redacted by a repair counts as redacted */
export function verifyAnnotations(verification: Verification, now: number): void {
  const { stores, snapshot, room, events, differs } = verification;
  for (const meta of events.values()) {
    const { nid } = meta;
    const { redacts } = stores.events.parsed(snapshot, nid, room.rules);
    if (redacts !== undefined && !redactionsOf(snapshot, redacts).includes(nid)) {
      differs(`event ${nid}: there is no mark of its redaction`, (tx) => addRedaction(tx, redacts, nid));
    }
  }
  for (const meta of events.values()) {
    verifyRedaction(verification, meta, now);
    verifyRelation(verification, meta);
  }
}

function verifyRedaction(verification: Verification, meta: EventMeta, now: number): void {
  const { stores, snapshot, room, differs } = verification;
  const { nid, redactedBy } = meta;
  const inForce = redactionInForce(stores, snapshot, room, meta);
  if (inForce !== redactedBy && isPurged(verification, redactedBy)) return;
  if (inForce !== redactedBy) {
    // Without its original an event stays redacted, whatever becomes of the redaction.
    differs(`event ${nid}: redacted by ${redactedBy}, should be by ${inForce}`, (tx) => {
      applyRedactions(stores, tx, room, nid, now);
    });
  } else if (redactedBy > 0) {
    const stored = stores.events.texts(snapshot, nid);
    const redacted = redactedTexts(stores, snapshot, room, nid);
    if (redacted.client === stored.client && redacted.rest === stored.rest) return;
    differs(`event ${nid}: marked as redacted, but its text is not`, (tx) => {
      stores.events.updateRedacted(tx, nid, redactedBy, redacted);
    });
  }
}

/** A redaction that a purge took out of the graph holds for good. */
function isPurged({ events }: Verification, redaction: EventNid): boolean {
  const meta = events.get(redaction);
  return redaction > 0 && (meta === undefined || !isReal(meta));
}

/** The event as it was sent; undefined: it is redacted and its original is deleted. */
function eventAsSent(
  stores: Stores,
  snapshot: Snapshot,
  { rules }: Verification['room'],
  { nid, eventId, redactedBy }: EventMeta,
): RoomEvent | undefined {
  if (redactedBy === 0) return stores.events.parsed(snapshot, nid, rules);
  const original = originalOf(snapshot, nid);
  return original && toRoomEvent(joinFromStorage(original.client, original.rest, rules), rules, eventId);
}

function verifyRelation({ stores, snapshot, room, differs }: Verification, meta: EventMeta): void {
  const event = eventAsSent(stores, snapshot, room, meta);
  const relation = event && relationOf(event);
  if (relation === undefined) return;
  const { parent, relType } = relation;
  if (snapshot.get(selectRelation, storedId(parent), relType, meta.nid) !== undefined) return;
  differs(`event ${meta.nid}: relation none, should be ${relType} ${parent}`, (tx) => {
    addRelation(tx, parent, relType, meta.nid);
  });
}

/** The other direction, for the rows of all rooms at once: each names an event that relates in this way. */
export function verifyRelationRows(stores: Stores, snapshot: Snapshot, differs: Differs): void {
  let after: [StoredId, string, number] = ['', '', 0];
  for (;;) {
    const rows = snapshot.all(selectRelations, ...after, pageSize);
    for (const { parent, rel_type: relType, child } of rows) {
      if (isRelated(stores, snapshot, child as EventNid, relType, eventIdFrom(parent))) continue;
      differs(`relation ${relType} of event ${child} to ${eventIdFrom(parent)}: should not be there`, (tx) => {
        tx.run(deleteRelation, parent, relType, child);
      });
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = [last.parent, last.rel_type, last.child];
  }
}

function isRelated(stores: Stores, snapshot: Snapshot, child: EventNid, relType: string, parent: string): boolean {
  const meta = stores.events.meta(snapshot, child);
  if (meta === undefined) return false;
  const event = eventAsSent(stores, snapshot, stores.rooms.byNid(snapshot, meta.room), meta);
  // Of a redacted event whose original is deleted nothing more can be said.
  if (event === undefined) return true;
  const relation = relationOf(event);
  return relation?.relType === relType && relation.parent === parent;
}
