/**
 * Rows of rooms, their current state and its history.
 */
import type { RoomId, UserId } from '../../matrix/ids.ts';
import { rulesOfVersion } from '../../matrix/room-versions.ts';
import { asPosition, sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, Room, RoomNid, SnapshotNid } from '../types.ts';
import { LruCache } from '../../util/lru.ts';
import type { Counter } from './nids.ts';

interface RoomRow {
  readonly nid: number;
  readonly room_id: string;
  readonly version: string;
  readonly creators: string;
  readonly federate: number;
  readonly create_event: number;
}

/** What changes about a room. */
export interface RoomHead {
  readonly snapshot: SnapshotNid;
  readonly joined: number;
  readonly invited: number;
  readonly last_position: Position;
  readonly create_event: EventNid;
  /** Position of the join that replaced what was known before (INVARIANTS 13), 0: none did. */
  readonly begins: Position;
}

const roomColumns = 'nid, room_id, version, creators, federate, create_event';
const selectRoomNid = sql<[roomId: string], { nid: number }>('SELECT nid FROM room_rooms WHERE room_id = ?');
const selectRoom = sql<[nid: number], RoomRow>(`SELECT ${roomColumns} FROM room_rooms WHERE nid = ?`);
const selectHead = sql<[nid: number], RoomHead>(
  'SELECT snapshot, joined, invited, last_position, create_event, begins FROM room_rooms WHERE nid = ?',
);
const insertRoom = sql<
  [nid: number, roomId: string, version: string, creators: string, federate: number, create: number, snapshot: number]
>(
  'INSERT INTO room_rooms (nid, room_id, version, creators, federate, create_event, snapshot) VALUES (?, ?, ?, ?, ?, ?, ?)',
);
const updateRoom = sql<[version: string, creators: string, federate: number, nid: number]>(
  'UPDATE room_rooms SET version = ?, creators = ?, federate = ? WHERE nid = ?',
);
const updateCreateEvent = sql<[event: number, nid: number]>('UPDATE room_rooms SET create_event = ? WHERE nid = ?');
const updateSnapshot = sql<[snapshot: number, nid: number]>('UPDATE room_rooms SET snapshot = ? WHERE nid = ?');
const updateCounts = sql<[joined: number, invited: number, nid: number]>(
  'UPDATE room_rooms SET joined = joined + ?, invited = invited + ? WHERE nid = ?',
);
const updateBegins = sql<[position: number, nid: number]>('UPDATE room_rooms SET begins = ? WHERE nid = ?');
const updateLastPosition = sql<[position: number, nid: number]>(
  'UPDATE room_rooms SET last_position = ? WHERE nid = ?',
);
const selectChangedRooms = sql<[since: number], { nid: number }>(
  'SELECT nid FROM room_rooms WHERE last_position > ? ORDER BY last_position DESC',
);
const selectRooms = sql<[], { nid: number }>('SELECT nid FROM room_rooms ORDER BY nid');
const selectRoomsWithState = sql<[], { nid: number }>('SELECT nid FROM room_rooms WHERE snapshot > 0 ORDER BY nid');
const countState = sql<[room: number], { size: number }>('SELECT count(*) AS size FROM room_state WHERE room = ?');
const insertHistory = sql<[room: number, position: number, snapshot: number]>(
  `INSERT INTO room_state_history (room, position, snapshot) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET snapshot = excluded.snapshot`,
);
const selectHistory = sql<[room: number, position: number], { position: number; snapshot: number }>(
  `SELECT position, snapshot FROM room_state_history WHERE room = ? AND position <= ? ORDER BY position DESC LIMIT 1`,
);
const upsertState = sql<[room: number, type: number, key: number, event: number]>(
  `INSERT INTO room_state (room, type, state_key, event) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET event = excluded.event`,
);
/** The events themselves say their pairs. */
const insertStates = sql<[room: number, events: string]>(
  `INSERT INTO room_state (room, type, state_key, event)
   SELECT ?, e.type, e.state_key, e.nid FROM json_each(?) j CROSS JOIN room_events e ON e.nid = j.value
   WHERE true ON CONFLICT DO UPDATE SET event = excluded.event`,
);
const deleteState = sql<[room: number, type: number, key: number]>(
  'DELETE FROM room_state WHERE room = ? AND type = ? AND state_key = ?',
);
const selectStateEvent = sql<[room: number, type: number, key: number], { event: number }>(
  'SELECT event FROM room_state WHERE room = ? AND type = ? AND state_key = ?',
);
const selectState = sql<[room: number], StateRow>(
  'SELECT type, state_key, event FROM room_state WHERE room = ? ORDER BY type, state_key',
);
const selectStateOfType = sql<[room: number, type: number], StateRow>(
  'SELECT type, state_key, event FROM room_state WHERE room = ? AND type = ? ORDER BY state_key',
);

export interface StateRow {
  readonly type: number;
  readonly state_key: number;
  readonly event: number;
}

export class RoomStore {
  readonly #counter: Counter;
  readonly #rooms = new LruCache<number, Room>({ max: 2_000 });
  /** Those that a write transaction has read. */
  #heads: { readonly epoch: object; readonly byRoom: Map<RoomNid, RoomHead> } | undefined;

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  byId(snapshot: Snapshot, roomId: string): Room | undefined {
    const nid = snapshot.get(selectRoomNid, roomId)?.nid;
    return nid === undefined ? undefined : this.byNid(snapshot, nid as RoomNid);
  }

