/**
 * The state that a resolution builds up, and the view of it that the auth rules are given while one event is judged:
 * first the state itself, then the event's own auth events.
 */
import type { AuthEvent, AuthState } from '../auth-types.ts';
import { creatorsOf } from '../auth-power-levels.ts';
import type { RoomId, UserId, EventId } from '../ids.ts';
import type { RoomVersionRules } from '../room-versions.ts';
import type { AuthRecord, ConflictInput, ResolutionSource, UnconflictedState, Winners } from './source.ts';

/** State by tuple, laid over a base that stays untouched. */
export class WorkingState {
  readonly #byType = new Map<string, Map<string, number>>();
  readonly #base: Pick<UnconflictedState, 'get'> | undefined;

  /** Without a base it starts empty. */
  constructor(base: Pick<UnconflictedState, 'get'> | undefined) {
    this.#base = base;
  }

  get(type: string, stateKey: string): number | undefined {
    return this.#byType.get(type)?.get(stateKey) ?? this.#base?.get(type, stateKey);
  }

  set(type: string, stateKey: string, nid: number): void {
    const keys = this.#byType.get(type);
    if (keys === undefined) this.#byType.set(type, new Map([[stateKey, nid]]));
    else keys.set(stateKey, nid);
  }

  /** Takes back what was set. */
  unset(type: string, stateKey: string): void {
    this.#byType.get(type)?.delete(stateKey);
  }

  /** What was set, without the base. */
  *laidOver(): IterableIterator<number> {
    for (const keys of this.#byType.values()) yield* keys.values();
  }
}

/** Events as the auth rules want them: member events mostly from their records alone, without parsing. */
export class EventViews {
  readonly #views = new Map<number, AuthEvent | undefined>();
  readonly #source: ResolutionSource;
  readonly #founders: ReadonlySet<string>;

  constructor(source: ResolutionSource, rules: RoomVersionRules) {
    this.#source = source;
    const create = source.createNid === 0 ? undefined : source.event(source.createNid);
    this.#founders = create === undefined ? new Set() : creatorsOf(create, rules);
  }

  of(record: AuthRecord): AuthEvent | undefined {
    const { nid } = record;
    const known = this.#views.get(nid);
    if (known !== undefined || this.#views.has(nid)) return known;
    const view = this.#isPlainMember(record) ? this.#memberView(record) : this.#source.event(nid);
    this.#views.set(nid, view);
    return view;
  }

  /** A founder's join is judged by its prev_events too, which a record does not have. */
  #isPlainMember({ type, needsContent, membership, stateKey }: AuthRecord): boolean {
    if (type !== 'm.room.member' || needsContent) return false;
    return membership !== 'join' || !this.#founders.has(stateKey);
  }

  #memberView({ eventId, type, stateKey, sender, membership }: AuthRecord): AuthEvent {
    return {
      // Ids in the store have been checked when they came in.
      eventId: eventId as EventId,
      roomId: this.#source.roomId as RoomId,
      sender: sender as UserId,
      type,
      stateKey,
      content: memberContents(membership),
      prevEvents: [],
      redacts: undefined,
    };
  }
}

const sharedContents = new Map(
  ['join', 'leave', 'invite', 'ban', 'knock'].map((membership) => [membership, Object.freeze({ membership })]),
);

function memberContents(membership: string | undefined): AuthEvent['content'] {
  if (membership === undefined) return {};
  return sharedContents.get(membership) ?? { membership };
}

/** The state against which one event after another is judged ({@link judging} says which one). */
export class ReplayState implements AuthState {
  readonly state: WorkingState;
  readonly #source: ResolutionSource;
  readonly #views: EventViews;
  readonly #impliesCreate: boolean;
  #authNids: ArrayLike<number> = [];

  constructor(state: WorkingState, source: ResolutionSource, views: EventViews, rules: RoomVersionRules) {
    this.state = state;
    this.#source = source;
    this.#views = views;
    this.#impliesCreate = rules.roomIdIsCreateHash;
  }

  /** Makes these auth events stand in for what the state lacks; none by default. */
  judging(authNids: ArrayLike<number>): this {
    this.#authNids = authNids;
    return this;
  }

  get(type: string, stateKey: string): AuthEvent | undefined {
    const nid = this.state.get(type, stateKey);
    const inState = nid === undefined ? undefined : this.#accepted(nid);
    if (inState !== undefined) return this.#views.of(inState);
    // What the state lacks is taken from the event's auth events, unless they are rejected.
    for (let at = 0; at < this.#authNids.length; at++) {
      const record = this.#accepted(this.#authNids[at] ?? 0);
      if (record?.type === type && record.stateKey === stateKey) return this.#views.of(record);
    }
    // From version 12 on the room id cites the create event.
    if (!this.#impliesCreate || type !== 'm.room.create') return undefined;
    const create = this.#accepted(this.#source.createNid);
    return create && this.#views.of(create);
  }

  #accepted(nid: number): AuthRecord | undefined {
    const record = this.#source.record(nid);
    return record === undefined || record.rejected ? undefined : record;
  }
}

/** What was laid over the base, but for tuples that the unconflicted state decides. */
export function winnersOf(state: WorkingState, { source, unconflicted }: ConflictInput): Winners {
  const winners: AuthRecord[] = [];
  for (const nid of state.laidOver()) {
    const record = source.record(nid);
    if (record !== undefined && unconflicted.get(record.type, record.stateKey) === undefined) winners.push(record);
  }
  return winners;
}
