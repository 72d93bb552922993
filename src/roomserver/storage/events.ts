/**
 * The store of events. An event is written once; later only its flags, state, place and redaction change. Parsed events and
 * auth NIDs are remembered by number.
 */
import { type HistoryVisibility, historyVisibilityIn } from '../../matrix/history-visibility.ts';
import { type Pdu, type RoomEvent, toRoomEvent } from '../../matrix/pdu.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import { joinFromStorage, pduTextFromStorage, splitForStorage } from '../../matrix/stored-event.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';
import { LruCache } from '../../util/lru.ts';
import { packList, unpackList } from '../../util/varint.ts';
import type { EventNid, Membership, StateKeyNid, StoredEvent, TypeNid } from '../types.ts';
import { originalOf } from './annotations.ts';
import * as rows from './event-rows.ts';
import type { EntryRow, EventMeta, NewEvent, StoredTexts } from './event-rows.ts';
import { type Counter, type Names, eventIdFrom, storedId } from './nids.ts';
import { RowMemory } from './row-memory.ts';
import { StoredEvents } from './stored-events.ts';

export class EventStore {
  readonly #counter: Counter;
  readonly #types: Names<TypeNid>;
  readonly #keys: Names<StateKeyNid>;
  /** Parsed events by NID; a redacted one under the negative number. */
  readonly #parsed = new LruCache<number, RoomEvent>({ max: 4_000 });
  readonly #auth = new LruCache<number, readonly EventNid[]>({ max: 20_000 });
  /** Codes of member events; they never change, not by a redaction either. */
  readonly #memberships = new LruCache<number, number>({ max: 50_000 });
  /** Every room version keeps them when it redacts. */
  readonly #visibilities = new LruCache<number, HistoryVisibility>({ max: 5_000 });

  readonly #rows = new RowMemory();
  readonly served: StoredEvents;

  constructor(counter: Counter, types: Names<TypeNid>, keys: Names<StateKeyNid>) {
    this.#counter = counter;
    this.served = new StoredEvents(types, keys);
    this.#types = types;
    this.#keys = keys;
  }

