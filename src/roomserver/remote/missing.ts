/**
 * What lies between events that were sent to us and what we know (S-S API v1.19 §POST /get_missing_events): missing prev
 * events become live events before their child (INVARIANTS 12). Behind those stays a gap, at which the state is told.
 */
import type { EventId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Room } from '../types.ts';
import { reachableFrom } from './order.ts';
import { type FetchParts, isInGraph } from './parts.ts';
import type { ToldStates } from './told-state.ts';

/** Events of one answer; an answer that is full is followed by another question. */
const perAnswer = 20;
const mostRounds = 5;
/** Events of one batch for which servers are asked. */
const mostAsking = 10;
/** Missing events at which the state is asked for. */
const mostStates = 20;
const mostEarliest = 20;
const timeoutMs = 30_000;

export interface Filled {
  /** Checked events between what we know and the batch. */
  readonly pulled: readonly RoomEvent[];
  /** The state after events that stay missing, by their ids. */
  readonly told: ReadonlyMap<EventId, readonly EventId[]>;
  /** Events of the batch whose prev events the servers did not give, though they answered. */
  readonly withheld: ReadonlySet<EventId>;
}

const nothingMissing: Filled = { pulled: [], told: new Map(), withheld: new Set() };

/** `answered`: at least one server did. */
interface Pulled {
  readonly events: readonly RoomEvent[];
  readonly answered: boolean;
}

export class MissingEvents {
  readonly #parts: FetchParts;
  readonly #states: ToldStates;

  constructor(parts: FetchParts, states: ToldStates) {
    this.#parts = parts;
    this.#states = states;
  }

  /** Looks for what a batch of checked events stands on. */
  async fill(room: Room, batch: readonly RoomEvent[], origin: ServerName, signal: AbortSignal): Promise<Filled> {
    const known = new Map(batch.map((event) => [event.eventId, event]));
    if (this.missingOf(room, batch, known).length === 0) return nothingMissing;
    const pulled: RoomEvent[] = [];
    const withheld = new Set<EventId>();
    let asking = 0;
    for (const event of batch) {
      if (this.missingOf(room, [event], known).length === 0) continue;
      asking += 1;
      if (asking > mostAsking || signal.aborted) break;
      const { events, answered } = await this.#pull(room, event, known, origin, signal);
      for (const found of events) {
        pulled.push(found);
        known.set(found.eventId, found);
      }
      // Who sends an event without what it stands on, though asked for it, may have something to hide there.
      if (answered && this.missingOf(room, [event], known).length > 0) withheld.add(event.eventId);
    }
    const told = new Map<EventId, readonly EventId[]>();
    // A partial room has a state to stand on; its resync asks.
    const isPartial = this.#parts.db.read((snapshot) => this.#parts.rooms.isPartial(snapshot, room.nid));
    const gaps = isPartial ? [] : this.missingOf(room, pulled, known).slice(0, mostStates);
    for (const id of gaps) {
      if (signal.aborted) break;
      const state = await this.#states.after(room, id, this.#parts.servers.inTurn(room, [origin]));
      if (state !== undefined) told.set(id, state);
    }
    return { pulled, told, withheld };
  }

  /** Prev events of some events that neither stand in the graph nor are among those at hand. */
  missingOf(room: Room, events: readonly RoomEvent[], atHand: ReadonlyMap<EventId, RoomEvent>): EventId[] {
    const cited = new Set(events.flatMap(({ prevEvents }) => prevEvents));
    const { db, rooms } = this.#parts;
    return db.read((snapshot) => [...cited].filter((id) => !atHand.has(id) && !isInGraph(rooms.stores, snapshot, id)));
  }

  async #pull(
    room: Room,
    event: RoomEvent,
    known: ReadonlyMap<EventId, RoomEvent>,
    origin: ServerName,
    signal: AbortSignal,
  ): Promise<Pulled> {
    let answered = false;
    const found = new Map<EventId, RoomEvent>();
    for (const server of this.#parts.servers.inTurn(room, [origin])) {
      const { events, answered: did } = await this.#pullFrom(room, event, known, server, signal);
      answered ||= did;
      for (const other of events) found.set(other.eventId, other);
      if (this.missingOf(room, [event], new Map([...known, ...found])).length === 0) break;
    }
    return { events: [...found.values()], answered };
  }

  async #pullFrom(
    room: Room,
    event: RoomEvent,
    known: ReadonlyMap<EventId, RoomEvent>,
    server: ServerName,
    signal: AbortSignal,
  ): Promise<Pulled> {
    const { api, pdus } = this.#parts;
    const found = new Map<EventId, RoomEvent>();
    let latest: readonly EventId[] = [event.eventId];
    for (let round = 0; round < mostRounds; round += 1) {
      // Depths are claimed by senders, and a fork may lie lower than what we know: they bound nothing.
      const wish = { earliest: this.#earliest(room), latest, limit: perAnswer, minDepth: 0 };
      const answer = await api.missingEvents(server, room.roomId, wish, { signal, timeoutMs });
      if (!answer.ok) {
        this.#parts.log.debug({ room: room.roomId, server, fault: answer.error.kind }, 'missing events were not given');
        return { events: [...found.values()], answered: round > 0 };
      }
      const texts = answer.value.slice(0, perAnswer);
      const checked = await pdus.check(texts, room.rules, {
        roomId: room.roomId,
        isKnown: (id) => this.#knows(id, known, found),
      });
      for (const other of reachableFrom([...event.prevEvents, ...latest, ...prevOf(found)], checked.events))
        found.set(other.eventId, other);
      latest = [...found.values()]
        .filter((other) => this.missingOf(room, [other], new Map([...known, ...found])).length > 0)
        .map(({ eventId }) => eventId);
      if (texts.length < perAnswer || latest.length === 0) break;
    }
    return { events: [...found.values()], answered: true };
  }

  #knows(id: EventId, known: ReadonlyMap<EventId, RoomEvent>, found: ReadonlyMap<EventId, RoomEvent>): boolean {
    const { db, rooms } = this.#parts;
    return known.has(id) || found.has(id) || db.read((snapshot) => isInGraph(rooms.stores, snapshot, id));
  }

  /** The forward extremities, the newest of them where there are too many. */
  #earliest(room: Room): EventId[] {
    const { db, rooms } = this.#parts;
    return db.read((snapshot) =>
      rooms
        .forwardExtremities(snapshot, room.nid)
        .slice(-mostEarliest)
        .map(({ eventId }) => eventId),
    );
  }
}

const prevOf = (events: ReadonlyMap<EventId, RoomEvent>): EventId[] =>
  [...events.values()].flatMap(({ prevEvents }) => prevEvents);
