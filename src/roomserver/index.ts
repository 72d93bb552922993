/** Roomserver: the only writer of room state. */
export type * from './core.ts';
export type * from './room-reader.ts';
export { blockedBy, blockRoom, unblockRoom } from './perform/blocked-rooms.ts';
export { firstPlaceFrom, purgeHistory, purgeRoom, type HistoryPurge, type PurgeParts } from './perform/purge.ts';
export type { AliasActor, RoomAliases } from './perform/alias.ts';
export type { CreateRoomBody, InitialState, Preset } from './perform/create-room.ts';
export { createPerform, type Perform, type PerformParts } from './perform/index.ts';
export type { Join, ThirdPartySigned } from './perform/join.ts';
export type { Invite, MembershipChange } from './perform/membership.ts';
export type { Sender, StateWish } from './perform/send.ts';
export type { MemberProfile, RoomUsers } from './perform/users.ts';
export { PartialRooms, type PartialProgress } from './partial/partial-rooms.ts';
export { followGuestAccess } from './remote/guest-access.ts';
export {
  type BackfillWish,
  createRemoteRooms,
  type Hierarchy,
  type Handshakes,
  type HierarchyRequest,
  type Outcome,
  type Settle,
  readHierarchy,
  type RemoteDirectory,
  type RemotePublicRooms,
  type RemoteRooms,
} from './remote/index.ts';
export { createRemoteMemberships, type InviteWish, type RemoteMemberships } from './remote/memberships.ts';
export type { Entry, JoinEntry } from './remote/entrance.ts';
export { type InboundInvite, type OutOfBand, formatError } from './remote/out-of-band.ts';
export { applyRetention } from './perform/retention.ts';
export { createBundle, relationIn, type BundleOptions } from './query/bundle.ts';
export {
  clientEvent,
  clientEvents,
  clientView,
  contentOf,
  contentText,
  isHidden,
  membershipAt,
  membershipOfEvent,
  type Bundle,
  type ClientView,
  type ClientViewOptions,
} from './query/client-event.ts';
export { latestEditOf } from './query/edits.ts';
export { spaceChildren, type SpaceChild } from './query/space-children.ts';
export { joinRuleIn, mayDiscover, mayDiscoverTold, mayServerDiscover } from './query/join-conditions.ts';
export { type PublicRoomsRequest, readPublicRooms } from './query/public-rooms.ts';
export { findRoom, isWorldReadable, readableUntil } from './query/room-access.ts';
export { eventsByTime } from './query/by-time.ts';
export { currentContent, currentLevels } from './query/room-auth.ts';
export { authChain, eventsBetween, eventsUpTo, type MissingWish } from './query/graph.ts';
export { eventIdsOf, pduTexts, stateForServer, type ServedState } from './query/served-state.ts';
export { aclAllows, demandAcl, ownRoomForServer, roomForServer, ServerView } from './query/server-visibility.ts';
export { plainTopic, publishedRoom, roomSummary, type RoomSummary } from './query/room-summary.ts';
export type * from './types.ts';
export type { StateReset } from './input/job.ts';
export { openRoomReader } from './reader.ts';
export { storesMeasures } from './stores.ts';
export { createRoomCore, type RoomCoreOptions } from './room-core.ts';
export { collectState, type Collected } from './state/collect.ts';
export { deleteOriginals } from './state/originals.ts';
export { repairRoomserver, verifyRoomserver } from './verify/index.ts';
