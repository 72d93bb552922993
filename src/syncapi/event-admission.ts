/** Client filters and ignore lists applied to stored events; content and relations are read only when a filter asks. */
import {
  type EventFilter,
  type FilteredEvent,
  type RelatingEvent,
  admitsNothing,
  admitsRoom,
  matchesEvent,
  needsRelations,
} from '../matrix/filters.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import { isJsonObject } from '../matrix/json.ts';
import { type RoomReader, type StoredEvent, contentOf, relationIn } from '../roomserver/index.ts';
import type { Snapshot } from '../storage/index.ts';

/** Who is shown events of which room. */
export interface Admission {
  readonly snapshot: Snapshot;
  readonly rooms: RoomReader;
  readonly roomId: RoomId;
  readonly userId: UserId;
  readonly ignored: ReadonlySet<string>;
}

/** Whether the filter lets anything of this room through. */
export const admitsAny = (filter: EventFilter, roomId: RoomId): boolean =>
  !admitsNothing(filter) && admitsRoom(filter, roomId);

/** Whether the filter admits an event, and its sender is not ignored. */
export function admitsEvent(to: Admission, filter: EventFilter, event: StoredEvent): boolean {
  if (isIgnored(to, event) || !filter.admitsType(event.type)) return false;
  const relatedBy = needsRelations(filter) ? relatingTo(to, event) : [];
  return matchesEvent(filter, filteredEvent(filter, to.roomId, event), relatedBy);
}

/** "The client will no longer receive events sent by that user, with the exception of state events" (§Ignoring Users). */
export const isIgnored = ({ userId, ignored }: Admission, event: StoredEvent): boolean =>
  event.stateKey === null && event.sender !== userId && ignored.has(event.sender);

/** An event as filters see it. */
export function filteredEvent(filter: EventFilter, roomId: RoomId, event: StoredEvent): FilteredEvent {
  const { type, sender } = event;
  const content = filter.containsUrl === undefined ? undefined : contentOf(event);
  return { type, sender, roomId, content: isJsonObject(content) ? content : undefined };
}

function relatingTo({ snapshot, rooms }: Admission, event: StoredEvent): RelatingEvent[] {
  const related: RelatingEvent[] = [];
  for (const nid of rooms.relatingEvents(snapshot, event.room, event.eventId, undefined, undefined)) {
    const child = rooms.event(snapshot, nid);
    const relType = child && relationIn(contentOf(child))?.relType;
    if (child !== undefined && relType !== undefined) related.push({ sender: child.sender, relType });
  }
  return related;
}
