/**
 * Rows of events: hot columns with the packed auth NIDs in `room_events`, the two texts in `room_event_json`. An event is
 * written once; later only its flags, state, place and redaction change.
 */
import { LRUCache } from 'lru-cache';
import type { EventId, UserId } from '../../matrix/ids.ts';
import { type Pdu, type RoomEvent, toRoomEvent } from '../../matrix/pdu.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import { joinFromStorage, pduTextFromStorage, splitForStorage } from '../../matrix/stored-event.ts';
import { asPosition, sql, type Position, type Snapshot, type SqlValue, type Tx } from '../../storage/index.ts';
import { packList, unpackList } from '../../util/varint.ts';
import type { EventNid, Membership, Place, RoomNid, SnapshotNid, StateKeyNid, StoredEvent, TypeNid } from '../types.ts';
import { originalOf } from './annotations.ts';
import { type Counter, type Names, type StoredId, eventIdFrom, storedId } from './nids.ts';

/**
 * Bits of `flags`. `readInFull`: auth rules read more of this member event than its membership; `toldState`: the state
 * before the event came from another server instead of its prev events.
 */
export const flag = { outlier: 1, rejected: 2, softFailed: 4, readInFull: 8, toldState: 16 } as const;

/** Codes of memberships in rows; 0: none. */
const memberships: readonly (Membership | undefined)[] = [undefined, 'invite', 'join', 'knock', 'leave', 'ban'];
export const membershipCode = (membership: unknown): number =>
  typeof membership === 'string' ? Math.max(0, memberships.indexOf(membership as Membership)) : 0;
export const membershipOfCode = (code: number): Membership | undefined => memberships[code];

/** The hot columns of an event. */
export interface EventMeta {
  readonly nid: EventNid;
  readonly eventId: EventId;
  readonly room: RoomNid;
  readonly type: TypeNid;
  /** 0: not a state event. */
  readonly key: StateKeyNid;
  readonly sender: StateKeyNid;
  readonly ts: number;
  readonly depth: number;
  readonly flags: number;
  readonly membership: number;
  readonly snapshot: SnapshotNid;
  /** Never 0 when `snapshot` is not. */
  readonly after: SnapshotNid;
  readonly redactedBy: EventNid;
  readonly place: Place | undefined;
}

interface MetaRow {
  readonly nid: number;
  readonly event_id: StoredId;
  readonly room: number;
  readonly type: number;
  readonly state_key: number;
  readonly sender: number;
  readonly ts: number;
  readonly depth: number;
  readonly flags: number;
  readonly membership: number;
  readonly snapshot: number;
  readonly state_after: number;
  readonly redacted_by: number;
  readonly slot: number | null;
  readonly live: number | null;
}
interface StoredRow extends MetaRow {
  readonly client: string;
}

/** An event to be stored. */
export interface NewEvent {
  readonly event: RoomEvent;
  readonly room: RoomNid;
  readonly flags: number;
  readonly snapshot: SnapshotNid;
  /** The same as `snapshot` when the event changes nothing. */
  readonly after: SnapshotNid;
  readonly place: { readonly slot: Position; readonly live: 0 | 1 } | undefined;
  /** NIDs of its auth events, in the order cited. */
  readonly auth: readonly EventNid[];
  /** NIDs of its prev events, in the order cited; undefined: some are not stored. */
  readonly prev: readonly EventNid[] | undefined;
  readonly rules: RoomVersionRules;
}

/** The two texts of an event as its rows have them. */
interface StoredTexts {
  readonly client: string;
  readonly rest: string;
}

const metaColumns = `e.nid, e.event_id, e.room, e.type, e.state_key, e.sender, e.ts, e.depth, e.flags, e.membership,
  e.snapshot, e.state_after, e.redacted_by, e.slot, e.live`;
const storedColumns = `${metaColumns}, j.client`;
const selectNid = sql<[id: StoredId], { nid: number }>('SELECT nid FROM room_events WHERE event_id = ?');
const selectMeta = sql<[nid: number], MetaRow>(`SELECT ${metaColumns} FROM room_events e WHERE nid = ?`);
const selectAuth = sql<[nid: number], { auth: Uint8Array }>('SELECT auth FROM room_events WHERE nid = ?');
const selectStored = sql<[nid: number], StoredRow>(
  `SELECT ${storedColumns} FROM room_events e JOIN room_event_json j ON j.nid = e.nid WHERE e.nid = ?`,
);
const selectTexts = sql<[nid: number], StoredTexts>('SELECT client, rest FROM room_event_json WHERE nid = ?');
const selectPrev = sql<[nid: number], { prev: Uint8Array | null }>('SELECT prev FROM room_events WHERE nid = ?');
const selectEventId = sql<[nid: number], { event_id: StoredId }>('SELECT event_id FROM room_events WHERE nid = ?');
const timeline = (order: 'ASC' | 'DESC') =>
  sql<[room: number, ...Bound, ...Bound, limit: number], StoredRow>(
    `SELECT ${storedColumns} FROM room_events e JOIN room_event_json j ON j.nid = e.nid
     WHERE e.room = ? AND e.slot IS NOT NULL AND (e.slot, e.live, e.depth, e.nid) > (?, ?, ?, ?)
       AND (e.slot, e.live, e.depth, e.nid) <= (?, ?, ?, ?)
     ORDER BY e.slot ${order}, e.live ${order}, e.depth ${order}, e.nid ${order} LIMIT ?`,
  );
