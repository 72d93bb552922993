/**
 * The state after an event that is not here, or before one that stands on such, as another server tells it (S-S API v1.19
 * §GET /state_ids, §GET /state): by ids, of which single events are fetched; as a whole where most is missing. What comes
 * is stored as outliers.
 */
import type { EventId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { Slice } from '../../util/slice.ts';
import type { Room } from '../types.ts';
import type { AuthEvents } from './auth-events.ts';
import { EventBundle } from './bundle.ts';
import { type FetchParts, isStored, Shared, within } from './parts.ts';
import type { SingleEvents } from './single-events.ts';

/** Missing events up to which they are always asked for one by one. */
const mostSingles = 100;
/** An event asked for alone takes about as long as this many that come with others. */
const singleCosts = 20;
/** Events that are looked up in one go. */
const perLook = 500;
/** State and auth events of one answer. */
const mostIds = 300_000;
const errandMs = 5 * 60_000;

export class ToldStates {
  readonly #parts: FetchParts;
  readonly #singles: SingleEvents;
  readonly #auth: AuthEvents;
  readonly #shared = new Shared<readonly EventId[] | undefined>();
  readonly #stopping: AbortSignal;

  constructor(parts: FetchParts, singles: SingleEvents, auth: AuthEvents, stopping: AbortSignal) {
    this.#parts = parts;
    this.#singles = singles;
    this.#auth = auth;
    this.#stopping = stopping;
  }

  /** Ids of stored events that make up the state after an event; undefined when nobody told it. */
  after(room: Room, eventId: EventId, servers: readonly ServerName[]): Promise<readonly EventId[] | undefined> {
    return this.#shared.run(`${room.nid} ${eventId}`, async () => {
      const signal = within(errandMs, this.#stopping);
      let best: readonly EventId[] | undefined;
      for (const server of servers) {
        if (signal.aborted) break;
        const told = await this.#ask(room, eventId, server, servers, signal);
        if (told === undefined) continue;
        if (told.whole) return told.state;
        if (best === undefined || told.state.length > best.length) best = told.state;
      }
      return best;
    });
  }

  /**
   * The same before an event: a server that has come into the room with a join does not know what that stands on, but
   * what it was told of the state there.
   */
  async before(room: Room, eventId: EventId, servers: readonly ServerName[]): Promise<readonly EventId[] | undefined> {
    return (await this.after(room, eventId, servers))?.filter((id) => id !== eventId);
  }

  /**
   * Ids of stored events that make up the state after an event, all of it, as one server tells it.
   * @throws Error when it does not
   */
  async wholeAfter(room: Room, eventId: EventId, server: ServerName, signal: AbortSignal): Promise<readonly EventId[]> {
    const bounded = within(errandMs, AbortSignal.any([signal, this.#stopping]));
    const told = await this.#ask(room, eventId, server, [server], bounded);
    if (told === undefined) throw new Error('it does not tell the state');
    if (!told.whole) throw new Error('it does not give all events of the state');
    if ((await this.#missing([eventId])).size > 0)
      throw new Error('it does not give the event at which the state is asked for');
    return told.state;
  }

  /** What one server says; `whole` when no event of it is missing. */
  async #ask(
    room: Room,
    eventId: EventId,
    server: ServerName,
    servers: readonly ServerName[],
    signal: AbortSignal,
  ): Promise<{ readonly state: readonly EventId[]; readonly whole: boolean } | undefined> {
    const answer = await this.#parts.api.stateIds(server, room.roomId, eventId, { signal });
    if (!answer.ok) {
      this.#parts.log.debug(
        { room: room.roomId, event: eventId, server, fault: answer.error.kind },
        'no state was told',
      );
      return undefined;
    }
    const stateIds = answer.value.stateIds as readonly EventId[];
    const all = [...stateIds, ...(answer.value.authChainIds as readonly EventId[]), eventId];
    // "The fully resolved state for the room prior to considering any state changes induced by the requested event": a
    // state without a create event is none.
    if (all.length > mostIds || !this.#holdsCreate(room, stateIds)) return undefined;
    const missing = await this.#missing(all);
    const order = [server, ...servers.filter((other) => other !== server)];
    const events =
      missing.size > mostSingles && missing.size * singleCosts > all.length
        ? await this.#whole(room, eventId, server, missing, signal)
        : await this.#singles.fetch(room, [...missing], order, signal);
    if (events.length > 0) await this.#auth.storeOutliers(room, events, order, signal);
    const lacking = await this.#missing(missing);
    const state = lacking.size === 0 ? stateIds : stateIds.filter((id) => !lacking.has(id));
    // The event's own entry stands last and wins, unless it is none or rejected.
    return { state: lacking.has(eventId) ? state : [...state, eventId], whole: state.length === stateIds.length };
  }

  /** The state and its auth chain in one answer, stored; resolves with what could not be yet, and the event itself. */
  async #whole(
    room: Room,
    eventId: EventId,
    server: ServerName,
    missing: ReadonlySet<EventId>,
    signal: AbortSignal,
  ): Promise<RoomEvent[]> {
    const answer = await this.#parts.api.state(server, room.roomId, eventId, { signal });
    const bundle = new EventBundle(this.#parts, room, (id) => missing.has(id));
    if (answer.ok) {
      await bundle.add(answer.value.authChain);
      await bundle.add(answer.value.state);
    }
    const left = await bundle.end();
    return [...left, ...(await this.#singles.fetch(room, [...(await this.#missing([eventId]))], [server], signal))];
  }

  #holdsCreate(room: Room, ids: readonly EventId[]): boolean {
    const { db, rooms } = this.#parts;
    return db.read((snapshot) => {
      const create = rooms.stores.rooms.head(snapshot, room.nid).create_event;
      const eventId = create > 0 ? rooms.stores.events.meta(snapshot, create)?.eventId : undefined;
      return eventId !== undefined && ids.includes(eventId);
    });
  }

  async #missing(ids: Iterable<EventId>): Promise<Set<EventId>> {
    const { db, rooms } = this.#parts;
    const missing = new Set<EventId>();
    const waiting = [...ids];
    const slice = new Slice();
    for (let from = 0; from < waiting.length; from += perLook) {
      const part = waiting.slice(from, from + perLook);
      db.read((snapshot) => {
        for (const id of part) if (!isStored(rooms.stores, snapshot, id)) missing.add(id);
      });
      await slice.tick();
    }
    return missing;
  }
}
