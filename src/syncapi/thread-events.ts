/**
 * The projection behind /threads: the events with an `m.thread` relation in room order, written as they enter the
 * timeline. It says where to look; whether an event still relates (redactions), who sees it and which threads they make
 * is read from the events themselves.
 */
import type { Projection, RoomEventEntry, RoomNid, StoredEntry } from '../bus/index.ts';
import type { EventId } from '../matrix/ids.ts';
import {
  type EventNid,
  type Place,
  type RoomReader,
  type StoredEvent,
  contentOf,
  relationIn,
} from '../roomserver/index.ts';
import { type Position, type Snapshot, type Tx, asPosition, sql } from '../storage/index.ts';
import type { Cut } from './place-token.ts';
import { startOfTime } from './token.ts';

export interface ThreadEvent extends Place {
  readonly root: EventId;
}

interface Row {
  slot: Position;
  live: 0 | 1;
  depth: number;
  event: EventNid;
  root: EventId;
}

const insertThreadEvent = sql<[room: number, slot: number, live: number, depth: number, event: number, root: string]>(
  'INSERT OR IGNORE INTO syncapi_thread_events (room, slot, live, depth, event, root) VALUES (?, ?, ?, ?, ?, ?)',
);
const selectThreadEvents = sql<
  [room: number, slot: number, live: number, depth: number, event: number, limit: number],
  Row
>(
  `SELECT slot, live, depth, event, root FROM syncapi_thread_events
   WHERE room = ? AND (slot, live, depth, event) <= (?, ?, ?, ?)
   ORDER BY slot DESC, live DESC, depth DESC, event DESC LIMIT ?`,
);
const deleteThreadEvents = sql<[]>('DELETE FROM syncapi_thread_events');
const anything = Number.MAX_SAFE_INTEGER;
const endOfTime = asPosition(anything);

/** The thread events of a room before a cut, newest first. */
export function threadEventsBefore(snapshot: Snapshot, room: RoomNid, upTo: Cut, limit: number): ThreadEvent[] {
  const place =
    typeof upTo === 'number' ? ([upTo, 1, anything, anything] as const) : [upTo.slot, upTo.live, upTo.depth, upTo.nid];
  const [slot = 0, live = 0, depth = 0, nid = 0] = place;
  return snapshot
    .all(selectThreadEvents, room, slot, live, depth, nid, limit)
    .map((row) => ({ slot: row.slot, live: row.live, depth: row.depth, nid: row.event, root: row.root }));
}

/** The inline projection that keeps the table. */
export const threadEventsProjection = (rooms: RoomReader): Projection => ({
  name: 'syncapi.threads',
  apply: (tx, entry) => {
    const event = entersTimeline(entry) ? rooms.event(tx, entry.event) : undefined;
    const row = event && threadEventOf(event);
    if (event !== undefined && row !== undefined) insert(tx, event.room, row);
  },
});

/** Redactions, and whatever else happens to an event later, are looked up when the table is read. */
function entersTimeline(entry: StoredEntry): entry is RoomEventEntry {
  switch (entry.topic) {
    case 'room.event':
      return true;
    case 'room.state':
    case 'room.membership':
    case 'event.redacted':
    case 'room.purged':
    case 'room.receipt':
    case 'user.account_data':
    case 'user.counts':
    case 'user.device_list':
    case 'user.profile':
    case 'device.to_device':
    case 'device.key_counts':
      return false;
  }
}

/** The row of an event; undefined when it is in no thread. */
function threadEventOf(event: StoredEvent): ThreadEvent | undefined {
  // Most events are ruled out without being parsed.
  if (event.place === undefined || !event.client.includes('m.thread')) return undefined;
  const relation = relationIn(contentOf(event));
  return relation?.relType === 'm.thread' ? { ...event.place, root: relation.eventId as EventId } : undefined;
}

const insert = (tx: Tx, room: RoomNid, { slot, live, depth, nid, root }: ThreadEvent): void =>
  void tx.run(insertThreadEvent, room, slot, live, depth, nid, root);

/** Makes the table anew from the rooms' timelines; redacted events, whose relation is gone, are not in it. */
export function rebuildThreadEvents(tx: Tx, rooms: RoomReader): void {
  tx.run(deleteThreadEvents);
  for (const room of allRooms(tx, rooms)) {
    for (const row of threadEventsIn(tx, rooms, room)) insert(tx, room, row);
  }
}

/** One line for each difference between the table and what a rebuild would make of it (INVARIANTS 7). */
export function* verifyThreadEvents(snapshot: Snapshot, rooms: RoomReader): Iterable<string> {
  for (const room of allRooms(snapshot, rooms)) {
    const { roomId } = rooms.roomByNid(snapshot, room);
    const kept = new Map(threadEventsBefore(snapshot, room, endOfTime, anything).map(({ nid, root }) => [nid, root]));
    for (const { nid, root } of threadEventsIn(snapshot, rooms, room)) {
      if (kept.get(nid) !== root) yield `${roomId}: event ${nid} is not in the list of thread ${root}`;
      kept.delete(nid);
    }
    for (const [nid, root] of kept) {
      if (rooms.event(snapshot, nid)?.redactedBy === 0) yield `${roomId}: event ${nid} is listed in thread ${root}`;
    }
  }
}

const allRooms = (snapshot: Snapshot, rooms: RoomReader): RoomNid[] => [
  ...rooms.roomsChangedSince(snapshot, startOfTime),
];

function* threadEventsIn(snapshot: Snapshot, rooms: RoomReader, room: RoomNid): Iterable<ThreadEvent> {
  let after: Cut = startOfTime;
  for (;;) {
    const events: StoredEvent[] = rooms.timelineForward(snapshot, room, after, endOfTime, 1000);
    for (const event of events) {
      const row = threadEventOf(event);
      if (row !== undefined) yield row;
    }
    const last: Place | undefined = events.at(-1)?.place;
    if (last === undefined) return;
    after = last;
  }
}
