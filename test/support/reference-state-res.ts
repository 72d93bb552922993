/**
 * State resolution v2 and v2.1 written down straight from the definitions, with sets of events and no regard for speed:
 * what the real one is held against.
 */
import { authorise } from '../../src/matrix/event-auth.ts';
import { authTypesFor } from '../../src/matrix/auth-types.ts';
import { powerLevelOf, powerLevelsFrom } from '../../src/matrix/auth-power-levels.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { RoomVersionRules } from '../../src/matrix/room-versions.ts';

/** `type|stateKey` → event id. */
export type PlainState = ReadonlyMap<string, string>;

export interface ReferenceRoom {
  readonly rules: RoomVersionRules;
  readonly create: RoomEvent;
  readonly events: ReadonlyMap<string, RoomEvent>;
  readonly rejected: ReadonlySet<string>;
}

export const tupleOf = (event: RoomEvent): string => `${event.type}|${event.stateKey ?? ''}`;

const union = (sets: Iterable<Iterable<string>>): Set<string> => new Set([...sets].flatMap((set) => [...set]));

class Resolver {
  readonly #room: ReferenceRoom;
  readonly #chains = new Map<string, Set<string>>();

  constructor(room: ReferenceRoom) {
    this.#room = room;
  }

  event(id: string): RoomEvent {
    const event = this.#room.events.get(id);
    if (event === undefined) throw new Error(`no event ${id}`);
    return event;
  }

  authChain(id: string): Set<string> {
    const known = this.#chains.get(id);
    if (known !== undefined) return known;
    const { authEvents } = this.event(id);
    const chain = union([authEvents, ...authEvents.map((authId) => this.authChain(authId))]);
    this.#chains.set(id, chain);
    return chain;
  }

  fullConflictedSet(states: readonly PlainState[]): { full: Set<string>; unconflicted: Map<string, string> } {
    const tuples = union(states.map((state) => state.keys()));
    const unconflicted = new Map<string, string>();
    const conflicted = new Set<string>();
    for (const tuple of tuples) {
      const ids = new Set(states.map((state) => state.get(tuple)));
      const [id] = ids;
      if (ids.size === 1 && id !== undefined) unconflicted.set(tuple, id);
      else for (const one of ids) if (one !== undefined) conflicted.add(one);
    }
    const chains = states.map((state) =>
      union([state.values(), ...[...state.values()].map((id) => this.authChain(id))]),
    );
    const difference = [...union(chains)].filter((id) => !chains.every((chain) => chain.has(id)));
    const full = union([conflicted, difference]);
    if (this.#room.rules.stateResolution === 'v2.1') {
      const below = union([...conflicted].map((id) => this.authChain(id)));
      for (const id of below) if ([...this.authChain(id)].some((lower) => conflicted.has(lower))) full.add(id);
    }
    return { full, unconflicted };
  }

  citedLevels(event: RoomEvent): RoomEvent | undefined {
    return event.authEvents.map((id) => this.event(id)).find((cited) => tupleOf(cited) === 'm.room.power_levels|');
  }

  senderPower(event: RoomEvent): number {
    const { rules, create } = this.#room;
    return powerLevelOf(event.sender, powerLevelsFrom(create, this.citedLevels(event), rules));
  }

  isPowerEvent(event: RoomEvent): boolean {
    if (['m.room.power_levels|', 'm.room.join_rules|'].includes(tupleOf(event))) return true;
    const { membership } = event.content;
    return (
      event.type === 'm.room.member' &&
      (membership === 'leave' || membership === 'ban') &&
      event.sender !== event.stateKey
    );
  }

  powerOrder(full: ReadonlySet<string>): RoomEvent[] {
    const chosen = new Set([...full].filter((id) => this.isPowerEvent(this.event(id))));
    for (const id of chosen) for (const authId of this.event(id).authEvents) if (full.has(authId)) chosen.add(authId);
    const waiting = new Set(chosen);
    const sorted: RoomEvent[] = [];
    while (waiting.size > 0) {
      const ready = [...waiting]
        .map((id) => this.event(id))
        .filter(({ authEvents }) => !authEvents.some((id) => waiting.has(id)));
      ready.sort((a, b) => this.#compare(a, b, (event) => this.senderPower(event)));
      const [next] = ready;
      if (next === undefined) throw new Error('cycle');
      waiting.delete(next.eventId);
      sorted.push(next);
    }
    return sorted;
  }

  /** Descending by `weight`, then time, then id. */
  #compare(a: RoomEvent, b: RoomEvent, weight: (event: RoomEvent) => number): number {
    const [x, y] = [weight(a), weight(b)];
    if (x !== y) return x > y ? -1 : 1;
    return a.originServerTs - b.originServerTs || (a.eventId < b.eventId ? -1 : 1);
  }

  mainlineOrder(events: RoomEvent[], head: RoomEvent | undefined): RoomEvent[] {
    const mainline: string[] = [];
    for (let link = head; link !== undefined; link = this.citedLevels(link)) mainline.push(link.eventId);
    const position = (event: RoomEvent): number => {
      for (let link = this.citedLevels(event); link !== undefined; link = this.citedLevels(link)) {
        if (mainline.includes(link.eventId)) return mainline.indexOf(link.eventId);
      }
      return Infinity;
    };
    return [...events].sort((a, b) => this.#compare(a, b, position));
  }

  admit(state: Map<string, string>, events: readonly RoomEvent[]): void {
    const { rules, create, rejected } = this.#room;
    for (const event of events) {
      const judged = new Map<string, RoomEvent>([['m.room.create|', create]]);
      for (const id of event.authEvents) if (!rejected.has(id)) judged.set(tupleOf(this.event(id)), this.event(id));
      for (const [type, key] of authTypesFor(event, rules)) {
        const id = state.get(`${type}|${key}`);
        if (id !== undefined) judged.set(`${type}|${key}`, this.event(id));
      }
      const verdict = authorise(event, { get: (type, key) => judged.get(`${type}|${key}`) }, rules);
      if (verdict.allowed && !rejected.has(event.eventId)) state.set(tupleOf(event), event.eventId);
    }
  }

  resolve(states: readonly PlainState[]): PlainState {
    const { full, unconflicted } = this.fullConflictedSet(states);
    const state = this.#room.rules.stateResolution === 'v2.1' ? new Map<string, string>() : new Map(unconflicted);
    const first = this.powerOrder(full);
    this.admit(state, first);
    const done = new Set<string>(first.map(({ eventId }) => eventId));
    const others = [...full].filter((id) => !done.has(id)).map((id) => this.event(id));
    const head = state.get('m.room.power_levels|');
    this.admit(state, this.mainlineOrder(others, head === undefined ? undefined : this.event(head)));
    return new Map([...state, ...unconflicted]);
  }
}

export const referenceResolve = (states: readonly PlainState[], room: ReferenceRoom): PlainState =>
  new Resolver(room).resolve(states);
