/**
 * What the inside of the roomserver offers to `perform/*` and `query/*`, and through them to the modules above. All of
 * it is synchronous: whoever holds a transaction holds the room's commit lane (INVARIANTS 3), because a transaction
 * callback cannot be interrupted. Only `prepare` and `input` may take time.
 */
import type { EventId, RoomId, ServerName, UserId } from '../matrix/ids.ts';
import type { Pdu, RoomEvent } from '../matrix/pdu.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import type { Tx } from '../storage/index.ts';
import type { RoomReader } from './room-reader.ts';
import type { EventNid, Membership, ProtoEvent, Room, StoredEvent } from './types.ts';

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

export interface RoomCore extends RoomWriter, RoomReader, RoomInput {}
