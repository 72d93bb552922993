/** Events of a room by their `origin_server_ts`: those that have a place in its order, nearest to a time first. */
import type { RoomNid } from '../../bus/index.ts';
import { type Snapshot, sql } from '../../storage/index.ts';
import type { EventNid } from '../types.ts';

type Row = { nid: EventNid };

const selectFrom = sql<[room: number, ts: number, offset: number], Row>(
  `SELECT nid FROM room_events WHERE room = ? AND slot IS NOT NULL AND ts >= ?
   ORDER BY ts, slot, live, depth, nid LIMIT 50 OFFSET ?`,
);
const selectUpTo = sql<[room: number, ts: number, offset: number], Row>(
  `SELECT nid FROM room_events WHERE room = ? AND slot IS NOT NULL AND ts <= ?
   ORDER BY ts DESC, slot DESC, live DESC, depth DESC, nid DESC LIMIT 50 OFFSET ?`,
);

/** Fifty events at or after (`f`) or at or before (`b`) a time (ms), nearest first; equal times in room order. */
export const eventsByTime = (
  snapshot: Snapshot,
  room: RoomNid,
  ts: number,
  direction: 'b' | 'f',
  offset: number,
): EventNid[] => snapshot.all(direction === 'f' ? selectFrom : selectUpTo, room, ts, offset).map(({ nid }) => nid);
