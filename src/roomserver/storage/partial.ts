/**
 * Rows of partial-state rooms: which rooms lack members, how far their resync is, the servers that were in them when we
 * joined. Events whose state before is partial carry a flag; an index finds them.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { asPosition, sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, RoomNid, SnapshotNid, StateKeyNid } from '../types.ts';
import type { Names } from './nids.ts';

/** A room whose state lacks members. Times in ms. */
export interface PartialRoom {
  readonly room: RoomNid;
  readonly joinEvent: EventNid;
  /** Of the join. */
  readonly position: Position;
  readonly joinedVia: ServerName;
  readonly since: number;
  /** Failed ones since the last progress. */
  readonly attempts: number;
  readonly nextAttempt: number;
  readonly failure: string | undefined;
}

interface Row {
  readonly room: number;
  readonly join_event: number;
  readonly position: number;
  readonly joined_via: number;
  readonly since: number;
  readonly attempts: number;
  readonly next_attempt: number;
  readonly failure: string | null;
}

const columns = 'room, join_event, position, joined_via, since, attempts, next_attempt, failure';
const selectPartial = sql<[room: number], Row>(`SELECT ${columns} FROM room_partial WHERE room = ?`);
const selectAll = sql<[], Row>(`SELECT ${columns} FROM room_partial ORDER BY since, room`);
const insertPartial = sql<[room: number, joinEvent: number, position: number, via: number, since: number]>(
  'INSERT OR IGNORE INTO room_partial (room, join_event, position, joined_via, since) VALUES (?, ?, ?, ?, ?)',
);
const deletePartial = sql<[room: number]>('DELETE FROM room_partial WHERE room = ?');
const updateAttempt = sql<[attempts: number, next: number, failure: string | null, room: number]>(
  'UPDATE room_partial SET attempts = ?, next_attempt = ?, failure = ? WHERE room = ?',
);
const insertServer = sql<[room: number, server: number]>(
  'INSERT OR IGNORE INTO room_partial_servers (room, server) VALUES (?, ?)',
);
const selectServers = sql<[room: number], { server: number }>(
  'SELECT server FROM room_partial_servers WHERE room = ? ORDER BY server',
);
const deleteServers = sql<[room: number]>('DELETE FROM room_partial_servers WHERE room = ?');
const upsertWhole = sql<[room: number, began: number, position: number]>(
  `INSERT INTO room_whole (room, began, position) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET began = excluded.began, position = excluded.position`,
);
const selectWhole = sql<[room: number], { began: number; position: number }>(
  'SELECT began, position FROM room_whole WHERE room = ?',
);
const selectEvents = sql<[room: number, from: number], { nid: number }>(
  'SELECT nid FROM room_events WHERE room = ? AND nid >= ? AND flags & 32 != 0 ORDER BY nid',
);
const selectUnjudged = sql<[room: number, from: number], { nid: number }>(
  `SELECT nid FROM room_events e WHERE room = ? AND nid >= ? AND flags & 32 != 0
   AND NOT EXISTS (SELECT 1 FROM room_partial_results r WHERE r.event = e.nid) ORDER BY nid LIMIT 1`,
);
const countEvents = sql<[room: number, from: number], { count: number }>(
  'SELECT count(*) AS count FROM room_events WHERE room = ? AND nid >= ? AND flags & 32 != 0',
);

/** What the full state makes of an event: takes effect for all events of the room at once, when the last one has it. */
export interface WholeResult {
  readonly event: EventNid;
  readonly before: SnapshotNid;
  readonly after: SnapshotNid;
  /** Another server told the state before. */
  readonly told: boolean;
  /** Why the event is rejected; undefined: it is not. */
  readonly reason: string | undefined;
}

interface ResultRow {
  readonly event: number;
  readonly snapshot: number;
  readonly state_after: number;
  readonly told: number;
  readonly reason: string | null;
}

const resultColumns = 'event, snapshot, state_after, told, reason';
const insertResult = sql<
  [event: number, room: number, before: number, after: number, told: number, reason: string | null]
>(
  'INSERT OR REPLACE INTO room_partial_results (event, room, snapshot, state_after, told, reason) VALUES (?, ?, ?, ?, ?, ?)',
);
const selectResult = sql<[event: number], ResultRow>(
  `SELECT ${resultColumns} FROM room_partial_results WHERE event = ?`,
);
const selectResults = sql<[room: number], ResultRow>(
  `SELECT ${resultColumns} FROM room_partial_results WHERE room = ? ORDER BY event`,
);
const countResults = sql<[room: number], { count: number }>(
  'SELECT count(*) AS count FROM room_partial_results WHERE room = ?',
);
const deleteResults = sql<[room: number]>('DELETE FROM room_partial_results WHERE room = ?');

const resultOf = (row: ResultRow): WholeResult => ({
  event: row.event as EventNid,
  before: row.snapshot as SnapshotNid,
  after: row.state_after as SnapshotNid,
  told: row.told === 1,
  reason: row.reason ?? undefined,
});

