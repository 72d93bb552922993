/**
 * The intake lane (INVARIANTS 3): events of one room as another server sent them go through checks 2 and 3, what they
 * stand on is fetched, and then they are judged and stored in short commits. Nothing here is decided for good: the
 * pipeline looks at everything again in its transaction.
 */
import type { EventId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { asPosition, type Tx } from '../../storage/index.ts';
import type { InputOptions, Verdict } from '../core.ts';
import type { Room } from '../types.ts';
import type { AuthEvents } from './auth-events.ts';
import type { MissingEvents } from './missing.ts';
import { storingOrder } from './order.ts';
import { type FetchParts, isInGraph, isStored, within } from './parts.ts';
import type { Recommendations } from './recommendations.ts';

/** What became of a received event; `waiting`: something it needs cannot be had now, another time it may. */
export type Outcome = Verdict | { readonly kind: 'waiting'; readonly reason: string };

/** Called in the commit in which a received event gets its verdict. */
export type Settle = (tx: Tx, eventId: EventId, outcome: Outcome) => void;

/** Events whose signatures are waited for together. */
const pieceSize = 25;
/** Time for all that is fetched for one batch. */
const batchMs = 120_000;

export class Intake {
  readonly #parts: FetchParts;
  readonly #missing: MissingEvents;
  readonly #auth: AuthEvents;
  readonly #recommendations: Recommendations;

  constructor(parts: FetchParts, missing: MissingEvents, auth: AuthEvents, recommendations: Recommendations) {
    this.#parts = parts;
    this.#missing = missing;
    this.#auth = auth;
    this.#recommendations = recommendations;
  }

  /** Begins with check 2 of events of a room that `receive` is about to be given: these very objects. */
  verifyAhead(room: Room, events: readonly RoomEvent[]): void {
    const { db, rooms, pdus } = this.#parts;
    const isNew = db.read((snapshot) => events.map(({ eventId }) => !isStored(rooms.stores, snapshot, eventId)));
    const fresh = events.filter((_event, index) => isNew[index]);
    for (const piece of piecesOf(fresh)) pdus.verifyAhead(piece, room.rules);
  }

  /**
   * Receives events that passed check 1, in the order in which they were sent. At most one call a room at a time.
   * Resolves with the outcome of each once it is committed, maybe not yet on disk; what is fetched besides is stored too.
   */
  async receive(
    room: Room,
    origin: ServerName,
    events: readonly RoomEvent[],
    signal?: AbortSignal,
    settle?: Settle,
  ): Promise<Map<EventId, Outcome>> {
    const outcomes = new Map<EventId, Outcome>();
    const limited = within(batchMs, signal);
    let left = this.#inOrder(room, events);
    let size = left === undefined ? events.length : pieceSize;
    left ??= events;
    // Where nothing has to be fetched, events are judged while later ones are verified.
    while (left.length > 0) {
      const found = await this.#receive(room, origin, left.slice(0, size), limited, settle);
      for (const [id, outcome] of found) outcomes.set(id, outcome);
      left = left.slice(size);
      if ([...found.values()].some(({ kind }) => kind === 'dropped' || kind === 'waiting')) size = left.length;
    }
    return outcomes;
  }

  /** Events that stand on nothing but each other and what we have, in an order for storing; undefined where they do not. */
  #inOrder(room: Room, events: readonly RoomEvent[]): readonly RoomEvent[] | undefined {
    const ordered = storingOrder(events);
    const atHand = new Map(ordered.map((event) => [event.eventId, event]));
    const isWhole = ordered.length === events.length && this.#missing.missingOf(room, ordered, atHand).length === 0;
    return isWhole ? ordered : undefined;
  }

  async #receive(
    room: Room,
    origin: ServerName,
    events: readonly RoomEvent[],
    limited: AbortSignal,
    settle: Settle | undefined,
  ): Promise<Map<EventId, Outcome>> {
    const outcomes = new Map<EventId, Outcome>();
    const verified = await this.#check(room, events, outcomes);
    const checked = this.#withoutHistory(room, verified, outcomes);
    const { pulled, told, withheld } = await this.#missing.fill(room, checked, origin, limited);
    for (const id of withheld) {
      outcomes.set(id, { kind: 'dropped', reason: 'the events that it stands on were not given' });
    }
    const pushed = checked.filter(({ eventId }) => !withheld.has(eventId));
    const batch = storingOrder([...pulled, ...pushed]);
    const servers = this.#parts.servers.inTurn(room, [origin]);
    const ready = await this.#auth.complete(room, batch, servers, limited);
    const { events: recommended, refused } = await this.#recommendations.of(room, ready);
    const options: InputOptions = {
      stateAfterMissing: told,
      notRecommended: refused,
      untilCommitted: true,
      onVerdict: (tx, { eventId }, verdict) => settle?.(tx, eventId, outcomeOf(verdict)),
    };
    const verdicts = await this.#parts.rooms.input(room.roomId, recommended, 'live', options);
    for (const { eventId } of pushed) outcomes.set(eventId, outcomeOf(verdicts.get(eventId)));
    return outcomes;
  }

  /**
   * Events of before our server's join that are known as part of the state or auth chain there, such as the invite that
   * was accepted, are history. Taken for news they would pull all that precedes them into timelines.
   */
  #withoutHistory(room: Room, events: readonly RoomEvent[], outcomes: Map<EventId, Outcome>): readonly RoomEvent[] {
    const { db, rooms } = this.#parts;
    return db.read((snapshot) => {
      const { begins } = rooms.stores.rooms.head(snapshot, room.nid);
      const [join] = begins === 0 ? [] : rooms.timelineBackward(snapshot, room.nid, begins, asPosition(begins - 1), 1);
      if (join === undefined) return events;
      return events.filter(({ eventId, depth }) => {
        if (depth >= join.depth) return true;
        const event = rooms.eventById(snapshot, eventId);
        if (event?.outlier !== true || event.rejected) return true;
        outcomes.set(eventId, { kind: 'accepted', nid: event.nid });
        return false;
      });
    });
  }

  /** Checks 2 and 3; what stands in the graph has passed them. Failures become outcomes. */
  async #check(room: Room, events: readonly RoomEvent[], outcomes: Map<EventId, Outcome>): Promise<RoomEvent[]> {
    const { db, rooms, pdus } = this.#parts;
    const isNew = db.read((snapshot) =>
      events.map((event) => pdus.isAhead(event) || !isInGraph(rooms.stores, snapshot, event.eventId)),
    );
    const verified = await pdus.verify(
      events.filter((_event, index) => isNew[index]),
      room.rules,
    );
    for (const { eventId, reason, transient } of verified.failed) {
      outcomes.set(eventId as EventId, { kind: transient ? 'waiting' : 'dropped', reason });
    }
    const passed = new Map(verified.events.map((event) => [event.eventId, event]));
    return events.flatMap((event, index) => (isNew[index] === true ? (passed.get(event.eventId) ?? []) : event));
  }
}

const piecesOf = (events: readonly RoomEvent[]): RoomEvent[][] =>
  Array.from({ length: Math.ceil(events.length / pieceSize) }, (_, at) =>
    events.slice(at * pieceSize, (at + 1) * pieceSize),
  );

/** No verdict: the event was left out because something it needs is missing, or forms a cycle. */
function outcomeOf(verdict: Verdict | undefined): Outcome {
  if (verdict === undefined) return { kind: 'waiting', reason: 'events that it cites cannot be had' };
  return verdict.kind === 'dropped' && verdict.lacks === true ? { kind: 'waiting', reason: verdict.reason } : verdict;
}
