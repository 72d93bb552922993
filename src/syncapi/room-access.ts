/**
 * Whether a user may read a room's history at all, and how far (INVARIANTS 16 and 17). Which events he sees within that
 * is `visibleTo`'s to say.
 */
import type { UserId } from '../matrix/ids.ts';
import { findRoom, type LocalMembership, type Room, type RoomReader, readableUntil } from '../roomserver/index.ts';
import type { Position, Snapshot } from '../storage/index.ts';

export interface RoomAccess {
  readonly room: Room;
  /** The user's present membership row; undefined: none, or forgotten. */
  readonly membership: LocalMembership | undefined;
  /** Nothing behind this Position is for the user. */
  readonly upTo: Position;
  /** Who reads along: joined, or a visitor of a world-readable room. Others see what was there when they left. */
  readonly follows: boolean;
}

/** A room that the user may read, as of the snapshot's head. @throws M_FORBIDDEN (unknown rooms too) */
export function accessRoom(
  snapshot: Snapshot,
  rooms: RoomReader,
  user: UserId,
  roomId: string,
  head: Position,
): RoomAccess {
  const room = findRoom(snapshot, rooms, roomId);
  const until = readableUntil(snapshot, rooms, room, user);
  const row = rooms.localMembershipAt(snapshot, user, room.nid, head);
  const membership = row?.forgotten === true ? undefined : row;
  return { room, membership, upTo: until ?? head, follows: until === undefined };
}
