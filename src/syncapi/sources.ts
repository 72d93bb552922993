/**
 * What /sync takes from the modules to its left beside the roomserver, as the narrowest interfaces that serve it. They
 * read the caller's snapshot; what lives in memory (typing, presence) is last-value data that may be sent again
 * (INVARIANTS 1). Ranges are (after, upTo]; `after` 0 asks for everything there is.
 */
import type { RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { LocalMembership } from '../roomserver/index.ts';
import type { Position, Snapshot } from '../storage/index.ts';

export type PresenceState = 'online' | 'unavailable' | 'offline';

export interface AccountDatum {
  readonly type: string;
  /** JSON text of the content; `{}` is a deletion, and left out when `after` is 0. */
  readonly content: string;
}

/** A receipt as it stands now, changed within the range asked for. */
export interface ReceiptValue {
  readonly user: UserId;
  readonly type: 'm.read' | 'm.read.private';
  /** null: unthreaded. */
  readonly threadId: string | null;
  readonly eventId: string;
  /** ms since the epoch. */
  readonly ts: number;
}

export interface TypingNow {
  /** When the list last changed. */
  readonly position: Position;
  readonly users: readonly UserId[];
}

/** Content of an `m.presence` event. */
export interface PresenceContent {
  readonly presence: PresenceState;
  readonly last_active_ago?: number;
  readonly currently_active?: boolean;
  readonly status_msg?: string;
}

export interface WaitingMessage {
  readonly position: Position;
  /** JSON text of `{sender, type, content}`. */
  readonly message: string;
}

/** Account data, receipts, typing, presence, messages to devices and keys. */
export interface UserData {
  /** Global (`roomId` null) or room account data changed in the range. */
  accountData(
    snapshot: Snapshot,
    user: UserId,
    roomId: RoomId | null,
    after: Position,
    upTo: Position,
  ): readonly AccountDatum[];
  /** Rooms whose account data of this user changed in the range. */
  accountDataRooms(snapshot: Snapshot, user: UserId, after: Position, upTo: Position): readonly RoomId[];
  ignoredUsers(snapshot: Snapshot, user: UserId): ReadonlySet<string>;
  /** `m.invite_permission_config` blocks invites: none of them is served by /sync. */
  blocksInvites(snapshot: Snapshot, user: UserId): boolean;
  /** An uploaded filter as parsed JSON; undefined: there is none of that id. */
  filter(snapshot: Snapshot, user: UserId, filterId: string): unknown;

  /** Public receipts of a room and the viewer's own private ones, changed in the range. */
  receipts(snapshot: Snapshot, room: RoomNid, viewer: UserId, after: Position, upTo: Position): readonly ReceiptValue[];
  /** Rooms with a receipt changed in the range, private ones included. */
  receiptRooms(snapshot: Snapshot, after: Position, upTo: Position): readonly RoomNid[];
  /** undefined: nobody has typed there since the start of the process. */
  typing(room: RoomNid): TypingNow | undefined;
  /** Rooms whose typing list changed after a Position. */
  typingRooms(after: Position): readonly RoomNid[];

  /** undefined: never heard of. */
  presence(user: UserId): PresenceContent | undefined;
  /** Users whose presence changed after a Position; 0: all that are known, save those offline. */
  presenceChanges(after: Position): readonly UserId[];
  /** A device polls: counts as activity for the user's presence unless `offline`. Call the result when the poll ends. */
  polled(user: UserId, deviceId: string | undefined, presence: PresenceState): () => void;

  /** The oldest messages waiting in the range, at most `limit`. */
  toDevice(
    snapshot: Snapshot,
    user: UserId,
    deviceId: string,
    after: Position,
    upTo: Position,
    limit: number,
  ): readonly WaitingMessage[];
  /** Deletes the messages up to a Position. */
  acknowledgeToDevice(user: UserId, deviceId: string, upTo: Position): Promise<void>;
  /** Gives all messages behind a Position fresh Positions, in order (INVARIANTS 15). */
  postponeToDevice(user: UserId, deviceId: string, after: Position): Promise<void>;

  /**
   * Users whose devices, device names or cross-signing keys changed in the range. `viewer` also sees the keys that he
   * signed himself: that log entry names him, not their owner.
   */
  deviceListChanges(snapshot: Snapshot, after: Position, upTo: Position, viewer: UserId): readonly UserId[];
  /** What a device has left: unclaimed one-time keys by algorithm, algorithms with a fallback key not given out. */
  keyInventory(
    snapshot: Snapshot,
    user: UserId,
    deviceId: string,
  ): { readonly counts: Readonly<Record<string, number>>; readonly unusedFallbacks: readonly string[] };
}

export interface UnreadCount {
  readonly notifications: number;
  readonly highlights: number;
}

export interface RoomCounts {
  readonly main: UnreadCount;
  /** By event id of the thread root; only threads with something unread. */
  readonly threads: ReadonlyMap<string, UnreadCount>;
}

/** Unread counts of a user in a room as of `head`, the sequence head of the snapshot; `row`: his membership then. */
export interface Counts {
  of(snapshot: Snapshot, head: Position, room: RoomNid, user: UserId, row: LocalMembership): RoomCounts;
}

/** A user's push rules, which clients get as global account data `m.push_rules`. */
export interface PushRuleSource {
  /** The user's effective rules: the value of `global`. */
  ruleset(snapshot: Snapshot, user: UserId): unknown;
  /** Position of the last change; 0: they are the predefined ones. */
  lastChange(snapshot: Snapshot, user: UserId): number;
}
