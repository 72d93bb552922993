/**
 * What the inside of the roomserver offers to `perform/*` and `query/*`, and through them to the modules above. All of
 * it is synchronous: whoever holds a transaction holds the room's commit lane (INVARIANTS 3), because a transaction
 * callback cannot be interrupted. Only `prepare` and `input` may take time.
 */
import type { EventId, RoomId, ServerName, UserId } from '../matrix/ids.ts';
import type { Pdu, RoomEvent } from '../matrix/pdu.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import type { Position, Snapshot, Tx } from '../storage/index.ts';
import type {
  ChildEvent,
  EventNid,
  HostInterval,
  LocalMembership,
  Membership,
  Place,
  ProtoEvent,
  Room,
  RoomNid,
  SnapshotNid,
  StateChange,
  StateEntry,
  StoredEvent,
} from './types.ts';

export interface CreateArguments {
  readonly version: string;
  readonly sender: UserId;
  /** Content of the create event, without `room_version` (it is added). */
  readonly content: Record<string, unknown>;
  /** An id of `newRoomId`, for versions whose room ids are random. */
  readonly roomId?: RoomId | undefined;
}

export interface SendOptions {
  /** Device and transaction id, for `unsigned.transaction_id` on the sender's own device. */
  readonly deviceId?: string | undefined;
  readonly transactionId?: string | undefined;
}

/** Writing. A method that takes a Tx runs inside the caller's unit; it throws MatrixError and leaves nothing behind. */
export interface RoomWriter {
  /** An id for a room that is not made yet. */
  newRoomId(): RoomId;
  /** Makes a room with its create event. @throws M_UNSUPPORTED_ROOM_VERSION */
  createRoom(tx: Tx, args: CreateArguments): Room;
  /**
   * Builds an event on the room's forward extremities, authorises it against the current state, signs, stores it, moves
   * the current state and appends the log entries. A state event equal to the current one is not sent again: the
   * current one is returned.
   * @throws M_FORBIDDEN with the auth rule's reason; M_TOO_LARGE
   */
  send(tx: Tx, room: Room, proto: ProtoEvent, options?: SendOptions): StoredEvent;
  /**
   * An event on the room's forward extremities that another server is to complete and sign, authorised against the
   * current state (S-S API `make_join` and its like). @throws M_FORBIDDEN with the auth rule's reason
   */
  template(tx: Tx, room: Room, proto: ProtoEvent): Pdu;
  /** The same, complete and signed, but not stored: it becomes part of the room by `input`. @throws M_FORBIDDEN, M_TOO_LARGE */
  build(tx: Tx, room: Room, proto: ProtoEvent): RoomEvent;
  /** A signed event of ours from a template of another server. @throws M_TOO_LARGE, M_BAD_JSON */
  complete(template: Pdu, rules: RoomVersionRules): RoomEvent;
  /** An event with our signature beside those that it has. */
  sign(event: RoomEvent, rules: RoomVersionRules): RoomEvent;
  /** The row of a room that is known by its id only, made if need be. `rules`: as another server says. */
  outsideRoom(tx: Tx, roomId: RoomId, rules: RoomVersionRules): Room;
  /** From now on the user's events come redacted to who was not in the room when they were sent (INVARIANTS 17). */
  eraseSender(tx: Tx, user: UserId): void;
  /** Marks the user's present (left) membership row as forgotten. */
  forget(tx: Tx, room: Room, user: UserId): void;
  /**
   * Records a membership that is not in a room's state: `event` is the member event, checked but not part of any graph;
   * 0: there is none. `stripped`: the stripped state that came with it, as the text of a JSON list.
   */
  setOutOfBandMembership(
    tx: Tx,
    room: Room,
    user: UserId,
    membership: Membership,
    event: RoomEvent | 0,
    stripped?: string,
  ): void;
}

/** The verdict on a received event (DESIGN §5, S-S API §PDU receipt checks). */
export type Verdict =
  | { readonly kind: 'accepted'; readonly nid: EventNid }
  | { readonly kind: 'soft-failed'; readonly nid: EventNid; readonly reason: string }
  | { readonly kind: 'rejected'; readonly nid: EventNid; readonly reason: string }
  /** Not stored: bad format or signature, or something it needs is not stored (`lacks`). */
  | { readonly kind: 'dropped'; readonly reason: string; readonly lacks?: true };

