/**
 * The projection behind /threads: the events with an `m.thread` relation in room order, written as they enter the
 * room's order. It says where to look; whether an event still relates (redactions), who sees it and which threads they make
 * is read from the events themselves, so rows of what was redacted or withdrawn since do no harm.
 */
import type { Projection, PurgedEntry, RoomNid } from '../bus/index.ts';
import type { EventId } from '../matrix/ids.ts';
import {
  type EventNid,
  type Place,
  type RoomReader,
  type StoredEvent,
  contentOf,
  relationIn,
} from '../roomserver/index.ts';
import {
  asPosition,
  type Database,
  type DerivedRow,
  DerivedTable,
  type Position,
  type Reader,
  type Snapshot,
  type Tx,
  sql,
} from '../storage/index.ts';
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
const deleteThreadEvent = sql<[room: number, slot: number, live: number, depth: number, event: number]>(
  'DELETE FROM syncapi_thread_events WHERE room = ? AND slot = ? AND live = ? AND depth = ? AND event = ?',
);
const selectThreadEventsOf = sql<[room: number], Row>(
  'SELECT slot, live, depth, event, root FROM syncapi_thread_events WHERE room = ?',
);
const derivedRows = new DerivedTable({
  table: 'syncapi_thread_events',
  what: 'thread event',
  key: ['room', 'slot', 'live', 'depth', 'event'],
  values: ['root'],
});
const anything = Number.MAX_SAFE_INTEGER;
const pageSize = 1000;

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
    if (entry.topic === 'room.purged') deletePurged(tx, rooms, entry);
    if (entry.topic !== 'room.event' && entry.topic !== 'room.backfilled') return;
    // Most events are ruled out by what is in memory.
    if (relationIn(rooms.roomEvent(tx, entry.event).content)?.relType !== 'm.thread') return;
    const event = rooms.event(tx, entry.event);
    if (event !== undefined) addThreadEvent(tx, event);
  },
});

/** Rows whose event is gone from the timeline; what was filled in before an event that is left has the next slot. */
function deletePurged(tx: Tx, rooms: RoomReader, { room, upTo }: PurgedEntry): void {
  for (const row of threadEventsBefore(tx, room, asPosition(Math.min(upTo + 1, anything)), -1)) {
    if (rooms.event(tx, row.nid)?.place !== undefined) continue;
    tx.run(deleteThreadEvent, room, row.slot, row.live, row.depth, row.nid);
  }
}

function addThreadEvent(tx: Tx, event: StoredEvent): void {
  const row = rowOf(event);
  if (row !== undefined) tx.run(insertThreadEvent, ...row);
}

function rowOf(
  event: StoredEvent,
): [room: number, slot: number, live: number, depth: number, event: number, root: string] | undefined {
  // Most events are ruled out without being parsed (a rebuild reads them all).
  if (event.place === undefined || !event.client.includes('m.thread')) return undefined;
  const relation = relationIn(contentOf(event));
  if (relation?.relType !== 'm.thread') return undefined;
  const { slot, live, depth, nid } = event.place;
  return [event.room, slot, live, depth, nid, relation.eventId];
}

/** Differences between the table and what the rooms' timelines make of it, one sentence each. */
export function* verifyThreadEvents(db: Reader, rooms: RoomReader): Generator<string, void> {
  for (const room of db.read((snapshot) => [...rooms.roomsChangedSince(snapshot, startOfTime)])) {
    yield* db.read((snapshot) => {
      const { roomId } = rooms.roomByNid(snapshot, room);
      return differencesIn(snapshot, rooms, room).map((each) => `${roomId}: ${derivedRows.describe(each)}`);
    });
  }
}

/** Makes the table anew where it differs, a room in a unit of work of its own; tells `print` of each repaired row. */
export async function repairThreadEvents(
  db: Database,
  rooms: RoomReader,
  print: (line: string) => void,
): Promise<void> {
  for (const room of db.read((snapshot) => [...rooms.roomsChangedSince(snapshot, startOfTime)])) {
    const repaired = await db.write((tx) => {
      const differences = differencesIn(tx, rooms, room);
      for (const difference of differences) derivedRows.repair(tx, difference);
      const { roomId } = rooms.roomByNid(tx, room);
      return differences.map((each) => `${roomId}: ${derivedRows.describe(each)}`);
    });
    repaired.forEach(print);
  }
}

function differencesIn(snapshot: Snapshot, rooms: RoomReader, room: RoomNid): ReturnType<DerivedTable['differences']> {
  const expected: DerivedRow[] = [];
  let after: Place | Position = startOfTime;
  for (;;) {
    const events: StoredEvent[] = rooms.timelineForward(snapshot, room, after, asPosition(anything), pageSize);
    for (const event of events) {
      const row = rowOf(event);
      if (row !== undefined) expected.push(row);
    }
    const last: Place | undefined = events.at(-1)?.place;
    if (last === undefined) break;
    after = last;
  }
  const stored = snapshot.all(selectThreadEventsOf, room).filter((row) => {
    const event = rooms.event(snapshot, row.event);
    return event === undefined || (event.redactedBy === 0 && event.place !== undefined);
  });
  return derivedRows.differences(
    stored.map((row) => [room, row.slot, row.live, row.depth, row.event, row.root]),
    expected,
  );
}
