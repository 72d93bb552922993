/** `GET /rooms/{roomId}/context/{eventId}` (C-S API v1.19 §Event Context): the events around one, and the state there. */
import { matrixError } from '../matrix/errors.ts';
import { type EventFilter, emptyEventFilter } from '../matrix/filters.ts';
import type { Place, StoredEvent } from '../roomserver/index.ts';
import { admitsAny, admitsEvent } from './event-admission.ts';
import { type Gaps, readFilled } from './gaps.ts';
import { membersOfSenders } from './members-of-senders.ts';
import { type Direction, readPage } from './page.ts';
import { cutBefore, tokenAfter, tokenBefore } from './place-token.ts';
import { type Asker, type ReadParts, type RoomRead, writeEvents } from './room-read.ts';

export interface ContextRequest {
  readonly roomId: string;
  readonly eventId: string;
  readonly limit: number | undefined;
  readonly filter: EventFilter;
}

const limits = { default: 10, max: 1000 };

/** JSON text of the response. @throws M_FORBIDDEN, M_NOT_FOUND (the event is not there or not for the user) */
export function readContext(parts: ReadParts, asker: Asker, request: ContextRequest): Promise<string> {
  const { filter } = request;
  const limit = Math.min(request.limit ?? filter.limit ?? limits.default, limits.max);
  return readFilled(parts, asker, request.roomId, limit, async (read, gaps) => {
    const { event, place } = visibleEvent(read, request.eventId);
    const half = Math.floor(limit / 2);
    const before = await around(read, 'b', place, half, { filter, gaps });
    const after = await around(read, 'f', place, limit - half, { filter, gaps });
    const last = after.at(-1) ?? event;
    const state = stateAround(read, filter, [event, ...before, ...after], last);
    return (
      `{"start":"${tokenBefore(before.at(-1)?.place ?? place)}","end":"${tokenAfter(last.place ?? place)}",` +
      `"events_before":[${await writeEvents(read, before)}],"event":${await writeEvents(read, [event])},` +
      `"events_after":[${await writeEvents(read, after)}],"state":[${await writeEvents(read, state)}]}`
    );
  });
}

/** An event of the room's timeline that the user may see. @throws M_NOT_FOUND */
export function visibleEvent(read: RoomRead, eventId: string): { readonly event: StoredEvent; readonly place: Place } {
  const { snapshot, rooms, userId, access } = read;
  const event = rooms.eventById(snapshot, eventId);
  if (event?.place !== undefined && event.room === access.room.nid && rooms.mayView(snapshot, userId, event)) {
    return { event, place: event.place };
  }
  throw matrixError.notFound('Event not found.');
}

/** The events next to a place that the user may see, the nearest first. */
export async function around(
  read: RoomRead,
  direction: Direction,
  place: Place,
  limit: number,
  { filter = emptyEventFilter, gaps }: { readonly filter?: EventFilter; readonly gaps?: Gaps | undefined } = {},
): Promise<readonly StoredEvent[]> {
  if (limit === 0 || !admitsAny(filter, read.roomId)) return [];
  const from = direction === 'b' ? cutBefore(place) : place;
  const admits = (event: StoredEvent): boolean => admitsEvent(read, filter, event);
  return (await readPage(read, { direction, from, limit, admits, gaps }, '')).events;
}

/** "The state of the room at the last event returned", as far as the filter admits it. */
function* stateAround(
  read: RoomRead,
  filter: EventFilter,
  events: readonly StoredEvent[],
  last: StoredEvent,
): Iterable<StoredEvent> {
  const { snapshot, rooms } = read;
  if (!admitsAny(filter, read.roomId)) return;
  const state = rooms.stateAfter(snapshot, last);
  const entries = filter.lazyLoadMembers
    ? rooms.stateEntriesWithoutMembers(snapshot, state)
    : rooms.stateEntries(snapshot, state);
  for (const entry of entries) {
    if (!filter.admitsType(entry.type)) continue;
    const event = rooms.event(snapshot, entry.event);
    if (event !== undefined && admitsEvent(read, filter, event)) yield event;
  }
  if (filter.lazyLoadMembers) yield* membersOfSenders(read, events);
}