export type InputKind = 'live' | 'backfilled' | 'outlier';

export interface InputOptions {
  /** The state before an event as another server told it (ids of stored events), for events with unknown prev events. */
  readonly stateBefore?: ReadonlyMap<EventId, readonly EventId[]>;
  /** The state after prev events that are not stored, as another server told it (ids of stored events), by prev event. */
  readonly stateAfterMissing?: ReadonlyMap<EventId, readonly EventId[]>;
  /** Events that a policy server does not recommend (check 7), each with the reason: soft-failed when nothing else is wrong. */
  readonly notRecommended?: ReadonlyMap<EventId, string>;
  /**
   * Back-filled events that no known one stands on get the slot before which their depth puts them, instead of none: they
   * stand apart until what lies between is filled in.
   */
  readonly apart?: boolean;
  /** This event, a join through another server, and its state replace what we knew of the room (INVARIANTS 13). */
  readonly replacesRoom?: EventId;
  /**
   * `stateBefore` of this event, a join of ours, lacks members: the room is partial from it on, until its resync has ended
   * (DESIGN §7). A room that is whole and that we are in never becomes partial again: there the event is dropped.
   */
  readonly partialJoin?: PartialJoin;
  /** The server whose event we let into the room: it must reach all others from here (INVARIANTS 21). */
  readonly broughtBy?: ServerName;
  /** Called with each verdict in the very commit that it stands in. */
  readonly onVerdict?: (tx: Tx, event: RoomEvent, verdict: Verdict) => void;
  /** Resolve with the last commit: who asks waits for the disk himself, with a later write, before telling anyone. */
  readonly untilCommitted?: boolean;
}

export interface PartialJoin {
  readonly event: EventId;
  /** The resident server that answered. */
  readonly via: ServerName;
  /** The servers that were in the room before the join, as it told. */
  readonly servers: readonly ServerName[];
}

/** Receiving events made elsewhere (other servers, imports, tests): the full event graph. */
export interface RoomInput {
  /** Judges and stores events of one room, in topological order of their auth and prev events. */
  input(
    room: RoomId,
    events: readonly RoomEvent[],
    kind: InputKind,
    options?: InputOptions,
  ): Promise<Map<EventId, Verdict>>;
}

/** Reading. Every function takes the caller's snapshot (a transaction is one too). */
export interface RoomReader {
  room(snapshot: Snapshot, roomId: string): Room | undefined;
  roomByNid(snapshot: Snapshot, nid: RoomNid): Room;
  /** Every room that this server is or was in, oldest first; not those that were purged. */
  allRooms(snapshot: Snapshot): RoomNid[];

  event(snapshot: Snapshot, nid: EventNid): StoredEvent | undefined;
  eventById(snapshot: Snapshot, eventId: string): StoredEvent | undefined;
  /** The id alone, without reading the event. */
  eventId(snapshot: Snapshot, nid: EventNid): EventId | undefined;
  /** The event parsed, as auth rules want it (redacted when marked so). */
  roomEvent(snapshot: Snapshot, nid: EventNid): RoomEvent;
  /** JSON text of the PDU, as other servers get it (redacted when marked so, or when `redacted`). */
  pduText(snapshot: Snapshot, nid: EventNid, redacted?: boolean): string;
  /** Numbers of the event's auth events, in the order cited. */
  authEvents(snapshot: Snapshot, nid: EventNid): readonly EventNid[];
  /** Numbers of those prev events that are stored. */
  prevEvents(snapshot: Snapshot, nid: EventNid): EventNid[];
  /** The event as it would be stored redacted. */
  redacted(snapshot: Snapshot, event: StoredEvent): StoredEvent;
  /** The user wanted to be erased (INVARIANTS 17). */
  isErased(user: string): boolean;

  /** The member event of a user among those that an event cites as its authority; 0: there is none. */
  citedMember(snapshot: Snapshot, event: StoredEvent, user: string): EventNid;
  /** The membership that a stored member event sets; undefined: it is none. Cached. */
  membershipOf(snapshot: Snapshot, memberEvent: EventNid): Membership | undefined;

