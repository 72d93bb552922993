/** Client filters applied to stored events; content and relations are read only when the filter looks at them. */
import {
  type EventFilter,
  type FilteredEvent,
  type RelatingEvent,
  admitsNothing,
  admitsRoom,
  matchesEvent,
  needsRelations,
} from '../matrix/filters.ts';
import { isJsonObject } from '../matrix/json.ts';
import { type StoredEvent, contentOf, relationIn } from '../roomserver/index.ts';
import { type RoomRead, isIgnored } from './room-read.ts';

/** Whether the filter lets anything of this room through. */
export const admitsAny = (read: RoomRead, filter: EventFilter): boolean =>
  !admitsNothing(filter) && admitsRoom(filter, read.access.room.roomId);

/** Whether the filter admits an event, and its sender is not ignored. */
export function admitsEvent(read: RoomRead, filter: EventFilter, event: StoredEvent): boolean {
  if (isIgnored(read, event) || !filter.admitsType(event.type)) return false;
  const relatedBy = needsRelations(filter) ? relatingTo(read, event) : [];
  return matchesEvent(filter, filtered(read, filter, event), relatedBy);
}

function filtered(read: RoomRead, filter: EventFilter, event: StoredEvent): FilteredEvent {
  const { type, sender } = event;
  const content = filter.containsUrl === undefined ? undefined : contentOf(event);
  return { type, sender, roomId: read.access.room.roomId, content: isJsonObject(content) ? content : undefined };
}

function relatingTo({ snapshot, rooms }: RoomRead, event: StoredEvent): RelatingEvent[] {
  const related: RelatingEvent[] = [];
  for (const nid of rooms.relatingEvents(snapshot, event.room, event.eventId, undefined, undefined)) {
    const child = rooms.event(snapshot, nid);
    const relType = child && relationIn(contentOf(child))?.relType;
    if (child !== undefined && relType !== undefined) related.push({ sender: child.sender, relType });
  }
  return related;
}
