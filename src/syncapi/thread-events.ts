/**
 * The projection behind /threads: the events with an `m.thread` relation in room order, written as they enter the
 * timeline. It says where to look; whether an event still relates (redactions), who sees it and which threads they make
 * is read from the events themselves.
 */
import type { Projection, RoomNid } from '../bus/index.ts';
import type { EventId } from '../matrix/ids.ts';
import {
  type EventNid,
  type Place,
  type RoomReader,
  type StoredEvent,
  contentOf,
  relationIn,
} from '../roomserver/index.ts';
import { type Position, type Snapshot, type Tx, sql } from '../storage/index.ts';
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
    if (entry.topic !== 'room.event') return;
    const event = rooms.event(tx, entry.event);
    if (event !== undefined) addThreadEvent(tx, event);
  },
});

function addThreadEvent(tx: Tx, event: StoredEvent): void {
  // Most events are ruled out without being parsed.
  if (event.place === undefined || !event.client.includes('m.thread')) return;
  const relation = relationIn(contentOf(event));
  if (relation?.relType !== 'm.thread') return;
  const { slot, live, depth, nid } = event.place;
  tx.run(insertThreadEvent, event.room, slot, live, depth, nid, relation.eventId);
}

/** Makes the table anew from the rooms' timelines (INVARIANTS 7); redacted events, whose relation is gone, are not in it. */
export function rebuildThreadEvents(tx: Tx, rooms: RoomReader, upTo: Position): void {
  tx.run(deleteThreadEvents);
  for (const room of [...rooms.roomsChangedSince(tx, startOfTime)]) {
    let after: Place | Position = startOfTime;
    for (;;) {
      const events: StoredEvent[] = rooms.timelineForward(tx, room, after, upTo, 1000);
      for (const event of events) addThreadEvent(tx, event);
      const last: Place | undefined = events.at(-1)?.place;
      if (last === undefined) break;
      after = last;
    }
  }
}
