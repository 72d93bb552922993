/**
 * Who may see an event (C-S API v1.19 §Room History Visibility): a decision on the state at the event, for a user and
 * for a server. Where the values come from is the caller's business; INVARIANTS 17 says which they are.
 */
import { type JsonObject, asString, memberOf } from './json.ts';

const visibilities = ['world_readable', 'shared', 'invited', 'joined'] as const;
export type HistoryVisibility = (typeof visibilities)[number];

/** The visibility that the content of an `m.room.history_visibility` event sets; absent or not understood: `shared`. */
/** Events that only bring branches of a room's graph together; nobody is shown them. */
export const dummyType = 'org.matrix.dummy_event';

export function historyVisibilityIn(content: JsonObject | undefined): HistoryVisibility {
  const value = asString(memberOf(content, 'history_visibility'));
  return visibilities.find((visibility) => visibility === value) ?? 'shared';
}

/** Visibility and the viewer's membership in one state; `undefined` means that there is no member event. */
export interface ViewState {
  readonly visibility: HistoryVisibility;
  readonly membership: string | undefined;
}

/** What decides whether a viewer may see an event. */
export interface ViewCase {
  readonly before: ViewState;
  /**
   * The state after the event. It differs from `before` only for history visibility events and the viewer's own member
   * events, for which the laxer of the two counts.
   */
  readonly after: ViewState;
  /** The viewer joined at a later place in the room's order than the event's, or is joined now. */
  readonly joinedLater: boolean;
  /** The viewer is not joined now, and the event stands behind the last leave in the room's order. */
  readonly afterLastLeave: boolean;
}

/** Whether a user may see an event. */
export function mayView({ before, after, joinedLater, afterLastLeave }: ViewCase): boolean {
  // What is world-readable at the event is open to everyone.
  if (before.visibility === 'world_readable' || after.visibility === 'world_readable') return true;
  // Who has left sees nothing that came later, whatever branch of the graph it is on.
  if (afterLastLeave) return false;
  return admits(before, joinedLater) || admits(after, joinedLater);
}

function admits({ visibility, membership }: ViewState, joinedLater: boolean): boolean {
  // Who was joined at the event may see it.
  if (membership === 'join') return true;
  // `shared` is open to who joined at any time after it.
  if (visibility === 'shared') return joinedLater;
  // `invited` is open to who was invited then.
  return visibility === 'invited' && membership === 'invite';
}

/** What decides whether a server may be given an event over federation. */
export interface ServerViewCase {
  readonly before: HistoryVisibility;
  readonly after: HistoryVisibility;
  /** Memberships of the server's users in the states before and after the event. */
  readonly memberships: Iterable<string | undefined>;
  /** One of its users is joined now, or joined at a later place than the event's. */
  readonly joinedLater: boolean;
}

/** Whether a server may see an event: when one of its users may. What it may not see is served to it redacted. */
export function mayServerView({ before, after, memberships, joinedLater }: ServerViewCase): boolean {
  let strongest: string | undefined;
  for (const membership of memberships) {
    if (membership === 'join' || (membership === 'invite' && strongest !== 'join')) strongest = membership;
  }
  return mayView({
    before: { visibility: before, membership: strongest },
    after: { visibility: after, membership: strongest },
    joinedLater,
    afterLastLeave: false,
  });
}