export class PartialStore {
  readonly #keys: Names<StateKeyNid>;

  constructor(keys: Names<StateKeyNid>) {
    this.#keys = keys;
  }

  /** Undefined: its state is whole (or not known at all). */
  get(snapshot: Snapshot, room: RoomNid): PartialRoom | undefined {
    const row = snapshot.get(selectPartial, room);
    return row === undefined ? undefined : this.#partialOf(snapshot, row);
  }

  /** Oldest first. */
  all(snapshot: Snapshot): PartialRoom[] {
    return snapshot.all(selectAll).map((row) => this.#partialOf(snapshot, row));
  }

  /** Begins; a room that is partial already keeps its first join, list of servers and Position. */
  begin(
    tx: Tx,
    begun: Pick<PartialRoom, 'room' | 'joinEvent' | 'position' | 'joinedVia' | 'since'>,
    servers: readonly ServerName[],
  ): void {
    if (tx.get(selectPartial, begun.room) !== undefined) return;
    const via = this.#keys.intern(tx, begun.joinedVia);
    tx.run(insertPartial, begun.room, begun.joinEvent, begun.position, via, begun.since);
    for (const server of servers) tx.run(insertServer, begun.room, this.#keys.intern(tx, server));
  }

  /** The servers that were in the room when we joined, as the resident told. */
  servers(snapshot: Snapshot, room: RoomNid): ServerName[] {
    return snapshot
      .all(selectServers, room)
      .map(({ server }) => this.#keys.text(snapshot, server as StateKeyNid) as ServerName);
  }

  noteAttempt(tx: Tx, room: RoomNid, attempts: number, nextAttempt: number, failure: string | undefined): void {
    tx.run(updateAttempt, attempts, nextAttempt, failure ?? null, room);
  }

  /** The rows go; `whole`: the Position at which the state became whole, undefined when the room was given up. */
  end(tx: Tx, room: RoomNid, whole: Position | undefined): void {
    const began = tx.get(selectPartial, room)?.position ?? 0;
    tx.run(deletePartial, room);
    tx.run(deleteServers, room);
    tx.run(deleteResults, room);
    if (whole !== undefined) tx.run(upsertWhole, room, began, whole);
  }

  /** When a room that was partial became whole; 0: it never was partial. */
  wholeSince(snapshot: Snapshot, room: RoomNid): Position {
    return asPosition(snapshot.get(selectWhole, room)?.position ?? 0);
  }

  /** The Position of the join that made the room partial, now or the last time; 0: it never was. */
  began(snapshot: Snapshot, room: RoomNid): Position {
    const now = snapshot.get(selectPartial, room)?.position;
    return asPosition(now ?? snapshot.get(selectWhole, room)?.began ?? 0);
  }

  /** The Position, this one or a later one, as of which the room's state has no members left out. */
  wholeAt(snapshot: Snapshot, room: RoomNid, position: Position): Position {
    const row = snapshot.get(selectWhole, room);
    if (row === undefined || position < row.began || position >= row.position) return position;
    return asPosition(row.position);
  }

  /** Events with partial state, from one on, in the order of their numbers. */
  events(snapshot: Snapshot, room: RoomNid, from: EventNid): EventNid[] {
    return snapshot.all(selectEvents, room, from).map(({ nid }) => nid as EventNid);
  }

  /** The first of `events` that has no result yet. */
  firstUnjudged(snapshot: Snapshot, room: RoomNid, from: EventNid): EventNid | undefined {
    return snapshot.get(selectUnjudged, room, from)?.nid as EventNid | undefined;
  }

  countEvents(snapshot: Snapshot, room: RoomNid, from: EventNid): number {
    return snapshot.get(countEvents, room, from)?.count ?? 0;
  }

  addResult(tx: Tx, room: RoomNid, { event, before, after, told, reason }: WholeResult): void {
    tx.run(insertResult, event, room, before, after, told ? 1 : 0, reason ?? null);
  }

  result(snapshot: Snapshot, event: EventNid): WholeResult | undefined {
    const row = snapshot.get(selectResult, event);
    return row === undefined ? undefined : resultOf(row);
  }

  results(snapshot: Snapshot, room: RoomNid): WholeResult[] {
    return snapshot.all(selectResults, room).map(resultOf);
  }

  countResults(snapshot: Snapshot, room: RoomNid): number {
    return snapshot.get(countResults, room)?.count ?? 0;
  }

  #partialOf(snapshot: Snapshot, row: Row): PartialRoom {
    return {
      room: row.room as RoomNid,
      joinEvent: row.join_event as EventNid,
      position: asPosition(row.position),
      joinedVia: this.#keys.text(snapshot, row.joined_via as StateKeyNid) as ServerName,
      since: row.since,
      attempts: row.attempts,
      nextAttempt: row.next_attempt,
      failure: row.failure ?? undefined,
    };
  }
}
