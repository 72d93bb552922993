/** A room's current state in the form that authorisation reads, and the power levels in force. */
import type { AuthState } from '../../matrix/auth-types.ts';
import { type PowerLevels, powerLevelsOf } from '../../matrix/auth-power-levels.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Room } from '../types.ts';

/** The current state, read key by key as it is asked for. */
export const currentAuthState = (snapshot: Snapshot, rooms: RoomReader, room: Room): AuthState => ({
  get: (type, stateKey) => {
    const event = rooms.currentEvent(snapshot, room.nid, type, stateKey);
    return event === undefined ? undefined : rooms.roomEvent(snapshot, event.nid);
  },
});

/** The power levels in force now. */
export const currentLevels = (snapshot: Snapshot, rooms: RoomReader, room: Room): PowerLevels =>
  powerLevelsOf(currentAuthState(snapshot, rooms, room), room.rules);

/** Content of the current state event with this type and key; undefined when there is none. */
export function currentContent(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  type: string,
  stateKey = '',
): JsonObject | undefined {
  const event = rooms.currentEvent(snapshot, room.nid, type, stateKey);
  return event === undefined ? undefined : rooms.roomEvent(snapshot, event.nid).content;
}