  /** @throws Error when there is no such room */
  byNid(snapshot: Snapshot, nid: RoomNid): Room {
    const known = this.#rooms.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(selectRoom, nid);
    const rules = row === undefined ? undefined : rulesOfVersion(row.version);
    if (row === undefined || rules === undefined) throw new Error(`room ${nid} is missing`);
    const creators = JSON.parse(row.creators) as UserId[];
    const room: Room = { nid, roomId: row.room_id as RoomId, rules, creators, federate: row.federate === 1 };
    // Until the create event is there, the version is what another server said.
    if (row.create_event > 0) this.#rooms.set(nid, room);
    return room;
  }

  all(snapshot: Snapshot): RoomNid[] {
    return snapshot.all(selectRooms).map(({ nid }) => nid as RoomNid);
  }

  /** Rooms whose state is known. */
  withState(snapshot: Snapshot): RoomNid[] {
    return snapshot.all(selectRoomsWithState).map(({ nid }) => nid as RoomNid);
  }

  /** Entries of the current state. */
  stateSize(snapshot: Snapshot, room: RoomNid): number {
    return snapshot.get(countState, room)?.size ?? 0;
  }

  insert(tx: Tx, room: Omit<Room, 'nid'>): Room {
    const nid = this.#counter.next() as RoomNid;
    const { roomId, rules, creators, federate } = room;
    tx.run(insertRoom, nid, roomId, rules.version, JSON.stringify(creators), federate ? 1 : 0, 0, 0);
    return { ...room, nid };
  }

  /** What was said of a room before its create event came gives way to what that says. */
  correct(tx: Tx, { nid, rules, creators, federate }: Omit<Room, 'roomId'>): void {
    tx.run(updateRoom, rules.version, JSON.stringify(creators), federate ? 1 : 0, nid);
    this.#rooms.delete(nid);
  }

  setCreateEvent(tx: Tx, room: RoomNid, event: EventNid): void {
    this.forgetHead(room);
    tx.run(updateCreateEvent, event, room);
  }

  head(snapshot: Snapshot, room: RoomNid): RoomHead {
    const { epoch } = snapshot;
    if (epoch !== undefined && this.#heads?.epoch !== epoch) this.#heads = { epoch, byRoom: new Map() };
    const remembered = epoch === undefined ? undefined : this.#heads?.byRoom;
    const head = remembered?.get(room) ?? snapshot.get(selectHead, room);
    if (head === undefined) throw new Error(`room ${room} is missing`);
    remembered?.set(room, head);
    return head;
  }

  /** The row has changed. */
  forgetHead(room: RoomNid): void {
    this.#heads?.byRoom.delete(room);
  }

  /** Sets the current state and writes its row in the room's history. */
  setSnapshot(tx: Tx, room: RoomNid, snapshot: SnapshotNid, position: Position): void {
    this.forgetHead(room);
    tx.run(updateSnapshot, snapshot, room);
    tx.run(insertHistory, room, position, snapshot);
  }

  addCounts(tx: Tx, room: RoomNid, joined: number, invited: number): void {
    this.forgetHead(room);
    if (joined !== 0 || invited !== 0) tx.run(updateCounts, joined, invited, room);
  }

  setBegins(tx: Tx, room: RoomNid, position: Position): void {
    this.forgetHead(room);
    tx.run(updateBegins, position, room);
  }

  setLastPosition(tx: Tx, room: RoomNid, position: Position): void {
    this.forgetHead(room);
    tx.run(updateLastPosition, position, room);
  }

  *changedSince(snapshot: Snapshot, since: Position): IterableIterator<RoomNid> {
    // Read as one list: an open iterator would bar every other read of the handle.
    for (const { nid } of snapshot.all(selectChangedRooms, since)) yield nid as RoomNid;
  }

  /** S(p), 0: the room was not there. */
  snapshotAt(snapshot: Snapshot, room: RoomNid, position: Position): SnapshotNid {
    return (snapshot.get(selectHistory, room, position)?.snapshot ?? 0) as SnapshotNid;
  }

  /** The Position of the newest change of the current state at or before `position`, 0: none. */
  lastStateChange(snapshot: Snapshot, room: RoomNid, position: Position): Position {
    return asPosition(snapshot.get(selectHistory, room, position)?.position ?? 0);
  }

  setStateEvent(tx: Tx, room: RoomNid, type: number, key: number, event: number): void {
    if (event === 0) tx.run(deleteState, room, type, key);
    else tx.run(upsertState, room, type, key, event);
  }

  /** The same for very many entries, whose events are stored. */
  setState(
    tx: Tx,
    room: RoomNid,
    changes: readonly { readonly type: number; readonly key: number; readonly to: number }[],
  ): void {
    const set: number[] = [];
    for (const { type, key, to } of changes) {
      if (to === 0) tx.run(deleteState, room, type, key);
      else set.push(to);
    }
    tx.run(insertStates, room, `[${set.join()}]`);
  }

  /** The event of a pair in the current state, 0: none. */
  stateEvent(snapshot: Snapshot, room: RoomNid, type: number, key: number): EventNid {
    return (snapshot.get(selectStateEvent, room, type, key)?.event ?? 0) as EventNid;
  }

  state(snapshot: Snapshot, room: RoomNid, type?: number): StateRow[] {
    return type === undefined ? snapshot.all(selectState, room) : snapshot.all(selectStateOfType, room, type);
  }
}
