/**
 * How far a user may read a room (C-S API v1.19, `GET /rooms/{roomId}/state`, `/messages` and their like): to the present
 * when joined or when the room is world-readable, up to the leave for who was joined before, and not at all when banned.
 */
import { matrixError } from '../../matrix/errors.ts';
import { historyVisibilityIn } from '../../matrix/history-visibility.ts';
import type { UserId } from '../../matrix/ids.ts';
import { asPosition, type Position, type Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { LocalMembership, Room } from '../types.ts';
import { currentContent } from './room-auth.ts';

const start = asPosition(0);
const end = asPosition(Number.MAX_SAFE_INTEGER);

/** A known room. @throws M_FORBIDDEN, so that nobody learns from it which rooms there are */
export function findRoom(snapshot: Snapshot, rooms: RoomReader, roomId: string): Room {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined) throw matrixError.forbidden('You are not in this room');
  return room;
}

/** Up to which Position the user may read the room; undefined: to the present. @throws M_FORBIDDEN */
export function readableUntil(snapshot: Snapshot, rooms: RoomReader, room: Room, user: UserId): Position | undefined {
  const membership = rooms.membership(snapshot, room.nid, user)?.membership;
  if (membership === 'join' || isWorldReadable(snapshot, rooms, room)) return undefined;
  // "A banned user will not be treated as a joined user, and so will not be able to send or receive events in the room."
  if (membership === 'ban') throw matrixError.forbidden('You are banned from this room');
  const left = lastLeave(
    rooms.localMembershipsBetween(snapshot, user, start, end).filter((row) => row.room === room.nid),
  );
  if (left === undefined || left.forgotten) throw matrixError.forbidden('You are not in this room');
  return left.position;
}

/**
 * The row with which the user left the room after he was in it last, also when he was invited, knocked or was banned since.
 * Who only turned down an invite has never been in the room.
 *
 * @param rows his rows of one room, oldest first
 */
function lastLeave(rows: readonly LocalMembership[]): LocalMembership | undefined {
  const joined = rows.findLastIndex(({ membership }) => membership === 'join');
  if (joined === -1) return undefined;
  const isLeave = ({ membership }: LocalMembership): boolean => membership === 'leave' || membership === 'ban';
  return rows.slice(joined).find((row) => isLeave(row) && !row.outOfBand);
}

export const isWorldReadable = (snapshot: Snapshot, rooms: RoomReader, room: Room): boolean =>
  historyVisibilityIn(currentContent(snapshot, rooms, room, 'm.room.history_visibility')) === 'world_readable';
