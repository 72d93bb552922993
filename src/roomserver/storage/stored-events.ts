/**
 * Events as everybody reads them. What never changes of an event, its text above all, is kept in memory by its number; of
 * the database only the few columns are asked that do change. A redaction replaces the text: which one was in force when
 * it was read stands beside it.
 */
import type { UserId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { asPosition, sql, type Position, type Snapshot } from '../../storage/index.ts';
import { LRUCache } from 'lru-cache';
import type { EventNid, Place, RoomNid, SnapshotNid, StateKeyNid, StoredEvent, TypeNid } from '../types.ts';
import { type Bound, type EventMeta, boundOf, flag } from './event-rows.ts';
import { type Names, type StoredId, eventIdFrom } from './nids.ts';

/** What stays while the same redaction is in force. */
type Lasting = Pick<
  StoredEvent,
  'nid' | 'eventId' | 'room' | 'type' | 'stateKey' | 'sender' | 'originServerTs' | 'depth' | 'client' | 'redactedBy'
>;

interface MovingRow {
  readonly nid: number;
  readonly flags: number;
  readonly snapshot: number;
  readonly state_after: number;
  readonly redacted_by: number;
  readonly slot: number | null;
  readonly live: number | null;
}

interface LastingRow {
  readonly event_id: StoredId;
  readonly room: number;
  readonly type: number;
  readonly state_key: number;
  readonly sender: number;
  readonly ts: number;
  readonly depth: number;
  readonly client: string;
}

/** Memory for texts, in bytes; what an entry takes beside its text. */
const textBytes = 12 * 2 ** 20;
const entryBytes = 400;

const moving = 'nid, flags, snapshot, state_after, redacted_by, slot, live';
const selectMoving = sql<[nid: number], MovingRow>(`SELECT ${moving} FROM room_events WHERE nid = ?`);
const selectLasting = sql<[nid: number], LastingRow>(
  `SELECT e.event_id, e.room, e.type, e.state_key, e.sender, e.ts, e.depth, j.client
   FROM room_events e JOIN room_event_json j ON j.nid = e.nid WHERE e.nid = ?`,
);
const timeline = (order: 'ASC' | 'DESC') =>
  sql<[room: number, ...Bound, ...Bound, limit: number], MovingRow>(
    `SELECT ${moving} FROM room_events
     WHERE room = ? AND slot IS NOT NULL AND (slot, live, depth, nid) > (?, ?, ?, ?)
       AND (slot, live, depth, nid) <= (?, ?, ?, ?)
     ORDER BY slot ${order}, live ${order}, depth ${order}, nid ${order} LIMIT ?`,
  );
const selectBackward = timeline('DESC');
const selectForward = timeline('ASC');
const selectPlacedAfter = sql<[after: number, limit: number], MovingRow>(
  `SELECT ${moving} FROM room_events WHERE nid > ? AND slot IS NOT NULL ORDER BY nid LIMIT ?`,
);

export class StoredEvents {
  readonly #types: Names<TypeNid>;
  readonly #keys: Names<StateKeyNid>;
  readonly #lasting = new LRUCache<number, Lasting>({
    maxSize: textBytes,
    sizeCalculation: ({ client }) => client.length + entryBytes,
  });

  constructor(types: Names<TypeNid>, keys: Names<StateKeyNid>) {
    this.#types = types;
    this.#keys = keys;
  }

  /** What is held in memory. */
  get cached(): { readonly texts: number; readonly bytes: number } {
    return { texts: this.#lasting.size, bytes: this.#lasting.calculatedSize };
  }

  get(snapshot: Snapshot, nid: EventNid): StoredEvent | undefined {
    const row = snapshot.get(selectMoving, nid);
    return row === undefined ? undefined : this.#stored(snapshot, row);
  }

  /** The newest first. */
  backward(
    snapshot: Snapshot,
    room: RoomNid,
    upTo: Place | Position,
    after: Place | Position,
    limit: number,
  ): StoredEvent[] {
    const rows = snapshot.all(selectBackward, room, ...boundOf(after), ...boundOf(upTo), limit);
    return rows.map((row) => this.#stored(snapshot, row));
  }

  /** The oldest first. */
  forward(
    snapshot: Snapshot,
    room: RoomNid,
    after: Place | Position,
    upTo: Place | Position,
    limit: number,
  ): StoredEvent[] {
    const rows = snapshot.all(selectForward, room, ...boundOf(after), ...boundOf(upTo), limit);
    return rows.map((row) => this.#stored(snapshot, row));
  }

  /** Events that have a place, in the order of their numbers. */
  placedAfter(snapshot: Snapshot, after: EventNid, limit: number): StoredEvent[] {
    return snapshot.all(selectPlacedAfter, after, limit).map((row) => this.#stored(snapshot, row));
  }

  /** Takes note of an event that was just stored: it is about to be read. */
  added({ nid, room }: EventMeta, event: RoomEvent, client: string): void {
    const { eventId, type, sender, originServerTs, depth } = event;
    const stateKey = event.stateKey ?? null;
    const redactedBy = 0 as EventNid;
    this.#lasting.set(nid, { nid, eventId, room, type, stateKey, sender, originServerTs, depth, client, redactedBy });
  }

  /** The event of a row that was read otherwise. */
  ofMeta(snapshot: Snapshot, { nid, flags, after, redactedBy, place, ...meta }: EventMeta): StoredEvent {
    const numbers = { nid, flags, snapshot: meta.snapshot, state_after: after, redacted_by: redactedBy };
    return this.#stored(snapshot, { ...numbers, slot: place?.slot ?? null, live: place?.live ?? null });
  }

  #stored(snapshot: Snapshot, row: MovingRow): StoredEvent {
    const { nid, eventId, room, type, stateKey, sender, originServerTs, depth, client, redactedBy } = this.#lastingOf(
      snapshot,
      row,
    );
    return {
      ...{ nid, eventId, room, type, stateKey, sender, originServerTs, depth, client, redactedBy },
      snapshot: row.snapshot as SnapshotNid,
      after: (row.state_after === 0 ? row.snapshot : row.state_after) as SnapshotNid,
      outlier: (row.flags & flag.outlier) !== 0,
      rejected: (row.flags & flag.rejected) !== 0,
      softFailed: (row.flags & flag.softFailed) !== 0,
      place: row.slot === null ? undefined : { slot: asPosition(row.slot), live: row.live === 1 ? 1 : 0, depth, nid },
    };
  }

  #lastingOf(snapshot: Snapshot, row: MovingRow): Lasting {
    const nid = row.nid as EventNid;
    const known = this.#lasting.get(nid);
    if (known?.redactedBy === row.redacted_by) return known;
    const read = snapshot.get(selectLasting, nid);
    if (read === undefined) throw new Error(`event ${nid} has no text`);
    const lasting: Lasting = {
      nid,
      eventId: eventIdFrom(read.event_id),
      room: read.room as RoomNid,
      type: this.#types.text(snapshot, read.type as TypeNid),
      stateKey: read.state_key === 0 ? null : this.#keys.text(snapshot, read.state_key as StateKeyNid),
      sender: this.#keys.text(snapshot, read.sender as StateKeyNid) as UserId,
      originServerTs: read.ts,
      depth: read.depth,
      client: read.client,
      redactedBy: row.redacted_by as EventNid,
    };
    this.#lasting.set(nid, lasting);
    return lasting;
  }
}
