/**
 * History from before what we know (S-S API v1.19 §Backfilling and retrieving missing events): other servers are asked
 * for events before the room's backward extremities, nearest to the place where somebody reads. One errand a room at a
 * time, shared by all who read there; an extremity behind which nothing was found is left alone for a while.
 */
import { historyVisibilityIn } from '../../matrix/history-visibility.ts';
import { type EventId, type ServerName, serverNameOf, type UserId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { asPosition, type Position, type Snapshot } from '../../storage/index.ts';
import { type BackoffPolicy, nextPause } from '../../util/backoff.ts';
import { LruCache } from '../../util/lru.ts';
import { boundOf } from '../storage/event-rows.ts';
import { eventIdFrom } from '../storage/nids.ts';
import type { EventNid, Place, Room, RoomNid } from '../types.ts';
import type { AuthEvents } from './auth-events.ts';
import { reachableFrom, storingOrder } from './order.ts';
import { type FetchParts, isInGraph, within } from './parts.ts';
import type { ToldStates } from './told-state.ts';

export interface BackfillWish {
  /** Where the reader stands: only gaps at or before this place count. Default: the end of the room. */
  readonly before?: Place | Position | undefined;
  /** Only gaps right behind this event count. */
  readonly behind?: EventNid | undefined;
  /** Events that he wants. */
  readonly limit: number;
  /** The reader: gaps behind which history visibility would show him nothing are passed over. */
  readonly user?: UserId | undefined;
}

/** A prev event that is missing, and the event of the timeline before which it is. */
interface Extremity {
  readonly missing: EventId;
  readonly sender: UserId;
}

/** Missing events in one question. */
const mostExtremities = 5;
const leastEvents = 20;
const mostEvents = 100;
/** Missing events behind an answer at which the state is asked for. */
const mostStates = 10;
const errandMs = 60_000;
const policy: BackoffPolicy = { firstMs: 60_000, youngMaxMs: 600_000, youngMs: 3_600_000, maxMs: 3_600_000 };

export class Backfill {
  readonly #parts: FetchParts;
  readonly #auth: AuthEvents;
  readonly #states: ToldStates;
  readonly #underWay = new Map<RoomNid, Promise<boolean>>();
  readonly #failed = new LruCache<
    string,
    { readonly since: number; readonly pauseMs: number; readonly retryAt: number }
  >({
    max: 10_000,
  });

  constructor(parts: FetchParts, auth: AuthEvents, states: ToldStates) {
    this.#parts = parts;
    this.#auth = auth;
    this.#states = states;
  }

  /** True when the timeline has a gap at or before the place that is worth asking others about now. */
  isWorthwhile(room: Room, wish: BackfillWish): boolean {
    return this.#extremities(room, wish).length > 0;
  }

  /**
   * Fetches events before the nearest gap; resolves with whether something came (then read again, and call again if that
   * is not enough). Never rejects because of others.
   */
  backfill(room: Room, wish: BackfillWish, signal?: AbortSignal): Promise<boolean> {
    const known = this.#underWay.get(room.nid);
    if (known !== undefined) return known;
    const extremities = this.#extremities(room, wish);
    if (extremities.length === 0) return Promise.resolve(false);
    const limit = Math.min(Math.max(wish.limit, leastEvents), mostEvents);
    const work = this.#run(room, extremities, limit, within(errandMs, signal)).finally(() =>
      this.#underWay.delete(room.nid),
    );
    this.#underWay.set(room.nid, work);
    return work;
  }

  /**
   * Fetches one event, that need not be next to anything known, with some of what precedes it; true: something came. It
   * stands apart until what lies between is filled in.
   */
  async fetchApart(room: Room, eventId: EventId, server: ServerName, signal: AbortSignal): Promise<boolean> {
    const events = await this.#ask(room, [eventId], leastEvents, server, signal);
    return events.length > 0 && this.#store(room, events, server, signal, true);
  }

  async #run(room: Room, extremities: readonly Extremity[], limit: number, signal: AbortSignal): Promise<boolean> {
    const ids = extremities.map(({ missing }) => missing);
    const senders = extremities.map(({ sender }) => serverNameOf(sender));
    for (const server of this.#parts.servers.inTurn(room, senders)) {
      if (signal.aborted) break;
      const events = await this.#ask(room, ids, limit, server, signal);
      if (events.length > 0 && (await this.#store(room, events, server, signal))) return true;
    }
    // Nobody has said that there is nothing: our own end does not count against the gap.
    if (!signal.aborted) for (const id of ids) this.#noteFailure(room, id);
    return false;
  }

  /** Checked events before the gap, in an order in which they can be stored. */
  async #ask(
    room: Room,
    ids: readonly EventId[],
    limit: number,
    server: ServerName,
    signal: AbortSignal,
  ): Promise<RoomEvent[]> {
    const { api, db, rooms, pdus, log } = this.#parts;
    const answer = await api.backfill(server, room.roomId, ids, limit, { signal });
    if (!answer.ok) {
      log.debug({ room: room.roomId, server, fault: answer.error.kind }, 'no history was given');
      return [];
    }
    const isKnown = (id: EventId): boolean => db.read((snapshot) => isInGraph(rooms.stores, snapshot, id));
    const wish = { roomId: room.roomId, anyReferenceCount: true, isKnown };
    const { events } = await pdus.check(answer.value.slice(0, mostEvents), room.rules, wish);
    return storingOrder(reachableFrom(ids, events));
  }

  async #store(
    room: Room,
    events: readonly RoomEvent[],
    server: ServerName,
    signal: AbortSignal,
    apart = false,
  ): Promise<boolean> {
    const { servers, rooms } = this.#parts;
    const order = servers.inTurn(room, [server]);
    const ready = await this.#auth.complete(room, events, order, signal);
    const told = new Map<EventId, readonly EventId[]>();
    for (const id of this.#missing(ready).slice(0, mostStates)) {
      const state = await this.#states.after(room, id, order);
      if (state !== undefined) told.set(id, state);
    }
    const stateBefore = await this.#statesBefore(room, ready, told, order);
    const verdicts = await rooms.input(room.roomId, ready, 'backfilled', {
      stateAfterMissing: told,
      stateBefore,
      apart,
    });
    return [...verdicts.values()].some(({ kind }) => kind !== 'dropped');
  }

  /** The state before events that stand on what is missing, and at which nobody told the state. */
  async #statesBefore(
    room: Room,
    events: readonly RoomEvent[],
    told: ReadonlyMap<EventId, unknown>,
    order: readonly ServerName[],
  ): Promise<Map<EventId, readonly EventId[]>> {
    const untold = new Set(this.#missing(events).filter((id) => !told.has(id)));
    const found = new Map<EventId, readonly EventId[]>();
    const standing = events.filter(({ prevEvents }) => prevEvents.some((id) => untold.has(id)));
    for (const { eventId } of standing.slice(0, mostStates)) {
      const state = await this.#states.before(room, eventId, order);
      if (state !== undefined) found.set(eventId, state);
    }
    return found;
  }

  #missing(events: readonly RoomEvent[]): EventId[] {
    const atHand = new Set(events.map(({ eventId }) => eventId));
    const cited = new Set(events.flatMap(({ prevEvents }) => prevEvents));
    const { db, rooms } = this.#parts;
    return db.read((snapshot) => [...cited].filter((id) => !atHand.has(id) && !isInGraph(rooms.stores, snapshot, id)));
  }

  /** Gaps at or before a place, the nearest first. */
  #extremities(room: Room, { before, behind, user }: BackfillWish): Extremity[] {
    const { db, rooms, clock } = this.#parts;
    const upTo = before ?? asPosition(Number.MAX_SAFE_INTEGER);
    const now = clock.now();
    return db.read((snapshot) => {
      const found: { readonly place: Place; readonly gap: Extremity }[] = [];
      for (const { event_id, child } of rooms.stores.graph.missing(snapshot, room.nid)) {
        if (behind !== undefined && child !== behind) continue;
        const missing = eventIdFrom(event_id);
        if ((this.#failed.get(`${room.nid} ${missing}`)?.retryAt ?? 0) > now) continue;
        const event = rooms.event(snapshot, child as EventNid);
        if (event?.place === undefined || !isAtOrBefore(event.place, upTo)) continue;
        if (user !== undefined && !this.#maySeeBehind(snapshot, room, event.nid, user)) continue;
        found.push({ place: event.place, gap: { missing, sender: event.sender } });
      }
      const nearest = found.sort((a, b) => (isAtOrBefore(a.place, b.place) ? 1 : -1)).map(({ gap }) => gap);
      return nearest
        .filter(({ missing }, index) => nearest.findIndex((other) => other.missing === missing) === index)
        .slice(0, mostExtremities);
    });
  }

  /** Whether events before this one could be visible to the user, by the state before it. */
  #maySeeBehind(snapshot: Snapshot, room: Room, nid: EventNid, user: UserId): boolean {
    const { rooms } = this.#parts;
    const event = rooms.event(snapshot, nid);
    if (event === undefined) return false;
    const rule = rooms.stateEvent(snapshot, event.snapshot, 'm.room.history_visibility', '');
    const visibility = historyVisibilityIn(rule === 0 ? undefined : rooms.roomEvent(snapshot, rule).content);
    if (visibility === 'world_readable' || visibility === 'shared') return true;
    const member = rooms.stateEvent(snapshot, event.snapshot, 'm.room.member', user);
    const membership = member === 0 ? undefined : rooms.membershipOf(snapshot, member);
    return membership === 'join' || (visibility === 'invited' && membership === 'invite');
  }

  #noteFailure(room: Room, id: EventId): void {
    const key = `${room.nid} ${id}`;
    const now = this.#parts.clock.now();
    const known = this.#failed.get(key);
    const since = known?.since ?? now;
    const pauseMs = nextPause(policy, known?.pauseMs ?? 0, now - since, Math.random());
    this.#failed.set(key, { since, pauseMs, retryAt: now + pauseMs });
  }
}

function isAtOrBefore(place: Place, bound: Place | Position): boolean {
  const [a, b] = [boundOf(place), boundOf(bound)];
  for (const [index, part] of a.entries()) {
    const other = b[index] ?? 0;
    if (part !== other) return part < other;
  }
  return true;
}
