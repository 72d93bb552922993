/**
 * Rooms for tests without keys and hashes: events with free ids (`$A`), and a graph of them that keeps the state at
 * every event as a server would, with the auth events that a server would choose.
 */
import { authTypesFor, membershipIn } from '../../src/matrix/auth-types.ts';
import { authorise, authStateOf, checkAuthEvents } from '../../src/matrix/event-auth.ts';
import type { EventId, RoomId, UserId } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu, RoomEvent } from '../../src/matrix/pdu.ts';
import { type RoomVersionRules, roomVersions } from '../../src/matrix/room-versions.ts';
import {
  type AuthRecord,
  type ResolutionSource,
  type StateMap,
  resolveState,
} from '../../src/matrix/state-res/index.ts';

/** What a test says about an event; the rest is filled in. */
export interface EventDraft {
  readonly type: string;
  readonly sender: string;
  readonly stateKey?: string;
  readonly content?: JsonObject;
  readonly prev?: readonly string[];
  readonly auth?: readonly string[];
  readonly ts?: number;
  readonly depth?: number;
  readonly redacts?: string;
  readonly roomId?: string;
  readonly topLevel?: JsonObject;
}

export const rulesOf = (version: string): RoomVersionRules => {
  const rules = roomVersions.get(version);
  if (rules === undefined) throw new Error(`no room version ${version}`);
  return rules;
};

export const createId = '$create:h1';

/** The room of all test events: `!create:h1` is both of server h1 and, for version 12, made of the id `$create:h1`. */
export const testRoomId = '!create:h1';

export function makeEvent(eventId: string, draft: EventDraft): RoomEvent {
  const content = draft.content ?? {};
  const originServerTs = draft.ts ?? 0;
  const { type, sender } = draft;
  const pdu: Pdu = { type, sender, content, origin_server_ts: originServerTs, ...draft.topLevel };
  return {
    eventId: eventId as EventId,
    roomId: (draft.roomId ?? testRoomId) as RoomId,
    type,
    stateKey: draft.stateKey,
    sender: sender as UserId,
    content,
    originServerTs,
    depth: draft.depth ?? 1,
    prevEvents: (draft.prev ?? []) as readonly EventId[],
    authEvents: (draft.auth ?? []) as readonly EventId[],
    redacts: draft.redacts as EventId | undefined,
    pdu,
  };
}

export const member = (user: string, membership: string, more: Partial<EventDraft> = {}): EventDraft => ({
  type: 'm.room.member',
  sender: user,
  stateKey: user,
  ...more,
  content: { membership, ...more.content },
});

/** State as `type|stateKey` → event id, in sorted order: what tests compare. */
export type StateIds = Record<string, string>;

interface Node {
  readonly event: RoomEvent;
  readonly record: AuthRecord;
  readonly after: StateMap;
}

const emptyState: StateMap = new Map();

function withEntry(state: StateMap, type: string, stateKey: string, nid: number): StateMap {
  return new Map([...state, [type, new Map([...(state.get(type) ?? []), [stateKey, nid]])]]);
}

/** A room's event graph. NIDs are given in order of arrival. */
export class RoomDag implements ResolutionSource {
  readonly rules: RoomVersionRules;
  roomId = testRoomId;
  createNid = 0;
  readonly #nodes: Node[] = [];
  readonly #nidById = new Map<string, number>();
  #extremities = new Set<string>();

  constructor(version: string) {
    this.rules = rulesOf(version);
  }

  record(nid: number): AuthRecord | undefined {
    return this.#nodes[nid - 1]?.record;
  }

  event(nid: number): RoomEvent | undefined {
    return this.#nodes[nid - 1]?.event;
  }

  /** All events in order of arrival. */
  get events(): RoomEvent[] {
    return this.#nodes.map(({ event }) => event);
  }

  nid(eventId: string): number {
    const nid = this.#nidById.get(eventId);
    if (nid === undefined) throw new Error(`no event ${eventId}`);
    return nid;
  }

  isRejected(eventId: string): boolean {
    return this.record(this.nid(eventId))?.rejected === true;
  }

  stateAfter(eventId: string): StateMap {
    return this.#nodes[this.nid(eventId) - 1]?.after ?? emptyState;
  }

  /** The state that an event with these previous events stands on. */
  stateBehind(prev: Iterable<string>): StateMap {
    const states = [...prev].map((id) => this.stateAfter(id));
    return states.length === 0 ? emptyState : resolveState(states, this, this.rules);
  }

