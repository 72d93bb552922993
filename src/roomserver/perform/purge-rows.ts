/**
 * Deleting the rows of events and rooms (INVARIANTS 14). What is left must stand by itself: events whose prev events go
 * get the ids of those into their own JSON, and a row that says that history is missing before them.
 */
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import { relationOf } from '../input/annotate.ts';
import { prevNids } from '../input/extremities.ts';
import { originalOf } from '../storage/annotations.ts';
import { flag } from '../storage/event-rows.ts';
import { type StoredId, storedId } from '../storage/nids.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Room, RoomNid, SnapshotNid } from '../types.ts';

const byNid = {
  events: sql<[nid: number]>('DELETE FROM room_events WHERE nid = ?'),
  texts: sql<[nid: number]>('DELETE FROM room_event_json WHERE nid = ?'),
  originals: sql<[nid: number]>('DELETE FROM room_originals WHERE nid = ?'),
  verdicts: sql<[nid: number]>('DELETE FROM room_verdicts WHERE event = ?'),
  transactions: sql<[nid: number]>('DELETE FROM room_transactions WHERE event = ?'),
};
const deleteRedaction = sql<[target: StoredId, redaction: number]>(
  'DELETE FROM room_redactions WHERE target = ? AND redaction = ?',
);
const deleteOneRelation = sql<[parent: StoredId, relType: string, child: number]>(
  'DELETE FROM room_relations WHERE parent = ? AND rel_type = ? AND child = ?',
);
const deleteRelationsOf = sql<[children: string]>(
  'DELETE FROM room_relations WHERE child IN (SELECT value FROM json_each(?))',
);
const deleteEdge = sql<[parent: number, child: number]>('DELETE FROM room_edges WHERE parent = ? AND child = ?');
const deleteEdges = sql<[parent: number]>('DELETE FROM room_edges WHERE parent = ?');
const deleteMissing = sql<[child: number]>('DELETE FROM room_missing WHERE child = ?');
const upsertNumber = sql<[kind: string, last: number]>(
  'INSERT INTO room_numbers (kind, last) VALUES (?, ?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)',
);

const ofRoom = [
  'room_state',
  'room_state_history',
  'room_members',
  'room_servers',
  'room_hosts',
  'room_extremities',
  'room_missing',
  'room_aliases',
  'room_directory',
  'room_partial',
  'room_partial_servers',
  'room_partial_results',
  'room_whole',
  'room_out_of_band_events',
].map((table) => sql<[room: number]>(`DELETE FROM ${table} WHERE room = ?`));
const emptyRoom = sql<[room: number]>(
  'UPDATE room_rooms SET snapshot = 0, create_event = 0, joined = 0, invited = 0, begins = 0, last_position = 0 WHERE nid = ?',
);
const deleteStripped = sql<[room: number]>(
  `DELETE FROM room_stripped WHERE (user, position) IN
     (SELECT user, position FROM room_local_membership WHERE room = ?)`,
);
const deleteLocal = sql<[room: number]>('DELETE FROM room_local_membership WHERE room = ?');
const selectNids = sql<[room: number, after: number, upTo: number], { nid: number }>(
  'SELECT nid FROM room_events WHERE room = ? AND nid > ? AND nid <= ? ORDER BY nid DESC',
);

/** Takes an event out of the graph: its children stand behind a gap from now on. */
export function detach(stores: Stores, tx: Tx, room: Room, nid: EventNid): void {
  const { eventId } = stores.events.knownMeta(tx, nid);
  for (const child of stores.graph.children(tx, nid)) {
    stores.events.spellOut(tx, child, room.rules);
    stores.graph.addMissing(tx, room.nid, eventId, child);
  }
  tx.run(deleteEdges, nid);
  for (const prev of prevNids(stores, tx, room.nid, nid)) tx.run(deleteEdge, prev, nid);
  tx.run(deleteMissing, nid);
}

/** Keeps a detached event outside the graph, for those that cite it and for who asks for it by its id. */
export function demote(stores: Stores, tx: Tx, room: Room, nid: EventNid): void {
  const { flags } = stores.events.knownMeta(tx, nid);
  stores.events.spellOut(tx, nid, room.rules);
  freeTarget(stores, tx, room, nid);
  const none = 0 as SnapshotNid;
  stores.events.updateJudged(tx, nid, {
    flags: (flags & ~flag.toldState) | flag.outlier,
    ...{ snapshot: none, after: none, place: undefined },
  });
}

/** Deletes events with all that hangs on them; what they cite is still stored. */
export function deleteEvents(stores: Stores, tx: Tx, room: Room, nids: readonly EventNid[]): void {
  const mute = nids.filter((nid) => !deleteRelation(stores, tx, room, nid));
  // What is redacted and has no original does not tell to what it related: all relations are looked through, once.
  if (mute.length > 0) tx.run(deleteRelationsOf, JSON.stringify(mute));
  for (const nid of nids) {
    freeTarget(stores, tx, room, nid);
    const { redacts } = stores.events.forAuth(tx, nid, room.rules);
    if (redacts !== undefined) tx.run(deleteRedaction, storedId(redacts), nid);
  }
  for (const nid of nids) {
    tx.run(deleteEdges, nid);
    for (const statement of Object.values(byNid)) tx.run(statement, nid);
  }
  stores.events.forget();
}

/** False when the event does not tell whether it related to another one. */
function deleteRelation({ events }: Stores, tx: Tx, room: Room, nid: EventNid): boolean {
  if (events.knownMeta(tx, nid).redactedBy > 0 && originalOf(tx, nid) === undefined) return false;
  const relation = relationOf(events.forAuth(tx, nid, room.rules));
  if (relation !== undefined) tx.run(deleteOneRelation, storedId(relation.parent), relation.relType, nid);
  return true;
}

/** What a redaction hides stays hidden when the redaction goes: the original goes too. */
function freeTarget({ events }: Stores, tx: Tx, room: Room, redaction: EventNid): void {
  const { redacts } = events.forAuth(tx, redaction, room.rules);
  const target = redacts === undefined ? 0 : events.nidOf(tx, redacts);
  if (target !== 0 && events.meta(tx, target)?.redactedBy === redaction) tx.run(byNid.originals, target);
}

/** Notes how far events are numbered, before some of them go. */
export const keepNumbers = ({ events }: Stores, tx: Tx): void => void tx.run(upsertNumber, 'events', events.lastNid);

/** Deletes all that is known of a room but its events and its number. */
export function emptyRoomRows({ rooms }: Stores, tx: Tx, room: RoomNid): void {
  tx.run(deleteStripped, room);
  tx.run(deleteLocal, room);
  for (const statement of ofRoom) tx.run(statement, room);
  rooms.forgetHead(room);
  tx.run(emptyRoom, room);
}

/** The events of a room with numbers in (after, upTo], the highest first. */
export const eventsOfRoom = (snapshot: Snapshot, room: RoomNid, after: number, upTo: number): EventNid[] =>
  snapshot.all(selectNids, room, after, upTo).map(({ nid }) => nid as EventNid);