const selectBackward = timeline('DESC');
const selectForward = timeline('ASC');
const insertEvent = sql<SqlValue[]>(
  `INSERT INTO room_events (nid, event_id, room, type, state_key, sender, ts, depth, flags, membership, snapshot,
     state_after, redacted_by, slot, live, auth, prev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)`,
);
const insertTexts = sql<[nid: number, client: string, rest: string]>(
  'INSERT INTO room_event_json (nid, client, rest) VALUES (?, ?, ?)',
);
const updateTexts = sql<[client: string, rest: string, nid: number]>(
  'UPDATE room_event_json SET client = ?, rest = ? WHERE nid = ?',
);
const updateJudged = sql<
  [flags: number, snapshot: number, after: number, slot: number | null, live: number | null, nid: number]
>('UPDATE room_events SET flags = (flags & 8) | ?, snapshot = ?, state_after = ?, slot = ?, live = ? WHERE nid = ?');
const updateRedactedBy = sql<[redaction: number, nid: number]>('UPDATE room_events SET redacted_by = ? WHERE nid = ?');
const upsertVerdict = sql<[nid: number, reason: string]>(
  'INSERT INTO room_verdicts (event, reason) VALUES (?, ?) ON CONFLICT DO UPDATE SET reason = excluded.reason',
);
const deleteVerdict = sql<[nid: number]>('DELETE FROM room_verdicts WHERE event = ?');
const selectVerdict = sql<[nid: number], { reason: string }>('SELECT reason FROM room_verdicts WHERE event = ?');

