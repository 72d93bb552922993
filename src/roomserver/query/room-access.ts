/**
 * Which state of a room a user may read (C-S API v1.19, `GET /rooms/{roomId}/state` and its like): the current one when
 * joined or when the room is world-readable, the one at the leave for who was joined before.
 */
import { matrixError } from '../../matrix/errors.ts';
import { historyVisibilityIn } from '../../matrix/history-visibility.ts';
import type { UserId } from '../../matrix/ids.ts';
import { asPosition, type Position, type Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../core.ts';
import type { Room } from '../types.ts';
import { currentContent } from './room-auth.ts';

const start = asPosition(0);
const end = asPosition(Number.MAX_SAFE_INTEGER);

/** A known room. @throws M_FORBIDDEN, so that nobody learns from it which rooms there are */
export function findRoom(snapshot: Snapshot, rooms: RoomReader, roomId: string): Room {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined) throw matrixError.forbidden('You are not in this room');
  return room;
}

/** Up to which Position the user may read the room's state; undefined: to the present. @throws M_FORBIDDEN */
export function readableUntil(snapshot: Snapshot, rooms: RoomReader, room: Room, user: UserId): Position | undefined {
  if (rooms.membership(snapshot, room.nid, user)?.membership === 'join') return undefined;
  if (isWorldReadable(snapshot, rooms, room)) return undefined;
  const last = rooms.localMembershipAt(snapshot, user, room.nid, end);
  const left = last !== undefined && !last.forgotten && (last.membership === 'leave' || last.membership === 'ban');
  // Who only turned down an invite has never been in the room.
  const wasJoined = (position: Position): boolean =>
    rooms
      .localMembershipsBetween(snapshot, user, start, position)
      .some((row) => row.room === room.nid && row.membership === 'join');
  if (left && wasJoined(last.position)) return last.position;
  throw matrixError.forbidden('You are not in this room');
}

export const isWorldReadable = (snapshot: Snapshot, rooms: RoomReader, room: Room): boolean =>
  historyVisibilityIn(currentContent(snapshot, rooms, room, 'm.room.history_visibility')) === 'world_readable';
