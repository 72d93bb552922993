/** The part of `RoomReader` that tells who is in rooms, and in which rooms somebody is. */
import type { ServerName } from '../../matrix/ids.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Stores } from '../stores.ts';

type MemberReader = Pick<
  RoomReader,
  | 'membership'
  | 'members'
  | 'firstMembers'
  | 'joinedAfter'
  | 'joinedLocalUsers'
  | 'joinedCount'
  | 'invitedCount'
  | 'memberCounts'
  | 'joinedServers'
  | 'isServerJoined'
  | 'membersOfServer'
  | 'sharedRooms'
  | 'joinedRooms'
  | 'localMemberships'
  | 'localMembershipAt'
  | 'localMembershipsBetween'
>;

export function memberReader(stores: Stores): MemberReader {
  const { members, rooms } = stores;
  return {
    membership: (snapshot, room, user) => members.member(snapshot, room, user),
    members: (snapshot, room, membership) => members.members(snapshot, room, membership),
    firstMembers: (snapshot, room, memberships, limit) => members.firstMembers(snapshot, room, memberships, limit),
    joinedAfter: (snapshot, room, after, limit) => members.joinedAfter(snapshot, room, after, limit),
    joinedLocalUsers: (snapshot, room, limit) => members.joinedLocalUsers(snapshot, room, limit),
    joinedCount: (snapshot, room) => rooms.head(snapshot, room).joined,
    invitedCount: (snapshot, room) => rooms.head(snapshot, room).invited,
    memberCounts: (snapshot, room) => rooms.head(snapshot, room),
    joinedServers: (snapshot, room): ServerName[] => [...members.servers.joined(snapshot, room).keys()],
    isServerJoined: (snapshot, room, server = stores.serverName) => members.servers.isJoined(snapshot, room, server),
    membersOfServer: (snapshot, room, server) => members.membersOfServer(snapshot, room, server),
    sharedRooms: (snapshot, one, other) => members.sharedRooms(snapshot, one, other),
    joinedRooms: (snapshot, user) => members.joinedRooms(snapshot, user),
    localMemberships: (snapshot, user) => members.local.newest(snapshot, user),
    localMembershipAt: (snapshot, user, room, position) => members.local.at(snapshot, user, room, position),
    localMembershipsBetween: (snapshot, user, after, upTo) => members.local.between(snapshot, user, after, upTo),
  };
}
