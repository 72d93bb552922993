/**
 * `neurite verify` of the roomserver: recomputes from the stored events what is derived from them and names every
 * difference; with `repairRoomserver` what is derived is made right. Each room is read in a view of its own, with stores
 * of its own, so that no cache answers and no snapshot is open for long.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { type Database, type Reader, type Snapshot, type Tx, sql } from '../../storage/index.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import { type Stores, openStores } from '../stores.ts';
import type { EventNid, RoomNid } from '../types.ts';
import { messageOf } from '../../util/error-text.ts';
import { verifyAnnotations, verifyRelationRows } from './annotations.ts';
import { verifyEdges, verifyExtremities } from './edges.ts';
import { verifyGraph } from './graph.ts';
import { verifyProjections } from './projections.ts';
import { verifyStrays } from './strays.ts';
import type { Differs, Verification } from './verification.ts';

const selectRooms = sql<[], { nid: number }>('SELECT nid FROM room_rooms ORDER BY nid');
const selectEvents = sql<[after: number], { nid: number; room: number }>(
  'SELECT nid, room FROM room_events WHERE nid > ? ORDER BY nid',
);

/** One readable line per difference; none when everything is as it should be. */
export function* verifyRoomserver(db: Reader, serverName: ServerName): Generator<string, void> {
  const found: string[] = [];
  const differs: Differs = (what) => void found.push(what);
  db.read((snapshot) => verifyRows(openStores(snapshot, serverName), snapshot, differs));
  yield* found.splice(0);
  const index = db.read(eventsByRoom);
  for (const nid of db.read((snapshot) => snapshot.all(selectRooms)).map((row) => row.nid as RoomNid)) {
    db.read((snapshot) => {
      const verification = openRoom(openStores(snapshot, serverName), snapshot, nid, index, differs);
      verifyRoom(verification);
    });
    yield* found.splice(0);
  }
}

/**
 * Makes the derived rows of all rooms right, a room in a unit of work of its own, from the events, verdicts and states
 * that are stored; those themselves stay as they are.
 *
 * @param print is told of each repaired difference
 */
export async function repairRoomserver(
  db: Database,
  stores: Stores,
  now: () => number,
  print: (line: string) => void,
): Promise<void> {
  const repair = async (work: (tx: Tx, differs: Differs) => void): Promise<void> => {
    const lines = await db.write((tx) => {
      const repaired: string[] = [];
      work(tx, (what, fix) => {
        if (fix === undefined) return;
        fix(tx);
        repaired.push(what);
      });
      return repaired;
    });
    lines.forEach(print);
  };
  await repair((tx, differs) => verifyRows(stores, tx, differs));
  const index = db.read(eventsByRoom);
  for (const nid of db.read((snapshot) => snapshot.all(selectRooms)).map((row) => row.nid as RoomNid)) {
    await repair((tx, differs) => {
      const named: Differs = (what, fix) => differs(`${stores.rooms.byNid(tx, nid).roomId}: ${what}`, fix);
      const open = (): Verification => openRoom(stores, tx, nid, index, named);
      verifyEdges(open());
      verifyAnnotations(open(), now());
      verifyExtremities(open());
      verifyProjections(open());
      tx.touch(`room:${nid}`);
    });
  }
}

/** What is looked at for all rooms at once. */
function verifyRows(stores: Stores, snapshot: Snapshot, differs: Differs): void {
  verifyStrays(snapshot, differs);
  verifyRelationRows(stores, snapshot, differs);
}

interface EventIndex {
  readonly rooms: ReadonlyMap<number, readonly EventNid[]>;
  readonly last: number;
}

/** The events of each room; no index of the table tells them. */
function eventsByRoom(snapshot: Snapshot): EventIndex {
  const rooms = new Map<number, EventNid[]>();
  let last = 0;
  for (const { nid, room } of snapshot.iterate(selectEvents, 0)) {
    const events = rooms.get(room);
    if (events === undefined) rooms.set(room, [nid as EventNid]);
    else events.push(nid as EventNid);
    last = nid;
  }
  return { rooms, last };
}

/** Brings the room's part of the index to this view: events may have come since, and gone. */
function openRoom(
  stores: Stores,
  snapshot: Snapshot,
  nid: RoomNid,
  { rooms, last }: EventIndex,
  differs: Differs,
): Verification {
  const room = stores.rooms.byNid(snapshot, nid);
  const later = snapshot.all(selectEvents, last).flatMap((row) => (row.room === nid ? (row.nid as EventNid) : []));
  const events = new Map<EventNid, EventMeta>();
  for (const event of [...(rooms.get(nid) ?? []), ...later]) {
    const meta = stores.events.meta(snapshot, event);
    if (meta !== undefined) events.set(event, meta);
  }
  return { stores, snapshot, room, events, differs };
}

function verifyRoom(verification: Verification): void {
  const { room } = verification;
  const differs: Differs = (what, repair) => verification.differs(`${room.roomId}: ${what}`, repair);
  const named = { ...verification, differs };
  try {
    verifyGraph(named);
    verifyEdges(named);
    verifyAnnotations(named, 0);
    verifyExtremities(named);
    verifyProjections(named);
  } catch (error) {
    // What is missing or damaged so that nothing can be read is a difference too.
    differs(messageOf(error));
  }
}
