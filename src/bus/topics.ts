/**
 * Every kind of output entry, as one union. An entry says where to look, never what is there (INVARIANTS 5): a consumer
 * reads verdict, redaction, membership and last values from its own snapshot. Consumers switch exhaustively, so that a
 * new topic breaks the build until each one decides.
 */
import type { EventId, RoomId, ServerName, UserId } from '../matrix/ids.ts';

declare const nid: unique symbol;
type Nid<B extends string> = number & { readonly [nid]: B };
/** Numeric ids of the roomserver; 0 means none. They never leave the process. */
export type RoomNid = Nid<'room'>;
export type EventNid = Nid<'event'>;

/** An event entered the live timeline of a room (it has this Position as its slot there). */
export interface RoomEventEntry {
  readonly topic: 'room.event';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly event: EventNid;
  readonly eventId: EventId;
  readonly type: string;
  readonly sender: UserId;
  /** The state key, for consumers that care for one kind of state; null: not a state event. */
  readonly stateKey: string | null;
  /** The room's current state changed with this event (a row of its history has the same Position). */
  readonly stateChanged: boolean;
  /** We let this event of another server into the room: all servers there but this one get it from here. */
  readonly broughtBy?: ServerName;
}

/**
 * An accepted event was filled in before one that is there: room order has it, and so have lists made of rooms' events. It
 * is news to nobody: no timeline of /sync, no count, no push, no queue to other servers.
 */
export interface BackfilledEntry {
  readonly topic: 'room.backfilled';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly event: EventNid;
}

/** The room's current state changed without a timeline event (resolution, soft-failed event, resync). */
export interface RoomStateEntry {
  readonly topic: 'room.state';
  readonly room: RoomNid;
  readonly roomId: RoomId;
}

/**
 * A room that was joined without its members has all its state (a row of its history has the same Position). A client that
 * wants all members gets the room as newly joined.
 */
export interface UnpartialEntry {
  readonly topic: 'room.unpartial';
  readonly room: RoomNid;
  readonly roomId: RoomId;
}

/** A user's membership in a room, as /sync knows it, changed (also out of band: invite, knock, rejection, retraction, forget). */
export interface MembershipEntry {
  readonly topic: 'room.membership';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly membership: 'invite' | 'join' | 'knock' | 'leave' | 'ban' | 'forget';
}

/** A stored event became redacted; everything made from its content follows. */
export interface RedactedEntry {
  readonly topic: 'event.redacted';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly event: EventNid;
  readonly redaction: EventNid;
}

/**
 * An event that stood in a timeline stands in none any more: a verdict on it, or on what it stands on, has changed.
 * Clients keep what they were sent; the state that follows is told by `room.state` or `room.unpartial`.
 */
export interface WithdrawnEntry {
  readonly topic: 'event.withdrawn';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly event: EventNid;
  /** The slot that it had, for rows kept by Position. */
  readonly slot: number;
}

/** Events of a room up to a place in its order were deleted; look-ups of what is gone find nothing. */
export interface PurgedEntry {
  readonly topic: 'room.purged';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  /** A slot; everything behind it is untouched. */
  readonly upTo: number;
  /** Nothing of the room is left. */
  readonly whole: boolean;
}

/** Account data of a user changed; `roomId` null: global. A deletion is a change too. */
export interface AccountDataEntry {
  readonly topic: 'user.account_data';
  readonly user: UserId;
  readonly roomId: RoomId | null;
  readonly type: string;
}

/** A user's receipt in a room moved. Private ones concern only the user. `threadId` null: unthreaded. */
export interface ReceiptEntry {
  readonly topic: 'room.receipt';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly receiptType: 'm.read' | 'm.read.private';
  readonly threadId: string | null;
}

/** Unread counts of a user in a room changed by other means than a new event (receipts, redactions, push rules). */
export interface CountsEntry {
  readonly topic: 'user.counts';
  readonly room: RoomNid;
  readonly roomId: RoomId;
  readonly user: UserId;
}

/** The list of users typing in a room changed. Memory only. */
export interface TypingEntry {
  readonly topic: 'room.typing';
  readonly room: RoomNid;
  readonly roomId: RoomId;
}

/** A user's presence changed (state, status or currently_active). Memory first, written with the next commit. */
export interface PresenceEntry {
  readonly topic: 'user.presence';
  readonly user: UserId;
}

/** A to-device message waits for a device. */
export interface ToDeviceEntry {
  readonly topic: 'device.to_device';
  readonly user: UserId;
  readonly deviceId: string;
}

/** A user's device keys, device names or cross-signing keys changed. */
export interface DeviceListEntry {
  readonly topic: 'user.device_list';
  readonly user: UserId;
  /** What other servers are told of: the device's id, empty for the cross-signing keys. Absent: it concerns only the user. */
  readonly changed?: string;
}

/** One-time key counts or unused fallback keys of a device changed by a claim. */
export interface KeyCountsEntry {
  readonly topic: 'device.key_counts';
  readonly user: UserId;
  readonly deviceId: string;
}

/** A user's global profile changed (display name, avatar, custom fields). */
export interface ProfileEntry {
  readonly topic: 'user.profile';
  readonly user: UserId;
}

export type StoredEntry =
  | RoomEventEntry
  | BackfilledEntry
  | RoomStateEntry
  | UnpartialEntry
  | MembershipEntry
  | RedactedEntry
  | WithdrawnEntry
  | PurgedEntry
  | AccountDataEntry
  | ReceiptEntry
  | CountsEntry
  | ToDeviceEntry
  | DeviceListEntry
  | KeyCountsEntry
  | ProfileEntry;

/** Entries that have a Position but no row. */
export type EphemeralEntry = TypingEntry | PresenceEntry;

export type Entry = StoredEntry | EphemeralEntry;
export type Topic = Entry['topic'];
