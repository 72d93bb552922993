/**
 * How a room's events hang together: the forward extremities, which event follows on which, and which prev events are not
 * stored.
 */
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, RoomNid } from '../types.ts';
import { type StoredId, storedId } from './nids.ts';

const selectExtremities = sql<[room: number], { event: number }>(
  'SELECT event FROM room_extremities WHERE room = ? ORDER BY event',
);
const insertExtremity = sql<[room: number, event: number]>(
  'INSERT OR IGNORE INTO room_extremities (room, event) VALUES (?, ?)',
);
const deleteExtremity = sql<[room: number, event: number]>('DELETE FROM room_extremities WHERE room = ? AND event = ?');
const insertEdge = sql<[parent: number, child: number]>(
  'INSERT OR IGNORE INTO room_edges (parent, child) VALUES (?, ?)',
);
const selectChildren = sql<[parent: number], { child: number }>(
  'SELECT child FROM room_edges WHERE parent = ? ORDER BY child',
);
const insertMissing = sql<[room: number, id: StoredId, child: number]>(
  'INSERT OR IGNORE INTO room_missing (room, event_id, child) VALUES (?, ?, ?)',
);
const selectWaiting = sql<[room: number, id: StoredId], { child: number }>(
  'SELECT child FROM room_missing WHERE room = ? AND event_id = ? ORDER BY child',
);
const deleteWaiting = sql<[room: number, id: StoredId]>('DELETE FROM room_missing WHERE room = ? AND event_id = ?');
const selectMissing = sql<[room: number], { event_id: StoredId; child: number }>(
  'SELECT event_id, child FROM room_missing WHERE room = ? ORDER BY child, event_id',
);

export class GraphStore {
  extremities(snapshot: Snapshot, room: RoomNid): EventNid[] {
    return snapshot.all(selectExtremities, room).map(({ event }) => event as EventNid);
  }

  addExtremity(tx: Tx, room: RoomNid, event: EventNid): void {
    tx.run(insertExtremity, room, event);
  }

  removeExtremity(tx: Tx, room: RoomNid, event: EventNid): void {
    tx.run(deleteExtremity, room, event);
  }

  addEdge(tx: Tx, parent: EventNid, child: EventNid): void {
    tx.run(insertEdge, parent, child);
  }

  children(snapshot: Snapshot, parent: EventNid): EventNid[] {
    return snapshot.all(selectChildren, parent).map(({ child }) => child as EventNid);
  }

  addMissing(tx: Tx, room: RoomNid, prevEvent: string, child: EventNid): void {
    tx.run(insertMissing, room, storedId(prevEvent), child);
  }

  /** Events that name this one as a prev event and were stored before it. */
  waitingFor(snapshot: Snapshot, room: RoomNid, eventId: string): EventNid[] {
    return snapshot.all(selectWaiting, room, storedId(eventId)).map(({ child }) => child as EventNid);
  }

  /** Turns what waited for an event into edges, now that it is stored. */
  fillMissing(tx: Tx, room: RoomNid, eventId: string, nid: EventNid): EventNid[] {
    const waiting = this.waitingFor(tx, room, eventId);
    for (const child of waiting) this.addEdge(tx, nid, child);
    if (waiting.length > 0) tx.run(deleteWaiting, room, storedId(eventId));
    return waiting;
  }

  /** Prev events that are not stored, with the event that names each. */
  missing(snapshot: Snapshot, room: RoomNid): { readonly event_id: StoredId; readonly child: number }[] {
    return snapshot.all(selectMissing, room);
  }
}
