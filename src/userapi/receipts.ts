/**
 * Receipts and read markers (C-S API v1.19 §Receipts, §Read and unread markers, INVARIANTS 18). A receipt moves only
 * forward in room order. One whose event has no place there yet waits beside the others and clears nothing.
 */
import type { Bus, RoomEventEntry } from '../bus/index.ts';
import { memberOf } from '../matrix/json.ts';
import type { EventId, UserId } from '../matrix/ids.ts';
import type { EventNid, Place, Room, RoomNid, RoomReader, StoredEvent } from '../roomserver/index.ts';
import { sql, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { AccountData } from './account-data.ts';

export type ReceiptType = 'm.read' | 'm.read.private';

/** A receipt as it stands now. */
export interface Receipt {
  readonly user: UserId;
  readonly type: ReceiptType;
  /** null: unthreaded. */
  readonly threadId: string | null;
  readonly eventId: EventId;
  /** ms */
  readonly ts: number;
}

/** How far a user has read. */
export interface ReadMarker {
  /** null: unthreaded; `main`, or the event id of a thread root. */
  readonly threadId: string | null;
  readonly slot: Position;
}

export interface NewReceipt {
  readonly room: Room;
  readonly user: UserId;
  readonly type: ReceiptType;
  readonly threadId: string | null;
  readonly eventId: EventId;
  /** ms; default: now. */
  readonly ts?: number;
  /** A user of another server, which may know events that we don't: his receipt is shown at once. */
  readonly showsUnknown?: boolean;
}

interface ReceiptRow {
  user_id: UserId;
  receipt_type: ReceiptType;
  thread_id: string;
  event_id: EventId;
  ts: number;
}

const selectReceipt = sql<
  [room: number, userId: string, type: string, threadId: string],
  { event_id: EventId; event_nid: EventNid }
>(
  `SELECT event_id, event_nid FROM userapi_receipts
   WHERE room_nid = ? AND user_id = ? AND receipt_type = ? AND thread_id = ?`,
);
const upsertReceipt = sql<
  [
    room: number,
    userId: string,
    type: string,
    threadId: string,
    eventId: string,
    eventNid: number,
    ts: number,
    position: number,
  ]
>(
  `INSERT INTO userapi_receipts (room_nid, user_id, receipt_type, thread_id, event_id, event_nid, ts, position)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (room_nid, user_id, receipt_type, thread_id) DO UPDATE SET
     event_id = excluded.event_id, event_nid = excluded.event_nid, ts = excluded.ts, position = excluded.position`,
);
const countThreads = sql<
  [room: number, userId: string, room: number, userId: string],
  { standing: number; pending: number }
>(
  `SELECT (SELECT count(*) FROM userapi_receipts WHERE room_nid = ? AND user_id = ?) AS standing,
     (SELECT count(*) FROM userapi_pending_receipts WHERE room_nid = ? AND user_id = ?) AS pending`,
);
const deleteOfRoom = sql<[room: number]>('DELETE FROM userapi_receipts WHERE room_nid = ?');
const deletePendingOfRoom = sql<[room: number]>('DELETE FROM userapi_pending_receipts WHERE room_nid = ?');
const selectSince = sql<[room: number, since: number, upTo: number, viewer: string], ReceiptRow>(
  `SELECT user_id, receipt_type, thread_id, event_id, ts FROM userapi_receipts
   WHERE room_nid = ? AND position > ? AND position <= ? AND (receipt_type = 'm.read' OR user_id = ?)
   ORDER BY position`,
);
const selectRooms = sql<[since: number, upTo: number], { room_nid: RoomNid }>(
  'SELECT DISTINCT room_nid FROM userapi_receipts WHERE position > ? AND position <= ?',
);
const selectOwn = sql<[room: number, userId: string], { thread_id: string; event_nid: EventNid }>(
  'SELECT thread_id, event_nid FROM userapi_receipts WHERE room_nid = ? AND user_id = ?',
);
const upsertPending = sql<[room: number, userId: string, type: string, threadId: string, eventId: string, ts: number]>(
  `INSERT INTO userapi_pending_receipts (room_nid, user_id, receipt_type, thread_id, event_id, ts)
   VALUES (?, ?, ?, ?, ?, ?)
   ON CONFLICT (room_nid, user_id, receipt_type, thread_id) DO UPDATE SET
     event_id = excluded.event_id, ts = excluded.ts`,
);
const selectPending = sql<[eventId: string], ReceiptRow>(
  `SELECT user_id, receipt_type, thread_id, event_id, ts FROM userapi_pending_receipts WHERE event_id = ?`,
);
const deletePending = sql<[room: number, userId: string, type: string, threadId: string]>(
  `DELETE FROM userapi_pending_receipts WHERE room_nid = ? AND user_id = ? AND receipt_type = ? AND thread_id = ?`,
);

/** Receipts of a user in a room, each in a thread of its own: their ids come from other servers too. */
const maxThreads = 2000;

/** Room order (INVARIANTS 12). */
const comparePlaces = (one: Place, other: Place): number =>
  one.slot - other.slot || one.live - other.live || one.depth - other.depth || one.nid - other.nid;

export class Receipts {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #rooms: RoomReader;
  readonly #accountData: AccountData;

  constructor(bus: Bus, clock: Clock, rooms: RoomReader, accountData: AccountData) {
    this.#bus = bus;
    this.#clock = clock;
    this.#rooms = rooms;
    this.#accountData = accountData;
    bus.addProjection({
      name: 'userapi.receipts',
      apply: (tx, entry) => {
        if (entry.topic === 'room.event') this.#arrived(tx, entry);
        if (entry.topic !== 'room.purged' || !entry.whole) return;
        tx.run(deleteOfRoom, entry.room);
        tx.run(deletePendingOfRoom, entry.room);
      },
    });
  }

  /** Moves a receipt if its event is ahead of where it stands; true when it moved. */
  set(tx: Tx, receipt: NewReceipt): boolean {
    const { room, user, type, threadId, eventId } = receipt;
    const thread = threadId ?? '';
    const ts = receipt.ts ?? this.#clock.now();
    const event = this.#rooms.eventById(tx, eventId);
    const before = tx.get(selectReceipt, room.nid, user, type, thread);
    const isFull = before === undefined && thread !== '' && this.#hasTooMany(tx, room.nid, user);
    if (isFull) return false;
    if (event?.room !== room.nid || event.place === undefined) {
      // An event of another room, or one that will never have a place, is not worth waiting for.
      if (event === undefined || (event.room === room.nid && event.outlier)) {
        tx.run(upsertPending, room.nid, user, type, thread, eventId, ts);
        if (receipt.showsUnknown === true && (before?.event_nid ?? 0) === 0) {
          this.#move(tx, receipt, 0 as EventNid, ts);
          return true;
        }
      }
      return false;
    }
    tx.run(deletePending, room.nid, user, type, thread);
    if (!this.#isAhead(tx, event, before?.event_nid)) return false;
    this.#move(tx, receipt, event.nid, ts);
    return true;
  }

  /** @param event 0: not known here */
  #move(tx: Tx, { room, user, type, threadId, eventId }: NewReceipt, event: EventNid, ts: number): void {
    const position = tx.nextPosition();
    tx.run(upsertReceipt, room.nid, user, type, threadId ?? '', eventId, event, ts, position);
    this.#bus.append(
      tx,
      { topic: 'room.receipt', room: room.nid, roomId: room.roomId, user, receiptType: type, threadId },
      position,
    );
  }

  /** Moves the fully-read marker (room account data `m.fully_read`); it too only goes forward. */
  setFullyRead(tx: Tx, room: Room, user: UserId, eventId: EventId): boolean {
    const stored = this.#accountData.get(tx, user, room.roomId, 'm.fully_read');
    const before = stored === undefined ? undefined : memberOf(JSON.parse(stored), 'event_id');
    const event = this.#rooms.eventById(tx, eventId);
    const beforeNid = typeof before === 'string' ? this.#rooms.eventById(tx, before)?.nid : undefined;
    if (event !== undefined && !this.#isAhead(tx, event, beforeNid)) return false;
    this.#accountData.put(tx, user, room.roomId, 'm.fully_read', { event_id: eventId });
    return true;
  }

  /** Receipts of a room that changed in (since, upTo], others' private ones left out, in order of change. */
  changes(snapshot: Snapshot, room: RoomNid, viewer: UserId, since: Position, upTo: Position): Receipt[] {
    return snapshot.all(selectSince, room, since, upTo, viewer).map((row) => ({
      user: row.user_id,
      type: row.receipt_type,
      threadId: row.thread_id === '' ? null : row.thread_id,
      eventId: row.event_id,
      ts: row.ts,
    }));
  }

  /** Rooms with a receipt that changed in (since, upTo]. */
  changedRooms(snapshot: Snapshot, since: Position, upTo: Position): RoomNid[] {
    return snapshot.all(selectRooms, since, upTo).map((row) => row.room_nid);
  }

  /** How far a user has read in a room: his public and private receipts whose events have a place there. */
  readMarkers(snapshot: Snapshot, room: RoomNid, user: UserId): ReadMarker[] {
    return snapshot.all(selectOwn, room, user).flatMap((row) => {
      const slot = this.#rooms.event(snapshot, row.event_nid)?.place?.slot;
      return slot === undefined ? [] : [{ threadId: row.thread_id === '' ? null : row.thread_id, slot }];
    });
  }

  #hasTooMany(tx: Tx, room: RoomNid, user: UserId): boolean {
    const { standing = 0, pending = 0 } = tx.get(countThreads, room, user, room, user) ?? {};
    return standing + pending >= maxThreads;
  }

  #isAhead(snapshot: Snapshot, event: StoredEvent, before: EventNid | undefined): boolean {
    const place = before === undefined ? undefined : this.#rooms.event(snapshot, before)?.place;
    return place === undefined || (event.place !== undefined && comparePlaces(event.place, place) > 0);
  }

  /** The event that receipts were waiting for has come. */
  #arrived(tx: Tx, entry: RoomEventEntry): void {
    for (const row of tx.all(selectPending, entry.eventId)) {
      this.set(tx, {
        room: this.#rooms.roomByNid(tx, entry.room),
        user: row.user_id,
        type: row.receipt_type,
        threadId: row.thread_id === '' ? null : row.thread_id,
        eventId: row.event_id,
        ts: row.ts,
      });
    }
  }
}
