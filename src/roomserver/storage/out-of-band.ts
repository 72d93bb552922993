/**
 * Member events of rooms that this server is not in (INVARIANTS 16). They are no part of an event graph: nothing may cite
 * them, and what they cite is not known. So they have numbers of their own, below 0, by which readers tell them apart.
 */
import { canonicalJson } from '../../matrix/canonical-json.ts';
import type { EventId } from '../../matrix/ids.ts';
import { isJsonObject, parseLosslessJson } from '../../matrix/json.ts';
import { type Pdu, type RoomEvent, canonicalOptions, toRoomEvent } from '../../matrix/pdu.ts';
import { splitForStorage } from '../../matrix/stored-event.ts';
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import type { EventNid, Room, RoomNid, SnapshotNid, StoredEvent } from '../types.ts';
import { membershipCode, membershipOfCode } from './event-rows.ts';
import type { Membership } from '../types.ts';
import { LruCache } from '../../util/lru.ts';
import type { RoomStore } from './rooms.ts';

interface Row {
  readonly room: number;
  readonly event_id: string;
  readonly pdu: string;
}

const insertEvent = sql<[room: number, eventId: string, pdu: string]>(
  'INSERT INTO room_out_of_band_events (room, event_id, pdu) VALUES (?, ?, ?)',
);
const selectEvent = sql<[nid: number], Row>('SELECT room, event_id, pdu FROM room_out_of_band_events WHERE nid = ?');

export class OutOfBandStore {
  readonly #rooms: RoomStore;
  readonly #parsed = new LruCache<number, RoomEvent>({ max: 500 });

  constructor(rooms: RoomStore) {
    this.#rooms = rooms;
  }

  /** Keeps an event whose format and signatures were checked; returns its number. */
  insert(tx: Tx, room: Room, event: RoomEvent): EventNid {
    const { lastInsertRowid } = tx.run(
      insertEvent,
      room.nid,
      event.eventId,
      canonicalJson(event.pdu, canonicalOptions(room.rules)),
    );
    return -lastInsertRowid as EventNid;
  }

  /** Undefined: it is not stored any more. */
  event(snapshot: Snapshot, nid: EventNid): { readonly room: Room; readonly event: RoomEvent } | undefined {
    const row = snapshot.get(selectEvent, -nid);
    if (row === undefined) return undefined;
    const room = this.#rooms.byNid(snapshot, row.room as RoomNid);
    const known = this.#parsed.get(nid);
    if (known !== undefined && known.eventId === row.event_id) return { room, event: known };
    const pdu = parseLosslessJson(row.pdu);
    if (!isJsonObject(pdu)) return undefined;
    const event = toRoomEvent(pdu as Pdu, room.rules, row.event_id as EventId);
    this.#parsed.set(nid, event);
    return { room, event };
  }

  /** The event in the form of all others: an outlier with a place in no timeline. */
  stored(snapshot: Snapshot, nid: EventNid): StoredEvent | undefined {
    const found = this.event(snapshot, nid);
    if (found === undefined) return undefined;
    const { room, event } = found;
    const { eventId, type, sender, originServerTs, depth } = event;
    return {
      ...{ nid, eventId, room: room.nid, type, sender, originServerTs, depth },
      stateKey: event.stateKey ?? null,
      client: splitForStorage(event, room.rules).client,
      ...{ snapshot: 0 as SnapshotNid, after: 0 as SnapshotNid },
      ...{ outlier: true, rejected: false, softFailed: false },
      redactedBy: 0 as EventNid,
      place: undefined,
    };
  }

  membership(snapshot: Snapshot, nid: EventNid): Membership | undefined {
    return membershipOfCode(membershipCode(this.event(snapshot, nid)?.event.content.membership));
  }
}
