/** Who may redact what through this server (C-S API v1.19, `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`). */
import { levelFor, powerLevelOf } from '../../matrix/auth-power-levels.ts';
import { matrixError } from '../../matrix/errors.ts';
import { type EventId, type UserId, parseEventId, serverNameOf } from '../../matrix/ids.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import { currentLevels } from '../query/room-auth.ts';
import type { Room } from '../types.ts';

export interface Redactor {
  readonly userId: UserId;
  readonly isAdmin: boolean;
  readonly isSuspended: boolean;
}

/**
 * Checks that a user may redact an event, beyond what the auth rules ask of any event: his own, with the redact level any
 * other, and as administrator those of this server's users.
 * @returns the target's id
 * @throws M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN, M_USER_SUSPENDED
 */
export function checkRedaction(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  target: string,
  redactor: Redactor,
): EventId {
  const eventId = parseEventId(target);
  if (eventId === undefined) throw matrixError.invalidParam('Not an event id');
  const event = rooms.eventById(snapshot, eventId);
  if (event?.sender === redactor.userId && event.room === room.nid) return eventId;
  // Suspended users may still redact their own events only.
  if (redactor.isSuspended) throw matrixError.userSuspended();
  if (event !== undefined && event.room !== room.nid) throw matrixError.invalidParam('The event is not in this room');
  // Without these two nobody, or every server, would be shut out of the room: what they say is wholly or partly lost.
  if (event?.type === 'm.room.create' || event?.type === 'm.room.server_acl') {
    throw matrixError.forbidden('Events of this type cannot be redacted');
  }
  const levels = currentLevels(snapshot, rooms, room);
  if (powerLevelOf(redactor.userId, levels) >= levelFor('redact', levels)) return eventId;
  if (event === undefined) throw matrixError.notFound('The event is not known');
  // "Server administrators may redact events sent by users on their server."
  if (redactor.isAdmin && serverNameOf(event.sender) === serverNameOf(redactor.userId)) return eventId;
  throw matrixError.forbidden('You may not redact events of others in this room');
}
