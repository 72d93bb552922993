/** Rooms that an administrator has closed to everybody here: nobody joins, knocks or is invited. Owns `room_blocked`. */
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';

const selectBlocked = sql<[roomId: string], { blocked_by: UserId }>(
  'SELECT blocked_by FROM room_blocked WHERE room_id = ?',
);
const insertBlocked = sql<[roomId: string, by: string, now: number]>(
  'INSERT OR IGNORE INTO room_blocked (room_id, blocked_by, blocked_at) VALUES (?, ?, ?)',
);
const deleteBlocked = sql<[roomId: string]>('DELETE FROM room_blocked WHERE room_id = ?');

/** Who blocked a room; undefined: it is open. The room need not be known. */
export const blockedBy = (snapshot: Snapshot, roomId: string): UserId | undefined =>
  snapshot.get(selectBlocked, roomId)?.blocked_by;

/** @param now ms */
export const blockRoom = (tx: Tx, roomId: string, by: UserId, now: number): void =>
  void tx.run(insertBlocked, roomId, by, now);

export const unblockRoom = (tx: Tx, roomId: string): void => void tx.run(deleteBlocked, roomId);

/** @throws M_FORBIDDEN for a blocked room */
export function refuseBlocked(snapshot: Snapshot, roomId: string): void {
  if (blockedBy(snapshot, roomId) !== undefined) {
    throw matrixError.forbidden('The administrators of this server have blocked this room');
  }
}