  currentState(): StateMap {
    return this.stateBehind(this.#extremities);
  }

  /**
   * Makes an event as its sender's server would: `prev` are the forward extremities unless given, `auth` is chosen from
   * the state there unless given, `ts` is the number of the event.
   */
  build(eventId: string, draft: EventDraft): RoomEvent {
    const prev = draft.prev ?? [...this.#extremities];
    const before = this.stateBehind(prev);
    const unauthorised = makeEvent(eventId, draft);
    const auth = draft.auth ?? this.#chooseAuth(unauthorised, before);
    const depth = draft.depth ?? Math.max(0, ...prev.map((id) => this.event(this.nid(id))?.depth ?? 0)) + 1;
    return makeEvent(eventId, { ...draft, prev, auth, depth, ts: draft.ts ?? this.#nodes.length + 1 });
  }

  #chooseAuth(event: RoomEvent, state: StateMap): string[] {
    const chosen = authTypesFor(event, this.rules).map(([type, key]) => state.get(type)?.get(key) ?? 0);
    return chosen.flatMap((nid) => this.event(nid)?.eventId ?? []);
  }

  /** Builds an event and receives it. */
  add(eventId: string, draft: EventDraft): RoomEvent {
    const event = this.build(eventId, draft);
    this.receive(event);
    return event;
  }

  /** Whether the auth rules allow an event by its auth events and by the state before it. */
  isAllowed(event: RoomEvent): boolean {
    const cited = event.authEvents.map((id) => {
      const nid = this.nid(id);
      return { event: this.#mustEvent(nid), rejected: this.record(nid)?.rejected === true };
    });
    const { rules } = this;
    if (!checkAuthEvents(event, cited, rules).allowed) return false;
    const create = this.createNid === 0 ? [] : [this.#mustEvent(this.createNid)];
    const citedState = authStateOf([...create, ...cited.map((entry) => entry.event)]);
    if (!authorise(event, citedState, rules).allowed) return false;
    const before = this.stateBehind(event.prevEvents);
    const stateBefore = { get: (type: string, key: string) => this.event(before.get(type)?.get(key) ?? 0) };
    return authorise(event, stateBefore, rules).allowed;
  }

  #mustEvent(nid: number): RoomEvent {
    const event = this.event(nid);
    if (event === undefined) throw new Error(`no event ${nid}`);
    return event;
  }

  /** Takes in an event whose previous and auth events are here; whether it is rejected is judged. */
  receive(event: RoomEvent): void {
    const rejected = !this.isAllowed(event);
    const before = this.stateBehind(event.prevEvents);
    const nid = this.#nodes.length + 1;
    const { eventId, type, stateKey, sender, originServerTs, depth } = event;
    const isMember = type === 'm.room.member';
    const record: AuthRecord = {
      ...{ nid, eventId, type, sender, originServerTs, depth, rejected, stateKey: stateKey ?? '' },
      membership: isMember ? membershipIn(event.content) : undefined,
      needsContent: 'third_party_invite' in event.content || 'join_authorised_via_users_server' in event.content,
      authNids: event.authEvents.map((id) => this.nid(id)),
    };
    const after = stateKey === undefined || rejected ? before : withEntry(before, type, stateKey, nid);
    this.#nodes.push({ event, record, after });
    this.#nidById.set(eventId, nid);
    if (type === 'm.room.create') this.createNid = nid;
    if (rejected) return;
    for (const id of event.prevEvents) this.#extremities.delete(id);
    this.#extremities.add(eventId);
  }

  ids(state: StateMap): StateIds {
    const entries = [...state].flatMap(([type, keys]) =>
      [...keys].map(([key, nid]): [string, string] => [`${type}|${key}`, this.event(nid)?.eventId ?? '']),
    );
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** A state with the entries of some events put into it, whatever the graph says: how faulty servers answer. */
  override(state: StateMap, ...eventIds: string[]): StateMap {
    return eventIds.reduce((result, id) => {
      const nid = this.nid(id);
      const { type, stateKey } = this.#mustEvent(nid);
      return withEntry(result, type, stateKey ?? '', nid);
    }, state);
  }
}

/** Receives the events of a room in another order; after every `batch` events the current state is asked for. */
export function receiveAgain(version: string, events: readonly RoomEvent[], batch: number): RoomDag {
  const dag = new RoomDag(version);
  events.forEach((event, at) => {
    dag.receive(event);
    if ((at + 1) % batch === 0) dag.currentState();
  });
  return dag;
}

/** A topological order of the events, chosen by `pick` among those that may come next (a number from 0 up to its argument). */
export function reorder(events: readonly RoomEvent[], pick: (below: number) => number): RoomEvent[] {
  const waiting = [...events];
  const here = new Set<string>();
  const ordered: RoomEvent[] = [];
  while (waiting.length > 0) {
    const ready = waiting.filter(({ prevEvents, authEvents }) =>
      [...prevEvents, ...authEvents].every((id) => here.has(id)),
    );
    const next = ready[pick(ready.length)];
    if (next === undefined) throw new Error('the graph has a cycle');
    waiting.splice(waiting.indexOf(next), 1);
    here.add(next.eventId);
    ordered.push(next);
  }
  return ordered;
}
