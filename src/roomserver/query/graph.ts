/**
 * Walks over a room's event graph for other servers: auth chains, what precedes some events (S-S API v1.19 §Backfilling
 * and retrieving missing events). Rejected events and outliers are never part of an answer; the walk goes on behind
 * rejected ones. Soft-failed events are told like any other.
 */
import { createIdOfRoom } from '../../matrix/ids.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import type { RoomReader } from '../room-reader.ts';
import type { EventNid, Room, StoredEvent } from '../types.ts';

/** Rejected events that one walk passes over. */
const mostPassed = 1000;

/**
 * The auth events of some events, theirs, and so on, each once, in topological order; not those asked about unless one
 * is in another's chain. Where auth events do not name the create event (room version 12) it is part of every chain.
 */
export async function authChain(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  from: Iterable<EventNid>,
): Promise<EventNid[]> {
  const slice = new Slice();
  const seen = new Set<EventNid>();
  const todo = [...from];
  if (room.rules.roomIdIsCreateHash && todo.length > 0) {
    const create = rooms.eventById(snapshot, createIdOfRoom(room.roomId));
    if (create !== undefined) seen.add(create.nid);
  }
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    for (const cited of rooms.authEvents(snapshot, next)) {
      if (seen.has(cited)) continue;
      seen.add(cited);
      todo.push(cited);
    }
    if (slice.spent) await slice.tick();
  }
  // Auth events have lower numbers than what cites them (INVARIANTS 9).
  return [...seen].sort((a, b) => a - b);
}

const isTold = (event: StoredEvent): boolean => !event.rejected && !event.outlier;

/** An event of this room that may stand in an answer. */
export function toldEvent(snapshot: Snapshot, rooms: RoomReader, room: Room, id: string): StoredEvent | undefined {
  const event = rooms.eventById(snapshot, id);
  return event?.room === room.nid && isTold(event) ? event : undefined;
}

/** Deepest first, newest first where two are as deep. */
const isBefore = (one: StoredEvent, other: StoredEvent): boolean =>
  one.depth === other.depth ? one.nid > other.nid : one.depth > other.depth;

/** The events asked for and what precedes them, the deepest first, at most `limit`. */
export async function eventsUpTo(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  eventIds: readonly string[],
  limit: number,
): Promise<StoredEvent[]> {
  const slice = new Slice();
  const found: StoredEvent[] = [];
  const seen = new Set<EventNid>();
  const queue: StoredEvent[] = [];
  const add = (event: StoredEvent | undefined): void => {
    if (event === undefined || event.outlier || event.room !== room.nid || seen.has(event.nid)) return;
    seen.add(event.nid);
    let place = queue.length;
    for (let earlier = queue[place - 1]; earlier !== undefined && isBefore(event, earlier); earlier = queue[place - 1])
      place -= 1;
    queue.splice(place, 0, event);
  };
  for (const id of eventIds) add(toldEvent(snapshot, rooms, room, id));
  let passed = 0;
  for (let next = queue.shift(); next !== undefined && found.length < limit; next = queue.shift()) {
    if (next.rejected) passed += 1;
    else found.push(next);
    if (passed > mostPassed) break;
    for (const prev of rooms.prevEvents(snapshot, next.nid)) add(rooms.event(snapshot, prev));
    if (slice.spent) await slice.tick();
  }
  return found;
}

export interface MissingWish {
  readonly earliest: readonly string[];
  readonly latest: readonly string[];
  readonly limit: number;
  readonly minDepth: number;
}

/**
 * What stands between some events: "a breadth-first walk of the `prev_events` for the `latest_events`, ignoring any events
 * in `earliest_events` and stopping at the `limit`". Oldest first.
 */
export async function eventsBetween(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  { earliest, latest, limit, minDepth }: MissingWish,
): Promise<StoredEvent[]> {
  const slice = new Slice();
  const ignored = new Set<string>(earliest);
  const seen = new Set<string>([...earliest, ...latest]);
  const found: StoredEvent[] = [];
  const queue = latest
    .flatMap((id) => toldEvent(snapshot, rooms, room, id) ?? [])
    .filter(({ eventId }) => !ignored.has(eventId));
  let passed = 0;
  for (let index = 0; found.length < limit && passed <= mostPassed; index++) {
    const next = queue[index];
    if (next === undefined) break;
    for (const nid of rooms.prevEvents(snapshot, next.nid)) {
      const prev = rooms.event(snapshot, nid);
      if (prev === undefined || prev.room !== room.nid || prev.outlier || seen.has(prev.eventId)) continue;
      seen.add(prev.eventId);
      if (prev.depth < minDepth) continue;
      queue.push(prev);
      if (prev.rejected) passed += 1;
      else if (found.length < limit) found.push(prev);
    }
    if (slice.spent) await slice.tick();
  }
  return found.sort((a, b) => a.depth - b.depth || a.nid - b.nid);
}