  /** What is held in memory, in entries. */
  get cached(): Record<'events' | 'auth' | 'memberships' | 'texts', number> {
    const { texts } = this.served.cached;
    return { events: this.#parsed.size, auth: this.#auth.size, memberships: this.#memberships.size, texts };
  }

  /** 0: not stored. */
  nidOf(snapshot: Snapshot, eventId: string): EventNid {
    const remembered = this.#rows.of(snapshot);
    const known = remembered?.nids.get(eventId);
    if (known !== undefined) return known;
    const nid = (snapshot.get(rows.selectNid, storedId(eventId))?.nid ?? 0) as EventNid;
    if (nid > 0) remembered?.nids.set(eventId, nid);
    return nid;
  }

  meta(snapshot: Snapshot, nid: EventNid): EventMeta | undefined {
    if (nid === 0) return undefined;
    const remembered = this.#rows.of(snapshot);
    const known = remembered?.metas.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(rows.selectMeta, nid);
    if (row === undefined) return undefined;
    const meta = rows.metaOf(row);
    remembered?.metas.set(nid, meta);
    return meta;
  }

  /** @throws Error when it is not stored */
  knownMeta(snapshot: Snapshot, nid: EventNid): EventMeta {
    const meta = this.meta(snapshot, nid);
    if (meta === undefined) throw new Error(`event ${nid} is missing`);
    return meta;
  }

  /** What a state says of an event; undefined: it is not stored. */
  entryOf(snapshot: Snapshot, eventId: string): EntryRow | undefined {
    return snapshot.get(rows.selectEntry, storedId(eventId));
  }

  /** Of a member event; undefined: it is none, or has no proper one. */
  membership(snapshot: Snapshot, nid: EventNid): Membership | undefined {
    let code = this.#memberships.get(nid);
    if (code === undefined) {
      code = this.knownMeta(snapshot, nid).membership;
      this.#memberships.set(nid, code);
    }
    return rows.membershipOfCode(code);
  }

  /** What an event says of the visibility of history. */
  visibility(snapshot: Snapshot, nid: EventNid, rules: RoomVersionRules): HistoryVisibility {
    let visibility = this.#visibilities.get(nid);
    if (visibility === undefined) {
      visibility = historyVisibilityIn(this.parsed(snapshot, nid, rules).content);
      this.#visibilities.set(nid, visibility);
    }
    return visibility;
  }

  stored(snapshot: Snapshot, nid: EventNid): StoredEvent | undefined {
    if (nid === 0) return undefined;
    const meta = this.#rows.of(snapshot)?.metas.get(nid);
    return meta === undefined ? this.served.get(snapshot, nid) : this.served.ofMeta(snapshot, meta);
  }

  /** NIDs of the event's auth events, in the order cited. */
  authNids(snapshot: Snapshot, nid: EventNid): readonly EventNid[] {
    const known = this.#auth.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(rows.selectAuth, nid);
    if (row === undefined) throw new Error(`event ${nid} is missing`);
    const auth = unpackList(row.auth) as EventNid[];
    this.#auth.set(nid, auth);
    return auth;
  }

  /** The texts as they are stored: `rest` may lack what the numbers tell. */
  texts(snapshot: Snapshot, nid: EventNid): StoredTexts {
    const row = snapshot.get(rows.selectTexts, nid);
    if (row === undefined) throw new Error(`event ${nid} is missing`);
    return row;
  }

  /** The event parsed, redacted when a redaction is in force. */
  parsed(snapshot: Snapshot, nid: EventNid, rules: RoomVersionRules, meta = this.knownMeta(snapshot, nid)): RoomEvent {
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
    const prev = snapshot.get(rows.selectPrev, nid)?.prev;
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
      JSON.stringify(nids.map((cited) => eventIdFrom(snapshot.get(rows.selectEventId, cited)?.event_id ?? '')));
    const edges = `{"auth_events":${ids(this.authNids(snapshot, nid))},"prev_events":${ids(prev)}`;
    return { client, rest: rest === '{}' ? `${edges}}` : `${edges},${rest.slice(1)}` };
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
    const key = event.stateKey === undefined ? (0 as StateKeyNid) : this.#keys.intern(tx, event.stateKey);
    const isMember = event.type === 'm.room.member' && event.stateKey !== undefined;
    const readInFull =
      isMember &&
      ['third_party_invite', 'join_authorised_via_users_server'].some((key) => Object.hasOwn(event.content, key));
    const meta: EventMeta = {
      nid,
      eventId: event.eventId,
      room: added.room,
      type: this.#types.intern(tx, event.type),
      key,
      sender: event.sender === event.stateKey ? key : this.#keys.intern(tx, event.sender),
      ts: event.originServerTs,
      depth: event.depth,
      flags: added.flags | (readInFull ? rows.flag.readInFull : 0),
      membership: isMember ? rows.membershipCode(event.content.membership) : 0,
      snapshot: added.snapshot,
      after: added.after === 0 ? added.snapshot : added.after,
      redactedBy: 0 as EventNid,
      place: place && { ...place, depth: event.depth, nid },
    };
    tx.run(rows.insertEvent, ...rows.insertedValues(meta), packList(auth), prev === undefined ? null : packList(prev));
    tx.run(rows.insertTexts, nid, texts.client, texts.rest);
    // Outliers come by thousands, and most are never asked for again.
    if ((added.flags & rows.flag.outlier) !== 0) return texts.client;
    this.#auth.set(nid, auth);
    this.#parsed.set(nid, event);
    const remembered = this.#rows.of(tx);
    remembered?.nids.set(event.eventId, nid);
    remembered?.metas.set(nid, meta);
    this.served.added(meta, event, texts.client);
    return texts.client;
  }

  /** The highest number given out. */
  get lastNid(): number {
    return this.#counter.last;
  }

  /** Writes the ids of auth and prev events into the event's own JSON, because numbers will not tell them any more. */
  spellOut(tx: Tx, nid: EventNid, rules: RoomVersionRules): void {
    if (this.prevNids(tx, nid) === undefined) return;
    const { rest } = this.textsOf(this.parsed(tx, nid, rules), rules, undefined);
    if (originalOf(tx, nid) !== undefined) {
      const original = this.textsOf(this.forAuth(tx, nid, rules), rules, undefined);
      tx.run(rows.updateOriginalRest, original.rest, nid);
    }
    tx.run(rows.updateRest, rest, nid);
    tx.run(rows.clearPrev, nid);
  }

  /** Changes what an event's judgement decides. */
  updateJudged(tx: Tx, nid: EventNid, judged: Pick<NewEvent, 'flags' | 'snapshot' | 'after' | 'place'>): void {
    const after = judged.after === judged.snapshot ? 0 : judged.after;
    this.#rows.changed(nid);
    tx.run(
      rows.updateJudged,
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
    this.#rows.changed(nid);
    tx.run(rows.updateTexts, texts.client, texts.rest, nid);
    tx.run(rows.updateRedactedBy, redaction, nid);
  }

  /** Another redaction is the one in force; the texts stay. */
  updateRedactedBy(tx: Tx, nid: EventNid, redaction: EventNid): void {
    this.#rows.changed(nid);
    tx.run(rows.updateRedactedBy, redaction, nid);
  }

  /** Notes why an event is rejected or soft-failed; undefined: it is neither. */
  setVerdictReason(tx: Tx, nid: EventNid, reason: string | undefined): void {
    if (reason === undefined) tx.run(rows.deleteVerdict, nid);
    else tx.run(rows.upsertVerdict, nid, reason);
  }

  verdictReason(snapshot: Snapshot, nid: EventNid): string {
    return snapshot.get(rows.selectVerdict, nid)?.reason ?? '';
  }

  /** Rows were deleted. */
  forget(): void {
    this.#rows.clear();
  }
}
