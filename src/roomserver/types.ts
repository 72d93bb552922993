/**
 * Vocabulary of the roomserver: numeric ids, stored events, room order. Numeric ids (NIDs) are positive integers, 0
 * means none; other modules may hold them, but they never leave the process.
 */
import type { EventNid, RoomNid } from '../bus/index.ts';
import type { EventId, RoomId, UserId } from '../matrix/ids.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import type { Position } from '../storage/index.ts';

export type { EventNid, RoomNid } from '../bus/index.ts';

declare const nid: unique symbol;
type Nid<B extends string> = number & { readonly [nid]: B };
export type TypeNid = Nid<'type'>;
/** Also the numeric id of a user: the state key of his member events. 0: not a state event. */
export type StateKeyNid = Nid<'state-key'>;
export type SnapshotNid = Nid<'snapshot'>;
export type BlockNid = Nid<'block'>;

export type Membership = 'invite' | 'join' | 'knock' | 'leave' | 'ban';

/** What never changes about a room (kept in its row, safe from redactions and resolutions). */
export interface Room {
  readonly nid: RoomNid;
  readonly roomId: RoomId;
  readonly rules: RoomVersionRules;
  /** Sender of the create event, then `additional_creators` where the version has them. */
  readonly creators: readonly UserId[];
  /** `m.federate` of the create event. */
  readonly federate: boolean;
}

/**
 * Place in the one order of a room (INVARIANTS 12), compared member by member. A live event's slot is its Position;
 * a back-filled one's is the slot of the event whose missing ancestor it is, before it (live 0).
 */
export interface Place {
  readonly slot: Position;
  readonly live: 0 | 1;
  readonly depth: number;
  readonly nid: EventNid;
}

/** An event as stored, without its parsed content. */
export interface StoredEvent {
  readonly nid: EventNid;
  readonly eventId: EventId;
  readonly room: RoomNid;
  readonly type: string;
  /** null: not a state event. */
  readonly stateKey: string | null;
  readonly sender: UserId;
  readonly originServerTs: number;
  readonly depth: number;
  /** Canonical JSON text of the members that clients see, without `event_id` and `unsigned`; redacted when marked so. */
  readonly client: string;
  /** Snapshot before the event; 0: unknown (an outlier). */
  readonly snapshot: SnapshotNid;
  /** Snapshot behind the event. */
  readonly after: SnapshotNid;
  readonly outlier: boolean;
  readonly rejected: boolean;
  readonly softFailed: boolean;
  /** The redaction in force, 0: none. */
  readonly redactedBy: EventNid;
  /** Where it stands in the room's order; undefined: in no timeline (outlier, rejected, soft-failed). */
  readonly place: Place | undefined;
}

/** One entry of a state: event type and state key to the event that set it. */
export interface StateEntry {
  readonly type: string;
  readonly stateKey: string;
  readonly event: EventNid;
}

/** A difference of two states; `from` or `to` 0: the key is absent there. */
export interface StateChange {
  readonly type: string;
  readonly stateKey: string;
  readonly from: EventNid;
  readonly to: EventNid;
}

/** A row of a local user's membership history in a room (INVARIANTS 16). */
export interface LocalMembership {
  readonly user: UserId;
  readonly room: RoomNid;
  readonly position: Position;
  readonly membership: Membership;
  /** The member event; 0: withdrawn, or known only out of band without a stored event. */
  readonly event: EventNid;
  /** Not part of the room's state: an invite, knock, rejection or retraction of a room that we are not in. */
  readonly outOfBand: boolean;
  readonly forgotten: boolean;
}

/** When a server had joined members in a room: after the change of state at `from`, up to that at `to`. */
export interface HostInterval {
  readonly room: RoomNid;
  readonly from: Position;
  /** Undefined: it still has. */
  readonly to: Position | undefined;
}

/** An event that relates to another one: stands in the timeline, not redacted. */
export interface ChildEvent {
  readonly event: EventNid;
  readonly eventId: EventId;
  readonly relType: string;
  readonly type: string;
  readonly sender: UserId;
  readonly originServerTs: number;
}

/** What a local user or the server wants to put into a room. */
export interface ProtoEvent {
  readonly type: string;
  readonly stateKey?: string | undefined;
  readonly sender: UserId;
  readonly content: Record<string, unknown>;
  readonly redacts?: EventId | undefined;
  /** ms; default: now (application services may set it). */
  readonly originServerTs?: number | undefined;
}
