/**
 * `GET /rooms/{roomId}/relations/{eventId}[/{relType}[/{eventType}]]` (C-S API v1.19 §Relationships API): the children of
 * an event, with `recurse` their children too, in the room's one order.
 */
import type { EventId } from '../matrix/ids.ts';
import type { EventNid, Place, StoredEvent } from '../roomserver/index.ts';
import { isIgnored } from './event-admission.ts';
import { visibleEvent } from './context.ts';
import type { Direction } from './page.ts';
import { type Cut, compareCuts, parseCut, tokenAfter, tokenBefore } from './place-token.ts';
import { type Asker, type ReadParts, type RoomRead, readRoom, writeEvents } from './room-read.ts';

export interface RelationsRequest {
  readonly roomId: string;
  readonly eventId: string;
  readonly relType: string | undefined;
  readonly eventType: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly direction: Direction;
  readonly limit: number | undefined;
  readonly recurse: boolean;
}

const limits = { default: 50, max: 1000 };
/** "Homeservers SHOULD traverse at least 3 levels of relationships." */
const recursionDepth = 3;

interface PlacedEvent {
  readonly event: StoredEvent;
  readonly place: Place;
}

/** JSON text of the response. @throws M_FORBIDDEN, M_NOT_FOUND (the parent is not for the user), M_INVALID_PARAM */
export function readRelations(parts: ReadParts, asker: Asker, request: RelationsRequest): Promise<string> {
  return readRoom(parts, asker, request.roomId, async (read) => {
    const { event: parent } = visibleEvent(read, request.eventId);
    const { direction, from, recurse } = request;
    const limit = Math.min(request.limit ?? limits.default, limits.max);
    const ofParent = childrenOf(read, parent.eventId, request);
    const children = recurse ? await descendants(read, parent.eventId, ofParent, request) : ofParent;
    const { shown, more } = await pageOf(read, children, request, limit);
    const events = shown.map(({ event }) => event);
    let text = `{"chunk":[${await writeEvents(read, events)}]`;
    const last = shown.at(-1);
    if (more && last) text += `,"next_batch":"${direction === 'b' ? tokenBefore(last.place) : tokenAfter(last.place)}"`;
    // "The absence of this token means this is the start of the result set."
    if (from !== undefined) text += `,"prev_batch":"${from}"`;
    if (recurse) text += `,"recursion_depth":${recursionDepth}`;
    return `${text}}`;
  });
}

/** Children of the wanted kind that still relate, newest first. */
const childrenOf = (read: RoomRead, parent: EventId, { relType, eventType }: RelationsRequest): EventNid[] =>
  read.rooms.relatingEvents(read.snapshot, read.access.room.nid, parent, relType, eventType);

function placed({ rooms, snapshot }: RoomRead, nid: EventNid): PlacedEvent | undefined {
  const event = rooms.event(snapshot, nid);
  return event?.place === undefined ? undefined : { event, place: event.place };
}

/** Children and theirs, newest first; those reached only through a child of another kind are not among them. */
async function descendants(
  read: RoomRead,
  parent: EventId,
  ofParent: readonly EventNid[],
  request: RelationsRequest,
): Promise<EventNid[]> {
  const found = new Map<EventNid, PlacedEvent>();
  let level = ofParent;
  for (let depth = 1; level.length > 0; depth++) {
    const added: EventId[] = [];
    for (const nid of level) {
      const child = found.has(nid) ? undefined : placed(read, nid);
      if (child === undefined || child.event.eventId === parent) continue;
      found.set(nid, child);
      added.push(child.event.eventId);
      await read.slice.tick();
    }
    level = depth < recursionDepth ? added.flatMap((id) => childrenOf(read, id, request)) : [];
  }
  return [...found.values()].sort((one, other) => compareCuts(other.place, one.place)).map(({ event }) => event.nid);
}

/** The first `limit` of the range that the user sees, and whether there are more. */
async function pageOf(
  read: RoomRead,
  newestFirst: readonly EventNid[],
  { direction, from, to }: RelationsRequest,
  limit: number,
): Promise<{ readonly shown: readonly PlacedEvent[]; readonly more: boolean }> {
  const shown: PlacedEvent[] = [];
  const [start, stop] = [
    from === undefined ? undefined : parseCut(from),
    to === undefined ? undefined : parseCut(to, 'to'),
  ];
  const nids = direction === 'b' ? newestFirst : newestFirst.toReversed();
  const sign = direction === 'b' ? -1 : 1;
  // A cut lies behind its own place: what is at it belongs to the older side.
  const isPast = (place: Place, cut: Cut): boolean => sign * compareCuts(place, cut) >= (direction === 'b' ? 0 : 1);
  for (let index = start === undefined ? 0 : firstIndex(read, nids, (place) => isPast(place, start)); ; index++) {
    const nid = nids[index];
    if (nid === undefined) return { shown, more: false };
    const child = placed(read, nid);
    await read.slice.tick();
    if (child === undefined) continue;
    if (stop !== undefined && isPast(child.place, stop)) return { shown, more: false };
    if (isIgnored(read, child.event) || !read.rooms.mayView(read.snapshot, read.userId, child.event)) continue;
    if (shown.length === limit) return { shown, more: true };
    shown.push(child);
  }
}

/** Index of the first event that passes, of a list in which all behind a passing one pass. */
function firstIndex(read: RoomRead, nids: readonly EventNid[], passes: (place: Place) => boolean): number {
  let [low, high] = [0, nids.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const nid = nids[middle];
    const place = nid === undefined ? undefined : placed(read, nid)?.place;
    if (place === undefined || passes(place)) high = middle;
    else low = middle + 1;
  }
  return low;
}
