/** An event as push rules see it, and the thread that its counts go to. */
import type { RoomNid } from '../bus/index.ts';
import { levelToNotify, powerLevelOf, type PowerLevels } from '../matrix/auth-power-levels.ts';
import type { EventId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import type { PushedEvent } from '../matrix/push-rules.ts';
import { threadRootOf } from '../matrix/relations.ts';
import { currentLevels, type RoomReader } from '../roomserver/index.ts';
import type { Tx } from '../storage/index.ts';

/** The event as push rules see it; what only few rules ask for is looked up when one does. */
export function pushedEvent(rooms: RoomReader, tx: Tx, room: RoomNid, event: RoomEvent): PushedEvent {
  let levels: PowerLevels | undefined;
  const powerLevels = (): PowerLevels => (levels ??= currentLevels(tx, rooms, rooms.roomByNid(tx, room)));
  let members: number | undefined;
  const client: JsonObject = {
    type: event.type,
    sender: event.sender,
    room_id: event.roomId,
    event_id: event.eventId,
    content: event.content,
    ...(event.stateKey === undefined ? {} : { state_key: event.stateKey }),
  };
  return {
    event: client,
    roomId: event.roomId,
    sender: event.sender,
    get memberCount() {
      return (members ??= rooms.joinedCount(tx, room));
    },
    get senderPowerLevel() {
      return powerLevelOf(event.sender, powerLevels());
    },
    notificationLevel: (key) => levelToNotify(key, powerLevels()),
  };
}

/** Event id of the root of the thread that the event belongs to; '' in the main timeline. */
export function threadOf(rooms: RoomReader, tx: Tx, event: RoomEvent): string {
  const contentOf = (eventId: EventId): JsonObject | undefined => {
    const stored = rooms.eventById(tx, eventId);
    return stored === undefined || stored.outlier || stored.rejected
      ? undefined
      : rooms.roomEvent(tx, stored.nid).content;
  };
  return threadRootOf(event.content, contentOf) ?? '';
}
