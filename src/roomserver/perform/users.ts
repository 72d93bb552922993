/** What performing needs to know about accounts; given in by whoever composes the server. */
import type { RoomId, UserId } from '../../matrix/ids.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';

/** The profile fields that stand in member events. */
export interface MemberProfile {
  readonly displayname?: string | undefined;
  readonly avatar_url?: string | undefined;
}

export interface RoomUsers {
  /** True for users of this server. */
  isLocal(user: UserId): boolean;
  profileOf(snapshot: Snapshot, user: UserId): MemberProfile;
  isGuest(snapshot: Snapshot, user: UserId): boolean;
  /** An account of this server that has not been closed. */
  isActive(snapshot: Snapshot, user: UserId): boolean;
  /** The user's `m.invite_permission_config` blocks invites. */
  blocksInvites(snapshot: Snapshot, user: UserId): boolean;
  /** The room is the one in which this server speaks to the user (C-S API §Server Notices). */
  isNoticeRoom(snapshot: Snapshot, user: UserId, roomId: RoomId): boolean;
  /** A user has joined the successor of a room: tags, push rules and the like go along (C-S API §Room Upgrades). */
  followUpgrade(tx: Tx, user: UserId, from: RoomId, to: RoomId): void;
}
