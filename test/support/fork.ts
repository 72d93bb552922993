/** Events on older events: what another server, or a slow network, makes of a room. */
import { authTypesFor } from '../../src/matrix/auth-types.ts';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { InputKind, Room, Verdict } from '../../src/roomserver/index.ts';
import { testKey, type TestRooms } from './room-core.ts';

export interface ForkProto {
  readonly type: string;
  readonly sender: string;
  readonly stateKey?: string;
  readonly content: JsonObject;
}

/**
 * Builds an event whose only prev event is the given one, with the auth events that the state there has.
 * @param named the prev event that it names instead
 */
export function eventOn(
  rooms: TestRooms,
  room: Room,
  prevId: string,
  proto: ForkProto,
  named: EventId = prevId as EventId,
): RoomEvent {
  return rooms.read((snapshot) => {
    const prev = rooms.core.eventById(snapshot, prevId);
    if (prev === undefined) throw new Error('no such event');
    const state = rooms.core.stateAfter(snapshot, prev);
    const authEvents = authTypesFor({ ...proto, stateKey: proto.stateKey }, room.rules)
      .map(([type, key]) => rooms.core.stateEvent(snapshot, state, type, key))
      .flatMap((nid) => (nid === 0 ? [] : (rooms.core.event(snapshot, nid)?.eventId ?? [])));
    return buildEvent({
      rules: room.rules,
      serverName: 'one.example' as ServerName,
      ...testKey,
      proto: {
        type: proto.type,
        state_key: proto.stateKey,
        sender: proto.sender,
        content: proto.content,
        room_id: room.roomId,
      },
      prevEvents: [named],
      authEvents,
      depth: prev.depth + 1,
      originServerTs: rooms.time.now++,
    });
  });
}

/** Builds an event on an older one and lets it come in. */
export async function fork(
  rooms: TestRooms,
  room: Room,
  prevId: string,
  proto: ForkProto,
  kind: InputKind = 'live',
): Promise<Verdict> {
  const event = eventOn(rooms, room, prevId, proto);
  const verdict = (await rooms.core.input(room.roomId, [event], kind)).get(event.eventId);
  if (verdict === undefined) throw new Error('no verdict');
  return verdict;
}
