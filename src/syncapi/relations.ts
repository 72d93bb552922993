/**
 * `GET /rooms/{roomId}/relations/{eventId}[/{relType}[/{eventType}]]` (C-S API v1.19 §Relationships API): the children of
 * an event, with `recurse` their children too, in the room's one order.
 */
import type { EventId } from '../matrix/ids.ts';
import type { Place, StoredEvent } from '../roomserver/index.ts';
import { isIgnored } from './event-admission.ts';
import { visibleEvent } from './context.ts';
import type { Direction } from './page.ts';
import { compareCuts, parseCut, tokenAfter, tokenBefore } from './place-token.ts';
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
    const { direction, from } = request;
    const limit = Math.min(request.limit ?? limits.default, limits.max);
    const children = await collect(read, parent.eventId, request);
    const { shown, more } = firstVisible(read, inRange(children, request), limit);
    let text = `{"chunk":[${await writeEvents(
      read,
      shown.map(({ event }) => event),
    )}]`;
    const last = shown.at(-1);
    if (more && last) text += `,"next_batch":"${direction === 'b' ? tokenBefore(last.place) : tokenAfter(last.place)}"`;
    // "The absence of this token means this is the start of the result set."
    if (from !== undefined) text += `,"prev_batch":"${from}"`;
    if (request.recurse) text += `,"recursion_depth":${recursionDepth}`;
    return `${text}}`;
  });
}

/** All children of the wanted kind; those reached only through a child of another kind are not among them. */
async function collect(read: RoomRead, parent: EventId, request: RelationsRequest): Promise<PlacedEvent[]> {
  const { snapshot, rooms, access } = read;
  const found: PlacedEvent[] = [];
  const seen = new Set<string>([parent]);
  let level: EventId[] = [parent];
  for (let depth = request.recurse ? recursionDepth : 1; depth > 0 && level.length > 0; depth--) {
    const children: EventId[] = [];
    for (const id of level) {
      const nids = rooms.relatingEvents(snapshot, access.room.nid, id, request.relType, request.eventType);
      for (const nid of nids) {
        const event = rooms.event(snapshot, nid);
        if (event?.place === undefined || event.redactedBy !== 0 || seen.has(event.eventId)) continue;
        seen.add(event.eventId);
        children.push(event.eventId);
        found.push({ event, place: event.place });
        await read.slice.tick();
      }
    }
    level = children;
  }
  return found;
}

function inRange(children: readonly PlacedEvent[], { direction, from, to }: RelationsRequest): PlacedEvent[] {
  const [oldest, newest] = direction === 'b' ? [to, from] : [from, to];
  const after = oldest === undefined ? undefined : parseCut(oldest, direction === 'b' ? 'to' : 'from');
  const upTo = newest === undefined ? undefined : parseCut(newest, direction === 'b' ? 'from' : 'to');
  const inside = children.filter(
    ({ place }) =>
      (after === undefined || compareCuts(place, after) > 0) && (upTo === undefined || compareCuts(place, upTo) <= 0),
  );
  const sign = direction === 'f' ? 1 : -1;
  return inside.sort((one, other) => sign * compareCuts(one.place, other.place));
}

/** The first `limit` that the user sees, and whether there are more. */
function firstVisible(
  read: RoomRead,
  children: readonly PlacedEvent[],
  limit: number,
): { readonly shown: readonly PlacedEvent[]; readonly more: boolean } {
  const shown: PlacedEvent[] = [];
  for (const child of children) {
    if (isIgnored(read, child.event) || !read.rooms.mayView(read.snapshot, read.userId, child.event)) continue;
    if (shown.length === limit) return { shown, more: true };
    shown.push(child);
  }
  return { shown, more: false };
}
