/** Order among events that came together. */
import type { EventId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';

/**
 * Each event behind those of its references that are among them, otherwise in the order given. Members of a cycle
 * (possible in room versions 1 and 2) and what stands on them are left out (INVARIANTS 9).
 */
export function sortByReferences(
  events: readonly RoomEvent[],
  referencesOf: (event: RoomEvent) => readonly EventId[],
): RoomEvent[] {
  const byId = new Map(events.map((event) => [event.eventId, event]));
  const waitsFor = new Map<EventId, number>();
  const citedBy = new Map<EventId, RoomEvent[]>();
  for (const event of byId.values()) {
    const inside = new Set(referencesOf(event).filter((id) => byId.has(id)));
    waitsFor.set(event.eventId, inside.size);
    for (const id of inside) {
      const citing = citedBy.get(id);
      if (citing === undefined) citedBy.set(id, [event]);
      else citing.push(event);
    }
  }
  const sorted = [...byId.values()].filter(({ eventId }) => waitsFor.get(eventId) === 0);
  for (let at = 0; at < sorted.length; at += 1) {
    for (const citing of citedBy.get(sorted[at]?.eventId ?? ('' as EventId)) ?? []) {
      const left = (waitsFor.get(citing.eventId) ?? 0) - 1;
      waitsFor.set(citing.eventId, left);
      if (left === 0) sorted.push(citing);
    }
  }
  return sorted;
}

/** An order in which events can be stored: behind their auth events and their prev events. */
export const storingOrder = (events: readonly RoomEvent[]): RoomEvent[] =>
  sortByReferences(events, ({ authEvents, prevEvents }) => [...authEvents, ...prevEvents]);

/** Those events that are reachable backwards from some ids over events of the list: nobody asked for others. */
export function reachableFrom(ids: Iterable<EventId>, events: readonly RoomEvent[]): RoomEvent[] {
  const byId = new Map(events.map((event) => [event.eventId, event]));
  const reached = new Set<EventId>();
  const stack = [...ids];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const event = byId.get(id);
    if (event === undefined || reached.has(id)) continue;
    reached.add(id);
    stack.push(...event.prevEvents);
  }
  return events.filter(({ eventId }) => reached.has(eventId));
}
