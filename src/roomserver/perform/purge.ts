/**
 * Purging (INVARIANTS 14): deleting the history of a room up to a place in its order, or all of a room. Each step is a
 * commit of its own that leaves the room whole; the log tells of it, so that every module deletes what is its own. State
 * events are kept, outside the graph: the states that are left name them.
 */
import type { Bus } from '../../bus/index.ts';
import type { UserId } from '../../matrix/ids.ts';
import { asPosition, type Database, sql, type Snapshot, type Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Place, Room, StoredEvent } from '../types.ts';
import { deleteEvents, demote, detach, emptyRoomRows, eventsOfRoom, keepNumbers } from './purge-rows.ts';

export interface PurgeParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomCore & { readonly stores: Stores };
}

export interface HistoryPurge {
  readonly room: Room;
  /** Events before this place go; an event that the next one will be built on is kept. */
  readonly before: Place;
  /** Keep what users of this server sent, outside the timeline: nobody else may have it. */
  readonly keepOwn: boolean;
}

/** Events of one commit. */
const batchSize = 64;
/** Numbers of events looked through at once. */
const windowSize = 5000;
const start = asPosition(0);

const selectFirstFrom = sql<[room: number, ts: number], { nid: number }>(
  `SELECT nid FROM room_events WHERE room = ? AND slot IS NOT NULL AND ts >= ?
   ORDER BY slot, live, depth, nid LIMIT 1`,
);

/** The first place in the room's order with an event from this time (ms) on; undefined: everything is older. */
export function firstPlaceFrom(snapshot: Snapshot, { stores }: PurgeParts['rooms'], room: Room, ts: number) {
  const row = snapshot.get(selectFirstFrom, room.nid, ts);
  return row === undefined ? undefined : stores.events.meta(snapshot, row.nid as EventNid)?.place;
}

/** Deletes the history of a room before a place. May be stopped, and done again. */
export async function purgeHistory(parts: PurgeParts, purge: HistoryPurge, signal?: AbortSignal): Promise<void> {
  let after: Place | undefined;
  do after = await parts.db.write((tx) => purgeBatch(tx, parts, purge, after));
  while (after !== undefined && signal?.aborted !== true);
}

/** @returns the last place looked at; undefined: that was all */
function purgeBatch(tx: Tx, { bus, rooms }: PurgeParts, purge: HistoryPurge, after?: Place): Place | undefined {
  const { stores } = rooms;
  const { room, before } = purge;
  const end: Place = { ...before, nid: (before.nid - 1) as EventNid };
  const batch = stores.events.served.forward(tx, room.nid, after ?? start, end, batchSize);
  const last = batch.at(-1)?.place;
  if (last === undefined) return undefined;
  const needed = new Set(stores.graph.extremities(tx, room.nid));
  const going = batch.filter(({ nid }) => !needed.has(nid));
  keepNumbers(stores, tx);
  const isKept = (event: StoredEvent): boolean =>
    event.stateKey !== null || (purge.keepOwn && stores.members.isLocal(event.sender));
  // What stays takes the ids of what goes while those can still be looked up.
  for (const { nid } of going) detach(stores, tx, room, nid);
  for (const event of going.filter(isKept)) demote(stores, tx, room, event.nid);
  const gone = going.filter((event) => !isKept(event)).map(({ nid }) => nid);
  deleteEvents(stores, tx, room, gone);
  const upTo = last.slot < before.slot ? last.slot : asPosition(before.slot - 1);
  if (going.length > 0)
    bus.append(tx, { topic: 'room.purged', room: room.nid, roomId: room.roomId, upTo, whole: false });
  return last;
}

/**
 * Deletes all of a room but its number. Local users that are still in it are out of it from then on, and those in
 * `tell` are told so even if they were away. May be stopped, and done again.
 */
export async function purgeRoom(
  parts: PurgeParts,
  room: Room,
  tell: readonly UserId[],
  signal?: AbortSignal,
): Promise<void> {
  const { db, rooms, bus } = parts;
  const { stores } = rooms;
  await db.write((tx) => closeRoom(tx, parts, room, tell));
  // From the newest on, so that what an event cites is there until it is gone itself.
  for (let upTo = stores.events.lastNid; upTo > 0 && signal?.aborted !== true; upTo -= windowSize) {
    const nids = db.read((snapshot) => eventsOfRoom(snapshot, room.nid, upTo - windowSize, upTo));
    for (let index = 0; index < nids.length; index += batchSize) {
      const batch = nids.slice(index, index + batchSize);
      await db.write((tx) => deleteEvents(stores, tx, room, batch));
    }
    // Where other rooms fill the numbers between, nobody is held up.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (signal?.aborted === true) return;
  const upTo = Number.MAX_SAFE_INTEGER;
  await db.write((tx) => {
    bus.append(tx, { topic: 'room.purged', room: room.nid, roomId: room.roomId, upTo, whole: true });
  });
}

function closeRoom(tx: Tx, { rooms, bus }: PurgeParts, room: Room, tell: readonly UserId[]): void {
  const { stores } = rooms;
  keepNumbers(stores, tx);
  const inside = (['join', 'invite', 'knock'] as const)
    .flatMap((membership) => stores.members.members(tx, room.nid, membership))
    .filter(({ user }) => stores.members.isLocal(user))
    .map(({ user }) => user);
  const told = new Set([...inside, ...tell]);
  emptyRoomRows(stores, tx, room.nid);
  bus.append(tx, { topic: 'room.state', room: room.nid, roomId: room.roomId });
  // A leave without an event: whoever was away learns of it, though nothing of the room is left.
  for (const user of told) rooms.setOutOfBandMembership(tx, room, user, 'leave', 0);
}
