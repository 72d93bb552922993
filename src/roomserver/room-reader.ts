/**
 * What the inside of the roomserver offers for reading, to `query/*` and to the modules above. Every function takes the
 * caller's snapshot (a transaction is one too).
 */
import type { EventId, ServerName, UserId } from '../matrix/ids.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import type {
  ChildEvent,
  EventNid,
  HostInterval,
  LocalMembership,
  Membership,
  Place,
  Room,
  RoomNid,
  SnapshotNid,
  StateChange,
  StateEntry,
  StoredEvent,
} from './types.ts';

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
