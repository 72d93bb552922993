/**
 * `neurite verify` of the roomserver: recomputes from the stored events what is derived from them and names every
 * difference. It reads with stores of its own, so that no cache of a running server answers.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { type Database, type Snapshot, sql } from '../../storage/index.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import { type Stores, openStores } from '../stores.ts';
import type { EventNid, RoomNid } from '../types.ts';
import { verifyGraph } from './graph.ts';
import { verifyProjections } from './projections.ts';

const selectEventNids = sql<[], { nid: number; room: number }>('SELECT nid, room FROM room_events ORDER BY nid');

/** One readable line per difference; none when everything is as it should be. */
export function verifyRoomserver(db: Database, serverName: ServerName): string[] {
  return db.read((snapshot) => {
    const stores = openStores(snapshot, serverName);
    const lines: string[] = [];
    for (const [nid, events] of eventsByRoom(snapshot)) lines.push(...verifyRoom(stores, snapshot, nid, events));
    return lines;
  });
}

function eventsByRoom(snapshot: Snapshot): Map<RoomNid, EventNid[]> {
  const rooms = new Map<RoomNid, EventNid[]>();
  for (const { nid, room } of snapshot.all(selectEventNids)) {
    const events = rooms.get(room as RoomNid);
    if (events === undefined) rooms.set(room as RoomNid, [nid as EventNid]);
    else events.push(nid as EventNid);
  }
  return rooms;
}

function verifyRoom(stores: Stores, snapshot: Snapshot, nid: RoomNid, nids: readonly EventNid[]): string[] {
  const room = stores.rooms.byNid(snapshot, nid);
  const lines: string[] = [];
  const events = new Map<EventNid, EventMeta>();
  for (const event of nids) events.set(event, stores.events.knownMeta(snapshot, event));
  const differs = (what: string): void => void lines.push(`${room.roomId}: ${what}`);
  const verification = { stores, snapshot, room, events, differs };
  try {
    verifyGraph(verification);
    verifyProjections(verification);
  } catch (error) {
    // What is missing or damaged so that nothing can be read is a difference too.
    differs(error instanceof Error ? error.message : String(error));
  }
  return lines;
}
