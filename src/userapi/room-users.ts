/** What the roomserver must know of users (`RoomUsers` in roomserver/perform/users.ts). */
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { Snapshot, Tx } from '../storage/index.ts';
import type { AccountData } from './account-data.ts';
import type { Accounts } from './accounts.ts';
import type { MemberProfile, Profiles } from './profiles.ts';

export interface RoomUserParts {
  readonly accounts: Accounts;
  readonly profiles: Profiles;
  readonly accountData: AccountData;
}

/**
 * @param alsoFollow what other modules keep for rooms and carry over to the successor of an upgraded one
 */
export function createRoomUsers(
  { accounts, profiles, accountData }: RoomUserParts,
  alsoFollow: (tx: Tx, user: UserId, from: RoomId, to: RoomId) => void,
): {
  isLocal(user: UserId): boolean;
  profileOf(snapshot: Snapshot, user: UserId): MemberProfile;
  isGuest(snapshot: Snapshot, user: UserId): boolean;
  blocksInvites(snapshot: Snapshot, user: UserId): boolean;
  followUpgrade(tx: Tx, user: UserId, from: RoomId, to: RoomId): void;
} {
  return {
    isLocal: (user) => accounts.isLocal(user),
    profileOf: (snapshot, user) => profiles.ofMember(snapshot, user),
    isGuest: (snapshot, user) => accounts.get(snapshot, user)?.kind === 'guest',
    blocksInvites: (snapshot, user) => accountData.blocksInvites(snapshot, user),
    followUpgrade: (tx, user, from, to) => {
      accountData.copyTags(tx, user, from, to);
      alsoFollow(tx, user, from, to);
    },
  };
}
