/** Where history is missing: prev events that are not stored, or only as outliers (rows that `RoomStore` writes). */
import { sql, type Snapshot } from '../../storage/index.ts';
import type { EventNid, RoomNid } from '../types.ts';

const selectOfRoom = sql<[room: number], { child: number }>('SELECT child FROM room_missing WHERE room = ? LIMIT 1');
const selectOfChild = sql<[child: number], { child: number }>('SELECT child FROM room_missing WHERE child = ? LIMIT 1');

/** Any event of the room lacks a prev event. */
export const hasGaps = (snapshot: Snapshot, room: RoomNid): boolean => snapshot.get(selectOfRoom, room) !== undefined;

/** This one does. */
export const isBehindGap = (snapshot: Snapshot, event: EventNid): boolean =>
  snapshot.get(selectOfChild, event) !== undefined;