/** Slot, live, depth, NID. */
type Bound = [slot: number, live: number, depth: number, nid: number];
/** A Position stands for the end of its slot. */
const boundOf = (place: Place | Position): Bound =>
  typeof place === 'number'
    ? [place, 1, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
    : [place.slot, place.live, place.depth, place.nid];

export class EventStore {
  readonly #counter: Counter;
  readonly #types: Names<TypeNid>;
  readonly #keys: Names<StateKeyNid>;
  /** Parsed events by NID; a redacted one under the negative number. */
  readonly #parsed = new LRUCache<number, RoomEvent>({ max: 4_000 });
  readonly #auth = new LRUCache<number, readonly EventNid[]>({ max: 20_000 });
  /** Codes of member events; they never change, not by a redaction either. */
  readonly #memberships = new LRUCache<number, number>({ max: 50_000 });

  constructor(counter: Counter, types: Names<TypeNid>, keys: Names<StateKeyNid>) {
    this.#counter = counter;
    this.#types = types;
    this.#keys = keys;
  }

  /** 0: not stored. */
  nidOf(snapshot: Snapshot, eventId: string): EventNid {
    return (snapshot.get(selectNid, storedId(eventId))?.nid ?? 0) as EventNid;
  }

  meta(snapshot: Snapshot, nid: EventNid): EventMeta | undefined {
    const row = snapshot.get(selectMeta, nid);
    return row === undefined ? undefined : metaOf(row);
  }

  /** @throws Error when it is not stored */
  knownMeta(snapshot: Snapshot, nid: EventNid): EventMeta {
    const meta = this.meta(snapshot, nid);
    if (meta === undefined) throw new Error(`event ${nid} is missing`);
    return meta;
  }

  /** Of a member event; undefined: it is none, or has no proper one. */
  membership(snapshot: Snapshot, nid: EventNid): Membership | undefined {
    let code = this.#memberships.get(nid);
    if (code === undefined) {
      code = this.knownMeta(snapshot, nid).membership;
      this.#memberships.set(nid, code);
    }
    return membershipOfCode(code);
  }

  stored(snapshot: Snapshot, nid: EventNid): StoredEvent | undefined {
    const row = snapshot.get(selectStored, nid);
    return row === undefined ? undefined : this.#storedOf(snapshot, row);
  }

  /** NIDs of the event's auth events, in the order cited. */
  authNids(snapshot: Snapshot, nid: EventNid): readonly EventNid[] {
    const known = this.#auth.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(selectAuth, nid);
    if (row === undefined) throw new Error(`event ${nid} is missing`);
    const auth = unpackList(row.auth) as EventNid[];
    this.#auth.set(nid, auth);
    return auth;
  }

  /** The texts as they are stored: `rest` may lack what the numbers tell. */
  texts(snapshot: Snapshot, nid: EventNid): StoredTexts {
    const row = snapshot.get(selectTexts, nid);
    if (row === undefined) throw new Error(`event ${nid} is missing`);
    return row;
  }

  /** The event parsed, redacted when a redaction is in force. */
  parsed(snapshot: Snapshot, nid: EventNid, rules: RoomVersionRules): RoomEvent {
    const meta = this.knownMeta(snapshot, nid);
    const cacheKey = meta.redactedBy > 0 ? -nid : nid;
    const known = this.#parsed.get(cacheKey);
    if (known !== undefined) return known;
    const { client, rest } = this.#fullTexts(snapshot, nid);
    const event = toRoomEvent(joinFromStorage(client, rest, rules), rules, meta.eventId);
    this.#parsed.set(cacheKey, event);
    return event;
  }

  /**
   * The event as authorisation reads it: never redacted while the original is there, so that a verdict does not depend on
   * when it is asked for (a redaction may take what auth rules read, such as `invite` of power levels before version 11).
   */
  forAuth(snapshot: Snapshot, nid: EventNid, rules: RoomVersionRules): RoomEvent {
    const known = this.#parsed.get(nid);
    if (known !== undefined) return known;
    const meta = this.knownMeta(snapshot, nid);
    const original = meta.redactedBy > 0 ? originalOf(snapshot, nid) : undefined;
    const { client, rest } = this.#fullTexts(snapshot, nid, original);
    const event = toRoomEvent(joinFromStorage(client, rest, rules), rules, meta.eventId);
    this.#parsed.set(nid, event);
    return event;
  }

  /** JSON text of the PDU as other servers get it, redacted when a redaction is in force. */
  pduText(snapshot: Snapshot, nid: EventNid, rules: RoomVersionRules): string {
    const { client, rest } = this.#fullTexts(snapshot, nid);
    return pduTextFromStorage(client, rest, rules);
  }

  /** NIDs of the prev events; undefined: the event names some that were not stored when it was. */
  prevNids(snapshot: Snapshot, nid: EventNid): EventNid[] | undefined {
    const prev = snapshot.get(selectPrev, nid)?.prev;
    return prev === undefined || prev === null ? undefined : (unpackList(prev) as EventNid[]);
  }

  /** The texts that an event would be stored as: `prev` as in its row. */
  textsOf(event: RoomEvent, rules: RoomVersionRules, prev: readonly EventNid[] | undefined): StoredTexts {
    if (prev === undefined) return splitForStorage(event, rules);
    const { auth_events: _auth, prev_events: _prev, ...pdu } = event.pdu;
    return splitForStorage({ ...event, pdu: pdu as Pdu }, rules);
  }

  #fullTexts(snapshot: Snapshot, nid: EventNid, texts: StoredTexts = this.texts(snapshot, nid)): StoredTexts {
    const { client, rest } = texts;
    const prev = this.prevNids(snapshot, nid);
    if (prev === undefined) return { client, rest };
    const ids = (nids: readonly EventNid[]): string =>
      JSON.stringify(nids.map((cited) => eventIdFrom(snapshot.get(selectEventId, cited)?.event_id ?? '')));
    const edges = `{"auth_events":${ids(this.authNids(snapshot, nid))},"prev_events":${ids(prev)}`;
    return { client, rest: rest === '{}' ? `${edges}}` : `${edges},${rest.slice(1)}` };
  }

  timelineBackward(
    snapshot: Snapshot,
    room: RoomNid,
    upTo: Place | Position,
    after: Place | Position,
    limit: number,
  ): StoredEvent[] {
    const rows = snapshot.all(selectBackward, room, ...boundOf(after), ...boundOf(upTo), limit);
    return rows.map((row) => this.#storedOf(snapshot, row));
  }

  timelineForward(
    snapshot: Snapshot,
    room: RoomNid,
    after: Place | Position,
    upTo: Place | Position,
    limit: number,
  ): StoredEvent[] {
    const rows = snapshot.all(selectForward, room, ...boundOf(after), ...boundOf(upTo), limit);
    return rows.map((row) => this.#storedOf(snapshot, row));
  }

  /** A number for an event that is about to be stored. */
  newNid(): EventNid {
    return this.#counter.next() as EventNid;
  }

  /**
   * Stores an event under a new NID; returns its `client` text.
   * @throws Error when an auth event has not got a lower number (INVARIANTS 9)
   */
  insert(tx: Tx, nid: EventNid, added: NewEvent): string {
    const { event, auth, place, rules } = added;
    // Versions 1 and 2 cite with hashes, which no number tells.
    const prev = rules.eventReferencesArePairs ? undefined : added.prev;
    const texts = this.textsOf(event, rules, prev);
    if (auth.some((cited) => cited <= 0 || cited >= nid))
      throw new Error('an auth event is not stored before its event');
    const isMember = event.type === 'm.room.member' && event.stateKey !== undefined;
    const readInFull =
      isMember &&
      ['third_party_invite', 'join_authorised_via_users_server'].some((key) => Object.hasOwn(event.content, key));
    tx.run(
      insertEvent,
      nid,
      storedId(event.eventId),
      added.room,
      this.#types.intern(tx, event.type),
      event.stateKey === undefined ? 0 : this.#keys.intern(tx, event.stateKey),
      this.#keys.intern(tx, event.sender),
      event.originServerTs,
      event.depth,
      added.flags | (readInFull ? flag.readInFull : 0),
      isMember ? membershipCode(event.content.membership) : 0,
      added.snapshot,
      added.after === added.snapshot ? 0 : added.after,
      place?.slot ?? null,
      place?.live ?? null,
      packList(auth),
      prev === undefined ? null : packList(prev),
    );
    tx.run(insertTexts, nid, texts.client, texts.rest);
    this.#auth.set(nid, auth);
    this.#parsed.set(nid, event);
    return texts.client;
  }

  /** Changes what an event's judgement decides. */
  updateJudged(tx: Tx, nid: EventNid, judged: Pick<NewEvent, 'flags' | 'snapshot' | 'after' | 'place'>): void {
    const after = judged.after === judged.snapshot ? 0 : judged.after;
    tx.run(
      updateJudged,
      judged.flags,
      judged.snapshot,
      after,
      judged.place?.slot ?? null,
      judged.place?.live ?? null,
      nid,
    );
  }

  /** Replaces the texts and says by which redaction (0: none any more). */
  updateRedacted(tx: Tx, nid: EventNid, redaction: EventNid, texts: StoredTexts): void {
    tx.run(updateTexts, texts.client, texts.rest, nid);
    tx.run(updateRedactedBy, redaction, nid);
  }

  /** Another redaction is the one in force; the texts stay. */
  updateRedactedBy(tx: Tx, nid: EventNid, redaction: EventNid): void {
    tx.run(updateRedactedBy, redaction, nid);
  }

  /** Notes why an event is rejected or soft-failed; undefined: it is neither. */
  setVerdictReason(tx: Tx, nid: EventNid, reason: string | undefined): void {
    if (reason === undefined) tx.run(deleteVerdict, nid);
    else tx.run(upsertVerdict, nid, reason);
  }

  verdictReason(snapshot: Snapshot, nid: EventNid): string {
    return snapshot.get(selectVerdict, nid)?.reason ?? '';
  }

  #storedOf(snapshot: Snapshot, row: StoredRow): StoredEvent {
    return {
      nid: row.nid as EventNid,
      eventId: eventIdFrom(row.event_id),
      room: row.room as RoomNid,
      type: this.#types.text(snapshot, row.type as TypeNid),
      stateKey: row.state_key === 0 ? null : this.#keys.text(snapshot, row.state_key as StateKeyNid),
      sender: this.#keys.text(snapshot, row.sender as StateKeyNid) as UserId,
      originServerTs: row.ts,
      depth: row.depth,
      client: row.client,
      snapshot: row.snapshot as SnapshotNid,
      outlier: (row.flags & flag.outlier) !== 0,
      rejected: (row.flags & flag.rejected) !== 0,
      softFailed: (row.flags & flag.softFailed) !== 0,
      redactedBy: row.redacted_by as EventNid,
      place: placeOf(row),
    };
  }
}

const placeOf = (row: MetaRow): Place | undefined =>
  row.slot === null
    ? undefined
    : { slot: asPosition(row.slot), live: row.live === 1 ? 1 : 0, depth: row.depth, nid: row.nid as EventNid };

const metaOf = (row: MetaRow): EventMeta => ({
  nid: row.nid as EventNid,
  eventId: eventIdFrom(row.event_id),
  room: row.room as RoomNid,
  type: row.type as TypeNid,
  key: row.state_key as StateKeyNid,
  sender: row.sender as StateKeyNid,
  ts: row.ts,
  depth: row.depth,
  flags: row.flags,
  membership: row.membership,
  snapshot: row.snapshot as SnapshotNid,
  after: (row.state_after === 0 ? row.snapshot : row.state_after) as SnapshotNid,
  redactedBy: row.redacted_by as EventNid,
  place: placeOf(row),
});

/** Room order of two places (INVARIANTS 12). */
export const comparePlaces = (a: Place, b: Place): number =>
  a.slot - b.slot || a.live - b.live || a.depth - b.depth || a.nid - b.nid;
