/**
 * The timeline of a room: the newest events of the range that the user may see and the filter admits. `limited` is true
 * exactly when such events lie between the start of the range and the timeline. Back-filled events never enter it, and
 * it never spans a gap: it starts behind the last one (INVARIANTS 12).
 */
import {
  type FilteredEvent,
  matchesEvent,
  needsRelations,
  admitsNothing,
  admitsRoom,
  selectFields,
} from '../../matrix/filters.ts';
import type { EventFilter, RelatingEvent } from '../../matrix/filters.ts';
import { isJsonObject, parseJson } from '../../matrix/json.ts';
import {
  clientEvent,
  contentOf,
  relationIn,
  type EventNid,
  type Place,
  type StoredEvent,
} from '../../roomserver/index.ts';
import { asPosition, type Position } from '../../storage/index.ts';
import { isPause } from '../items/item.ts';
import { roomMarks, type Compose, type Part, type Pass } from '../pass.ts';
import { formatSyncToken } from '../token.ts';
import type { RoomView } from './room-view.ts';

export interface Timeline {
  /** Oldest first. */
  readonly events: readonly StoredEvent[];
  readonly limited: boolean;
  /** Slot of the first event; undefined: the timeline is empty. */
  readonly first: Position | undefined;
}

const empty: Timeline = { events: [], limited: false, first: undefined };

/** Reads the timeline of a room for this pass. */
export function* readTimeline(pass: Pass, view: RoomView): Compose<Timeline> {
  const filter = pass.request.filter.room.timeline;
  if ((view.marks & roomMarks.changed) === 0 && !view.fresh) return empty;
  if (admitsNothing(filter) || !admitsRoom(filter, view.room.roomId)) return empty;
  const { rooms, timelineLimit } = pass.parts;
  const limit = Math.min(filter.limit ?? timelineLimit.default, timelineLimit.max);
  const events: StoredEvent[] = [];
  let upTo: Place | Position = view.end;
  // Nothing older than a gap belongs to this timeline; what is there only says whether it is limited.
  let closed = false;
  for (let size = limit + 1; ; size = Math.min(size * 2, 400)) {
    const batch = rooms.timelineBackward(pass.snapshot, view.room.nid, upTo, view.timelineFrom, size);
    const visible = new Set(rooms.visibleTo(pass.snapshot, pass.user, batch));
    for (const event of batch) {
      closed ||= event.place?.live === 0;
      // Who was refused, removed or banned is told so, whatever the visibility of that event.
      const mayView = visible.has(event) || (view.section === 'leave' && event.nid === view.row.event);
      const admitted = mayView && admits(pass, filter, view, event);
      if (admitted && (closed || events.length === limit)) return timeline(events, true);
      if (admitted) events.push(event);
      if (!closed && rooms.isBehindGap(pass.snapshot, event)) {
        // What is missing there may be for the user to see.
        return timeline(events, true);
      }
    }
    const last = batch.at(-1)?.place;
    if (batch.length < size || last === undefined) return timeline(events, false);
    // The numeric id is the last member of a place: this is the place right before it.
    upTo = { ...last, nid: (last.nid - 1) as EventNid };
    yield;
  }
}

const timeline = (newestFirst: StoredEvent[], limited: boolean): Timeline => {
  const events = newestFirst.reverse();
  return { events, limited, first: events[0]?.place?.slot };
};

function admits(pass: Pass, filter: EventFilter, view: RoomView, event: StoredEvent): boolean {
  // "State events will still be sent to the client, even if the user is ignored."
  if (event.stateKey === null && event.sender !== pass.user && pass.ignored.has(event.sender)) return false;
  const relatedBy = needsRelations(filter) ? relating(pass, view, event) : [];
  return matchesEvent(filter, filtered(filter, view, event), relatedBy);
}

/** An event as filters see it; its content is only read when the filter looks at it. */
export function filtered(filter: EventFilter, view: RoomView, event: StoredEvent): FilteredEvent {
  const { type, sender } = event;
  const content = filter.containsUrl === undefined ? undefined : contentOf(event);
  return { type, sender, roomId: view.room.roomId, ...(isJsonObject(content) ? { content } : {}) };
}

function relating(pass: Pass, view: RoomView, event: StoredEvent): RelatingEvent[] {
  const { rooms } = pass.parts;
  const related: RelatingEvent[] = [];
  for (const nid of rooms.relatingEvents(pass.snapshot, view.room.nid, event.eventId, undefined, undefined)) {
    const child = rooms.event(pass.snapshot, nid);
    const relType = child && relationIn(contentOf(child))?.relType;
    if (child !== undefined && relType !== undefined) related.push({ sender: child.sender, relType });
  }
  return related;
}

/** Writes events as this client wants them: its format, its fields. */
export function* writeEvents(pass: Pass, events: Iterable<StoredEvent>): Compose<string> {
  const texts: string[] = [];
  let step = 0;
  for (const event of events) {
    texts.push(writeEvent(pass, event));
    if (isPause(step++)) yield;
  }
  return `[${texts.join(',')}]`;
}

function writeEvent(pass: Pass, event: StoredEvent): string {
  const { snapshot, view, request } = pass;
  const { rooms } = pass.parts;
  const { eventFields, eventFormat } = request.filter;
  const text =
    eventFormat === 'federation'
      ? JSON.stringify(rooms.roomEvent(snapshot, event.nid).pdu)
      : clientEvent(snapshot, rooms, event, view);
  if (eventFields === undefined) return text;
  const parsed = parseJson(text);
  return isJsonObject(parsed) ? JSON.stringify(selectFields(parsed, eventFields)) : text;
}

/** The `timeline` member: events, `limited`, and the token from which /messages goes on backwards. */
export function* composeTimeline(pass: Pass, view: RoomView, read: Timeline): Compose<Part> {
  const events = yield* writeEvents(pass, read.events);
  const { shown } = pass.request;
  const last = read.events.at(-1)?.place?.slot;
  if (last !== undefined) shown.position(last);
  // A token P means every event whose slot is at most P: the first event's own slot is not among them.
  const before = read.first === undefined ? view.end : asPosition(read.first - 1);
  return {
    text: `{"events":${events},"limited":${read.limited},"prev_batch":"${formatSyncToken(before)}"}`,
    notable: read.events.length > 0 || read.limited,
  };
}