  /** The room's current state: one key, or all of it (or of one type). */
  currentEvent(snapshot: Snapshot, room: RoomNid, type: string, stateKey: string): StoredEvent | undefined;
  currentState(snapshot: Snapshot, room: RoomNid, type?: string): StateEntry[];
  currentSnapshot(snapshot: Snapshot, room: RoomNid): SnapshotNid;
  /** How many entries the current state has. */
  stateSize(snapshot: Snapshot, room: RoomNid): number;
  /** S(p): the room's current state as of a Position. 0: the room was not there yet. */
  snapshotAt(snapshot: Snapshot, room: RoomNid, position: Position): SnapshotNid;
  /** State before / after an event. */
  stateBefore(snapshot: Snapshot, event: StoredEvent): SnapshotNid;
  stateAfter(snapshot: Snapshot, event: StoredEvent): SnapshotNid;
  stateEvent(snapshot: Snapshot, state: SnapshotNid, type: string, stateKey: string): EventNid;
  stateEntries(snapshot: Snapshot, state: SnapshotNid, type?: string): StateEntry[];
  /** All of a state but its member events, without reading those one by one. */
  stateEntriesWithoutMembers(snapshot: Snapshot, state: SnapshotNid): StateEntry[];
  /** Reads only the blocks that the two do not share. */
  stateDifference(snapshot: Snapshot, from: SnapshotNid, to: SnapshotNid): StateChange[];

  /** Events in room order: after `after` (exclusive) and up to `upTo` (inclusive), the newest `limit` first. */
  timelineBackward(
    snapshot: Snapshot,
    room: RoomNid,
    upTo: Place | Position,
    after: Place | Position,
    limit: number,
  ): StoredEvent[];
  /** The same range, the oldest `limit` first. */
  timelineForward(
    snapshot: Snapshot,
    room: RoomNid,
    after: Place | Position,
    upTo: Place | Position,
    limit: number,
  ): StoredEvent[];
  /** Events that have a place, in the order of their numbers, behind one of them: for tables that are made anew. */
  eventsAfter(snapshot: Snapshot, after: EventNid, limit: number): StoredEvent[];
  /** Whether any event of the room may be behind a gap. */
  hasGaps(snapshot: Snapshot, room: RoomNid): boolean;
  /** A prev event of this one is not stored: events may be missing before it in the room's order. */
  isBehindGap(snapshot: Snapshot, event: StoredEvent): boolean;
  /** The highest slot of the room, and rooms changed after a Position (newest first). */
  lastPosition(snapshot: Snapshot, room: RoomNid): Position;
  roomsChangedSince(snapshot: Snapshot, since: Position): IterableIterator<RoomNid>;

