/** Ids in paths and bodies: read, or refused. */
import { matrixError } from '../matrix/errors.ts';
import { parseRoomId, parseUserId, type RoomId, type UserId } from '../matrix/ids.ts';

/** A user id. @throws M_INVALID_PARAM when the text is none */
export function demandUserId(text: string): UserId {
  const userId = parseUserId(text);
  if (userId === undefined) throw matrixError.invalidParam('This is no user id');
  return userId;
}

/** A room id. @throws M_INVALID_PARAM when the text is none */
export function demandRoomId(text: string): RoomId {
  const roomId = parseRoomId(text);
  if (roomId === undefined) throw matrixError.invalidParam('This is no room id');
  return roomId;
}
