/**
 * Auth events that are missing here (S-S API v1.19 §Retrieving event authorisation information): fetched with their own
 * auth events and stored as outliers before what cites them (INVARIANTS 9). Bounded in number, depth and time: an event
 * whose auth events cannot be had is left to be tried again.
 */
import type { EventId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Room } from '../types.ts';
import { sortByReferences } from './order.ts';
import { type FetchParts, isStored } from './parts.ts';
import type { SingleEvents } from './single-events.ts';

/** Rounds of asking for single events, each one step deeper; in between whole chains are asked for. */
const mostRounds = 8;
const chainRound = 2;
/** More missing events than this are asked for as a chain. */
const mostSingles = 50;
/** Events fetched for one batch. */
const mostFetched = 5000;
/** Events whose whole chain is asked for. */
const mostChains = 3;

const authEventsOf = ({ authEvents }: RoomEvent): readonly EventId[] => authEvents;

export class AuthEvents {
  readonly #parts: FetchParts;
  readonly #singles: SingleEvents;

  constructor(parts: FetchParts, singles: SingleEvents) {
    this.#parts = parts;
    this.#singles = singles;
  }

  /**
   * Stores what the auth chains of a batch lack, from `at hand` and from servers; resolves with those events whose auth
   * events are all stored or in the batch.
   */
  async complete(
    room: Room,
    batch: readonly RoomEvent[],
    servers: readonly ServerName[],
    signal: AbortSignal,
    atHand: readonly RoomEvent[] = [],
  ): Promise<RoomEvent[]> {
    const inBatch = new Set(batch.map(({ eventId }) => eventId));
    const pool = new Map(atHand.filter(({ eventId }) => !inBatch.has(eventId)).map((event) => [event.eventId, event]));
    const has = (id: EventId): boolean => inBatch.has(id) || pool.has(id);
    const asked = new Set<EventId>();
    let citing: readonly RoomEvent[] = [...batch, ...pool.values()];
    for (let round = 0; round < mostRounds && asked.size < mostFetched && !signal.aborted; round += 1) {
      const missing = this.#missing(citing, (id) => has(id) || asked.has(id));
      if (missing.length === 0 && round === 0 && pool.size === 0) return [...batch];
      if (missing.length === 0) break;
      const wholeChains = round === chainRound || missing.length > mostSingles;
      const lacking = batch.length > 0 ? batch : [...pool.values()];
      const chains = wholeChains ? await this.#chains(room, lacking, servers, signal) : [];
      const left = missing.filter((id) => !chains.some(({ eventId }) => eventId === id)).slice(0, mostSingles);
      for (const id of left) asked.add(id);
      const found = [...chains, ...(await this.#singles.fetch(room, left, servers, signal))];
      citing = found.filter(({ eventId }) => !has(eventId));
      for (const event of citing) pool.set(event.eventId, event);
      if (citing.length === 0) break;
    }
    if (pool.size > 0) await this.#store(room, [...pool.values()]);
    return this.#complete(batch, inBatch);
  }

  /** Stores events as outliers, and what their auth chains lack. What lacks an auth event in the end is not stored. */
  async storeOutliers(
    room: Room,
    events: readonly RoomEvent[],
    servers: readonly ServerName[],
    signal: AbortSignal,
  ): Promise<void> {
    await this.complete(room, [], servers, signal, events);
  }

  async #store(room: Room, events: readonly RoomEvent[]): Promise<void> {
    await this.#parts.rooms.input(room.roomId, sortByReferences(events, authEventsOf), 'outlier');
  }

  #missing(citing: readonly RoomEvent[], has: (id: EventId) => boolean): EventId[] {
    const cited = new Set(citing.flatMap(authEventsOf));
    const { stores } = this.#parts.rooms;
    return this.#parts.db.read((snapshot) => [...cited].filter((id) => !has(id) && !isStored(stores, snapshot, id)));
  }

  #complete(batch: readonly RoomEvent[], inBatch: ReadonlySet<EventId>): RoomEvent[] {
    const { stores } = this.#parts.rooms;
    return this.#parts.db.read((snapshot) =>
      batch.filter(({ authEvents }) => authEvents.every((id) => inBatch.has(id) || isStored(stores, snapshot, id))),
    );
  }

  /** The auth chains of those events of a batch that lack some of theirs. */
  async #chains(
    room: Room,
    batch: readonly RoomEvent[],
    servers: readonly ServerName[],
    signal: AbortSignal,
  ): Promise<RoomEvent[]> {
    const { api, db, pdus, rooms } = this.#parts;
    const lacking = batch.filter((event) => this.#missing([event], () => false).length > 0).slice(0, mostChains);
    const found: RoomEvent[] = [];
    for (const { eventId } of lacking) {
      for (const server of servers) {
        const answer = await api.eventAuth(server, room.roomId, eventId, { signal });
        if (!answer.ok) continue;
        const isKnown = (id: EventId): boolean => db.read((snapshot) => isStored(rooms.stores, snapshot, id));
        const wish = { roomId: room.roomId, anyReferenceCount: true, isKnown };
        found.push(...(await pdus.check(answer.value.slice(0, mostFetched), room.rules, wish)).events);
        break;
      }
    }
    return found;
  }
}