  /** Current membership in the room's state; undefined: never there. */
  membership(snapshot: Snapshot, room: RoomNid, user: UserId): { membership: Membership; event: EventNid } | undefined;
  members(
    snapshot: Snapshot,
    room: RoomNid,
    membership?: Membership,
  ): { user: UserId; membership: Membership; event: EventNid }[];
  /** The first members of some memberships, in the order of their member events (C-S API: heroes of a room). */
  firstMembers(snapshot: Snapshot, room: RoomNid, memberships: readonly Membership[], limit: number): UserId[];
  /**
   * Some joined members with their member events, behind those that came before, whose `last` is `after` ('': none did);
   * `last` undefined: nobody is left.
   */
  joinedAfter(
    snapshot: Snapshot,
    room: RoomNid,
    after: string,
    limit: number,
  ): { readonly members: { readonly user: UserId; readonly event: EventNid }[]; readonly last: string | undefined };
  /** With `limit`: the first of them, in the order of their member events. */
  joinedLocalUsers(snapshot: Snapshot, room: RoomNid, limit?: number): UserId[];
  joinedCount(snapshot: Snapshot, room: RoomNid): number;
  invitedCount(snapshot: Snapshot, room: RoomNid): number;
  memberCounts(snapshot: Snapshot, room: RoomNid): { readonly joined: number; readonly invited: number };
  joinedServers(snapshot: Snapshot, room: RoomNid): ServerName[];
  /** Whether a user of a server (default: this one) is joined. */
  isServerJoined(snapshot: Snapshot, room: RoomNid, server?: string): boolean;
  /** The server's users that the current state has a membership of; walks all members of the room. */
  membersOfServer(snapshot: Snapshot, room: RoomNid, server: string): { user: UserId; membership: Membership }[];
  /** The room was joined without its members, and they are not known yet (DESIGN §7). */
  isPartial(snapshot: Snapshot, room: RoomNid): boolean;
  /** Any room is partial. */
  hasPartialRooms(snapshot: Snapshot): boolean;
  /** While a room is partial: the servers that were in it when we joined, as the resident told. */
  partialServers(snapshot: Snapshot, room: RoomNid): ServerName[];
  /** Partial rooms that a user may be in: his server takes part, and nothing is known of himself. */
  presumedRooms(snapshot: Snapshot, user: UserId): RoomNid[];
  /** The Position at which a room that was partial became whole; 0: it never was partial. */
  wholeSince(snapshot: Snapshot, room: RoomNid): Position;
  /** The Position of the join that made the room partial, now or the last time; 0: it never was. */
  partialSince(snapshot: Snapshot, room: RoomNid): Position;
  /** The Position, this one or a later one, as of which S(p) has no members left out. */
  wholeAt(snapshot: Snapshot, room: RoomNid, position: Position): Position;
  /**
   * Servers, ours among them, in the state of the room before what happened at a Position (INVARIANTS 21), by the members
   * that are known.
   */
  hostsAt(snapshot: Snapshot, room: RoomNid, position: Position): ServerName[];
  /** Whether `hostsAt` names a server besides ours. */
  hasOtherHosts(snapshot: Snapshot, room: RoomNid, position: Position): boolean;
  /** Whether `hostsAt` names this server. */
  wasHost(snapshot: Snapshot, server: ServerName, room: RoomNid, position: Position): boolean;
  /** Servers in the room now; while it is partial, those too that the resident told of. */
  hostsNow(snapshot: Snapshot, room: RoomNid): ServerName[];
  /** Servers that came with the change of state at a Position. */
  hostsOpenedAt(snapshot: Snapshot, room: RoomNid, position: Position): ServerName[];
  /** When a server was in which rooms; intervals that ended at or before `since` are left out. */
  roomsOfHost(snapshot: Snapshot, server: ServerName, since?: Position): HostInterval[];
  /** `hostsNow` of all rooms in which the user is joined. */
  hostsSharingWith(snapshot: Snapshot, user: UserId): ServerName[];
  /** Events that the next one will be built on, oldest first. */
  forwardExtremities(snapshot: Snapshot, room: RoomNid): StoredEvent[];
  /** Rooms in which both users are joined. */
  sharedRooms(snapshot: Snapshot, one: UserId, other: UserId): RoomNid[];
  joinedRooms(snapshot: Snapshot, user: UserId): RoomNid[];

  /** A local user's newest membership row per room (forgotten ones included), and his row as of a Position. */
  localMemberships(snapshot: Snapshot, user: UserId): LocalMembership[];
  localMembershipAt(snapshot: Snapshot, user: UserId, room: RoomNid, position: Position): LocalMembership | undefined;
  /** Transitions in (after, upTo], oldest first. */
  localMembershipsBetween(snapshot: Snapshot, user: UserId, after: Position, upTo: Position): LocalMembership[];
  /** Stripped state kept with an out-of-band or ordinary invite or knock, as client JSON. */
  strippedState(snapshot: Snapshot, membership: LocalMembership): string[];
  /** The current state events from which stripped state is made, with the member event of one user. */
  strippedEvents(snapshot: Snapshot, room: RoomNid, user?: UserId): EventNid[];

  /** INVARIANTS 17, for events of one room; keeps their order. */
  visibleTo(snapshot: Snapshot, user: UserId, events: readonly StoredEvent[]): StoredEvent[];
  mayView(snapshot: Snapshot, user: UserId, event: StoredEvent): boolean;

  /** Ids of events that relate to one, newest first in room order. */
  relatingEvents(
    snapshot: Snapshot,
    room: RoomNid,
    eventId: EventId,
    relType: string | undefined,
    eventType: string | undefined,
  ): EventNid[];
  /** The same for all relation types, with what tells which of them to load. */
  children(snapshot: Snapshot, room: RoomNid, eventId: string): ChildEvent[];
  /** The transaction id with which this device sent the event. */
  transactionId(snapshot: Snapshot, event: EventNid, deviceId: string): string | undefined;
}

export interface RoomCore extends RoomWriter, RoomReader, RoomInput {}
