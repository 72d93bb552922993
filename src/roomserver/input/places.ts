/**
 * Slots of back-filled events (INVARIANTS 12): an event takes the slot of the event whose missing ancestor it is, the
 * lowest if there are several. A batch is told oldest first, so slots are handed down from its newest event before any is
 * stored.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Position, Snapshot } from '../../storage/index.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, RoomNid } from '../types.ts';

/** The slot of each event of a batch; none for those that no event of the room's order stands on. */
export function placeBackfilled(
  stores: Stores,
  snapshot: Snapshot,
  room: RoomNid,
  events: readonly RoomEvent[],
  apart = false,
): Map<EventId, Position> {
  const slots = new Map<EventId, Position>();
  for (const event of events.toReversed()) {
    const slot =
      lower(slots.get(event.eventId), slotOfDescendants(stores, snapshot, room, event.eventId)) ??
      (apart ? slotOfNextGap(stores, snapshot, room, event.depth) : undefined);
    if (slot === undefined) continue;
    slots.set(event.eventId, slot);
    for (const prev of event.prevEvents) slots.set(prev, lower(slots.get(prev), slot) ?? slot);
  }
  return slots;
}

const lower = (a: Position | undefined, b: Position | undefined): Position | undefined =>
  a === undefined || (b !== undefined && b < a) ? b : a;

/** The lowest slot of the nearest stored descendants that have one. */
function slotOfDescendants(stores: Stores, snapshot: Snapshot, room: RoomNid, eventId: EventId): Position | undefined {
  const own = stores.events.nidOf(snapshot, eventId);
  const stack: EventNid[] = stores.graph.waitingFor(snapshot, room, eventId);
  if (own > 0) stack.push(...stores.graph.children(snapshot, own));
  const seen = new Set<EventNid>();
  let slot: Position | undefined;
  for (let nid = stack.pop(); nid !== undefined; nid = stack.pop()) {
    if (seen.has(nid)) continue;
    seen.add(nid);
    const place = stores.events.meta(snapshot, nid)?.place;
    if (place === undefined) stack.push(...stores.graph.children(snapshot, nid));
    else slot = lower(slot, place.slot);
  }
  return slot;
}

/** The slot of the shallowest event behind a gap that is deeper than this: the event's descendants are filled in there. */
function slotOfNextGap(
  { graph, events }: Stores,
  snapshot: Snapshot,
  room: RoomNid,
  depth: number,
): Position | undefined {
  let next: { readonly depth: number; readonly slot: Position } | undefined;
  for (const { child } of graph.missing(snapshot, room)) {
    const meta = events.meta(snapshot, child as EventNid);
    if (meta?.place === undefined || meta.depth <= depth || (next !== undefined && meta.depth >= next.depth)) continue;
    next = { depth: meta.depth, slot: meta.place.slot };
  }
  return next?.slot;
}
