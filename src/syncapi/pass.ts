/**
 * One pass over the range (since, head] for one user, on one snapshot: what was found to look at (marks), and what was
 * looked up on the way. Linear and polylog differ only in how they find the marks; composing is the same for both, and
 * reads values from the snapshot alone (INVARIANTS 5). A mark where nothing is found in the end does no harm.
 */
import type { RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import {
  type ClientView,
  clientView,
  createBundle,
  type LocalMembership,
  type RoomReader,
} from '../roomserver/index.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import type { LazyMembers } from './lazy-members.ts';
import type { SyncRequest } from './request.ts';
import type { Counts, PushRuleSource, UserData } from './sources.ts';
import { startOfTime } from './token.ts';
import type { Wave } from './wave.ts';

/** What an operator chooses about responses. */
export interface SyncChoices {
  readonly timelineLimit: { readonly default: number; readonly max: number };
  /** The order of the events in an initial sync. */
  readonly initialTimeline: 'arrival' | 'graph';
  /** Whether a forgotten room is told to have been left to who has not been told yet. */
  readonly forgottenLeaves: boolean;
}

export interface PassParts extends SyncChoices {
  readonly rooms: RoomReader;
  readonly userData: UserData;
  readonly counts: Counts;
  readonly pushRules: PushRuleSource;
  readonly lazyMembers: LazyMembers;
}

/** A piece of work that offers, at every `yield`, to give the event loop its turn. */
export type Compose<T> = Generator<undefined, T, undefined>;

/** JSON text of a member of the response; `notable` when it alone is reason to answer. */
export interface Part {
  readonly text: string;
  readonly notable: boolean;
}

/** What to look at in a room. */
export const roomMarks = {
  /** Events entered the timeline, … */
  events: 1,
  /** … the current state moved, with an event or without: both bits where it isn't known which. */
  state: 2,
  changed: 3,
  receipts: 4,
  typing: 8,
  accountData: 16,
  all: 31,
} as const;

export class Pass {
  readonly snapshot: Snapshot;
  readonly parts: PassParts;
  readonly request: SyncRequest;
  readonly since: Position;
  readonly head: Position;
  readonly now: number;
  readonly view: ClientView;

  /** Marks. */
  readonly rooms = new Map<RoomNid, number>();
  readonly presence = new Set<UserId>();
  accountData = false;
  toDevice = false;
  deviceLists = false;
  keyCounts = false;

  /** Member events that this response carries, for the next one to leave out. */
  readonly sentMembers: { readonly room: RoomNid; readonly user: string; readonly event: number }[] = [];
  /** What passes at this head share; only short ones do. */
  readonly wave: Wave | undefined;
  /** Something to be written before the response may leave. */
  beforeReply: (() => Promise<void>) | undefined;

  readonly #rows = new Map<RoomNid, LocalMembership | undefined>();
  readonly #sharing = new Map<UserId, boolean>();
  #transitions: Map<RoomNid, LocalMembership[]> | undefined;
  #ignored: ReadonlySet<string> | undefined;
  #hasPartialRooms: boolean | undefined;
  #withAccountData: ReadonlySet<RoomId> | undefined;

  constructor(
    parts: PassParts,
    request: SyncRequest,
    snapshot: Snapshot,
    range: { readonly since: Position; readonly head: Position; readonly now: number },
    wave?: Wave,
  ) {
    this.parts = wave === undefined ? parts : { ...parts, rooms: wave.reader };
    this.wave = wave;
    this.request = request;
    this.snapshot = snapshot;
    this.since = range.since;
    this.head = range.head;
    this.now = range.now;
    const { user: userId, deviceId } = request;
    const bundle = createBundle(snapshot, this.parts.rooms, {
      userId,
      deviceId,
      now: range.now,
      ignored: this.ignored,
    });
    this.view = clientView({ userId, deviceId, now: range.now, withoutRoomId: true, bundle });
  }

  get user(): UserId {
    return this.request.user;
  }

  get initial(): boolean {
    return this.since === 0;
  }

  /** Everything that the user has is looked at, changed or not. */
  get complete(): boolean {
    return this.initial || this.request.fullState;
  }

  mark(room: RoomNid, marks: number): true {
    this.rooms.set(room, (this.rooms.get(room) ?? 0) | marks);
    return true;
  }

  /** The user's membership in a room as of the head of this pass. */
  row(room: RoomNid): LocalMembership | undefined {
    if (this.#rows.has(room)) return this.#rows.get(room);
    const row = this.parts.rooms.localMembershipAt(this.snapshot, this.user, room, this.head);
    this.#rows.set(room, row);
    return row;
  }

  isJoined(room: RoomNid): boolean {
    return this.row(room)?.membership === 'join';
  }

  /** Takes note of a membership as of the head that was read otherwise. */
  know(row: LocalMembership): void {
    this.#rows.set(row.room, row);
  }

  /** Whether news of the room's timeline or state may concern the user. */
  follows(room: RoomNid): boolean {
    return this.isJoined(room) || this.transitions.has(room);
  }

  /** The user's changes of membership within the range, oldest first. */
  get transitions(): ReadonlyMap<RoomNid, readonly LocalMembership[]> {
    if (this.#transitions !== undefined) return this.#transitions;
    this.#transitions = new Map();
    const rows = this.parts.rooms.localMembershipsBetween(this.snapshot, this.user, this.since, this.head);
    for (const row of rows) {
      const list = this.#transitions.get(row.room);
      if (list === undefined) this.#transitions.set(row.room, [row]);
      else list.push(row);
    }
    return this.#transitions;
  }

  get ignored(): ReadonlySet<string> {
    this.#ignored ??= this.parts.userData.ignoredUsers(this.snapshot, this.user);
    return this.#ignored;
  }

  /** Whether any room has partial state. */
  get hasPartialRooms(): boolean {
    return (this.#hasPartialRooms ??= this.parts.rooms.hasPartialRooms(this.snapshot));
  }

  /** Whether the user has account data for a room at all. */
  hasAccountData(roomId: RoomId): boolean {
    const { snapshot, user, head } = this;
    this.#withAccountData ??= new Set(this.parts.userData.accountDataRooms(snapshot, user, startOfTime, head));
    return this.#withAccountData.has(roomId);
  }

  /** Whether the user is, or has a room together with, another one as of the head. */
  sharesRoom(other: UserId): boolean {
    if (other === this.user) return true;
    let shares = this.#sharing.get(other);
    if (shares === undefined) {
      shares = this.parts.rooms.sharedRooms(this.snapshot, this.user, other).length > 0;
      this.#sharing.set(other, shares);
    }
    return shares;
  }
}
