/**
 * Who may see which event (INVARIANTS 17): history visibility and the viewer's membership in the states before and after
 * each event, his joins and leaves from the local membership history. Worked out for a batch of one room's events; events
 * on the same snapshot share the look-ups.
 */
import {
  dummyType,
  type HistoryVisibility,
  type ViewState,
  historyVisibilityIn,
  mayView,
} from '../matrix/history-visibility.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import { isInForce } from './input/annotate.ts';
import { emptyKey, types } from './storage/nids.ts';
import type { Stores } from './stores.ts';
import type { EventNid, Membership, Room, RoomNid, SnapshotNid, StateKeyNid, StoredEvent } from './types.ts';

class View {
  readonly #stores: Stores;
  readonly #snapshot: Snapshot;
  readonly #room: Room;
  readonly #userNid: StateKeyNid;
  readonly #user: UserId;
  readonly #joinedNow: boolean;
  /** Slots of the viewer's last join and last leave, 0: none. */
  readonly #lastJoin: Position | 0;
  readonly #lastLeave: Position | 0;
  readonly #states = new Map<SnapshotNid, ViewState>();
  readonly #memberships = new Map<SnapshotNid, Membership | undefined>();

  constructor(stores: Stores, snapshot: Snapshot, user: UserId, room: RoomNid) {
    this.#stores = stores;
    this.#snapshot = snapshot;
    this.#room = stores.rooms.byNid(snapshot, room);
    this.#user = user;
    this.#userNid = stores.keys.find(snapshot, user);
    this.#joinedNow = stores.members.member(snapshot, room, user)?.membership === 'join';
    const rows = this.#joinedNow ? [] : stores.members.local.ofRoom(snapshot, user, room);
    this.#lastJoin = rows.findLast(({ membership }) => membership === 'join')?.position ?? 0;
    this.#lastLeave = rows.findLast(({ membership }) => membership === 'leave' || membership === 'ban')?.position ?? 0;
  }

  mayView(event: StoredEvent): boolean {
    const slot = event.place?.slot;
    if (slot === undefined || event.type === dummyType) return false;
    if (event.type === 'm.room.redaction' && event.stateKey === null && !this.#mayRedact(event)) return false;
    const afterLastLeave = !this.#joinedNow && this.#lastLeave > 0 && slot > this.#lastLeave;
    // Whatever the visibility, who was joined may see it; most events are looked at by members.
    if (!afterLastLeave && this.#membershipAt(event.snapshot) === 'join') return true;
    const before = this.#stateAt(event.snapshot);
    const differs =
      event.stateKey !== null &&
      (event.type === 'm.room.history_visibility' || (event.type === 'm.room.member' && event.stateKey === this.#user));
    return mayView({
      before,
      after: differs ? this.#stateAt(event.after) : before,
      joinedLater: this.#joinedNow || this.#lastJoin > slot,
      afterLastLeave,
    });
  }

  /**
   * Redactions "should not be sent to clients until both the redaction event and the event the redaction affects have been
   * received, and can be validated" (room versions 3 on; before, the auth rules have validated them).
   */
  #mayRedact({ nid }: StoredEvent): boolean {
    const { events } = this.#stores;
    const { redacts } = events.parsed(this.#snapshot, nid, this.#room.rules);
    // It was redacted itself, or names nothing.
    if (redacts === undefined) return true;
    const target = events.meta(this.#snapshot, events.nidOf(this.#snapshot, redacts));
    if (target === undefined) return this.#room.rules.redactionAuthRule;
    if (target.room !== this.#room.nid) return false;
    if (this.#room.rules.redactionAuthRule) return true;
    return isInForce(this.#stores, this.#snapshot, this.#room, events.knownMeta(this.#snapshot, nid), target);
  }

  #stateAt(state: SnapshotNid): ViewState {
    const known = this.#states.get(state);
    if (known !== undefined) return known;
    const view = { visibility: this.#visibilityAt(state), membership: this.#membershipAt(state) };
    this.#states.set(state, view);
    return view;
  }

  #membershipAt(state: SnapshotNid): Membership | undefined {
    if (this.#memberships.has(state)) return this.#memberships.get(state);
    const { states, events } = this.#stores;
    const member = states.get(this.#snapshot, state, types.member, this.#userNid) as EventNid;
    const membership = member === 0 ? undefined : events.membership(this.#snapshot, member);
    this.#memberships.set(state, membership);
    return membership;
  }

  #visibilityAt(state: SnapshotNid): HistoryVisibility {
    const { states, events } = this.#stores;
    const nid = states.get(this.#snapshot, state, types.historyVisibility, emptyKey) as EventNid;
    return nid === 0 ? historyVisibilityIn(undefined) : events.visibility(this.#snapshot, nid, this.#room.rules);
  }
}

/** Those events of one room that the user may see, in their order. */
export function visibleTo(
  stores: Stores,
  snapshot: Snapshot,
  user: UserId,
  events: readonly StoredEvent[],
): StoredEvent[] {
  const [first] = events;
  if (first === undefined) return [];
  const view = new View(stores, snapshot, user, first.room);
  return events.filter((event) => view.mayView(event));
}
