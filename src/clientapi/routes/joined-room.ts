/** The check of what one does in a room without sending an event: only who is joined may. */
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { Room, RoomReader } from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';

/** @throws M_FORBIDDEN, also for rooms that are not known, so that nobody learns which there are */
export function joinedRoom(snapshot: Snapshot, rooms: RoomReader, roomId: string, userId: UserId): Room {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined || rooms.membership(snapshot, room.nid, userId)?.membership !== 'join') {
    throw matrixError.forbidden('You are not in this room');
  }
  return room;
}
