/** Every row that the server serves, by area. */
import { adminRoutes } from './admin/index.ts';
import { accountRoutes } from './clientapi/routes/account.ts';
import { accountDataRoutes } from './clientapi/routes/account-data.ts';
import { appserviceRoutes } from './clientapi/routes/appservice.ts';
import { authFallbackRoutes } from './clientapi/routes/auth-fallback.ts';
import { authMetadataRoutes } from './clientapi/routes/auth-metadata.ts';
import { capabilityRoutes } from './clientapi/routes/capabilities.ts';
import { contextRoutes } from './clientapi/routes/context.ts';
import { dehydratedRoutes } from './clientapi/routes/dehydrated.ts';
import { deviceRoutes } from './clientapi/routes/devices.ts';
import { directoryAliasRoutes } from './clientapi/routes/directory-aliases.ts';
import { emailTokenRoutes } from './clientapi/routes/email-tokens.ts';
import { eventsRoutes } from './clientapi/routes/events.ts';
import { filterRoutes } from './clientapi/routes/filters.ts';
import { initialSyncRoutes } from './clientapi/routes/initial-sync.ts';
import { keyBackupRoutes } from './clientapi/routes/key-backup.ts';
import { keyRoutes } from './clientapi/routes/keys.ts';
import { keysChangesRoutes } from './clientapi/routes/keys-changes.ts';
import { mediaRoutes } from './clientapi/routes/media.ts';
import { membershipRoutes } from './clientapi/routes/membership.ts';
import { messagesRoutes } from './clientapi/routes/messages.ts';
import { mutualRoomsRoutes } from './clientapi/routes/mutual-rooms.ts';
import { openIdRoutes } from './clientapi/routes/openid.ts';
import { presenceRoutes } from './clientapi/routes/presence.ts';
import { profileRoutes } from './clientapi/routes/profile.ts';
import { pushRuleRoutes } from './clientapi/routes/push-rules.ts';
import { pusherRoutes } from './clientapi/routes/pushers.ts';
import { receiptRoutes } from './clientapi/routes/receipts.ts';
import { registerRoutes } from './clientapi/routes/register.ts';
import { relationsRoutes } from './clientapi/routes/relations.ts';
import { reportRoutes } from './clientapi/routes/reports.ts';
import { publicRoomRoutes } from './clientapi/routes/public-rooms.ts';
import { roomDiscoveryRoutes } from './clientapi/routes/room-discovery.ts';
import { roomCreateRoutes, roomUpgradeRoutes } from './clientapi/routes/rooms-create.ts';
import { roomSendRoutes } from './clientapi/routes/rooms-send.ts';
import { roomStateRoutes } from './clientapi/routes/rooms-state.ts';
import { searchRoutes } from './clientapi/routes/search.ts';
import { sessionRoutes } from './clientapi/routes/session.ts';
import { ssoRoutes } from './clientapi/routes/sso.ts';
import { syncRoutes, syncSockets } from './clientapi/routes/sync.ts';
import { thirdPartyRoutes } from './clientapi/routes/third-party.ts';
import { threepidRoutes } from './clientapi/routes/threepids.ts';
import { threadsRoutes } from './clientapi/routes/threads.ts';
import { timestampToEventRoutes } from './clientapi/routes/timestamp-to-event.ts';
import { toDeviceRoutes } from './clientapi/routes/to-device.ts';
import { typingRoutes } from './clientapi/routes/typing.ts';
import { userDirectoryRoutes } from './clientapi/routes/user-directory.ts';
import { versionRoutes } from './clientapi/routes/versions.ts';
import { wellKnownRoutes } from './clientapi/routes/well-known.ts';
import { voipRoutes } from './clientapi/routes/voip.ts';
import type { RoomNid } from './bus/index.ts';
import {
  eventReadRoutes,
  stateReadRoutes,
  federationDirectoryRoutes,
  federationHierarchyRoutes,
  federationMediaRoutes,
  inviteRoutes,
  keyServerRoutes,
  onBindRoutes,
  queryProfileRoutes,
  userKeyRoutes,
  residentRoutes,
  openIdUserInfoRoutes,
} from './federation/index.ts';
import type { Route, SocketRow } from './http/index.ts';
import type { Modules } from './modules.ts';
import type { Snapshot } from './storage/index.ts';
import type { UserId } from './matrix/ids.ts';
import { version } from './util/package-files.ts';

export const allRoutes = (modules: Modules): Route[] => [
  ...serverRoutes(modules),
  ...federationRoutes(modules),
  ...accountRows(modules),
  ...keyRows(modules),
  ...userRows(modules),
  ...roomRows(modules),
  ...readingRoutes(modules),
  ...discoveryRoutes(modules),
  ...syncRoutes(modules),
  ...administratorRoutes(modules),
];

/** What clients ask before they know anything, and what belongs to no user. */
function serverRoutes({ config, users, media, db, rooms, appservices }: Modules): Route[] {
  return [
    ...versionRoutes(),
    ...wellKnownRoutes({ config }),
    ...authMetadataRoutes(),
    ...capabilityRoutes({ defaultRoomVersion: config.rooms.defaultVersion, sendsMail: users.validations.isPossible }),
    ...appserviceRoutes({ db, rooms, appservices }),
    ...mediaRoutes({ media }),
  ];
}

/** Accounts, sessions and devices. */
function accountRows({ config, db, limiter, serverName, users, appservices }: Modules): Route[] {
  const { registry: services } = appservices;
  return [
    ...registerRoutes({ db, serverName, services, ...users }),
    ...sessionRoutes({ db, limiter, serverName, services, ...users }),
    ...accountRoutes({ db, ...users }),
    ...authFallbackRoutes(users),
    ...threepidRoutes({ db, ...users }),
    ...emailTokenRoutes({ db, limiter, registrationMode: config.registration.mode, ...users }),
    ...ssoRoutes({ db, createsAccounts: config.cas.createAccounts, ...users }),
    ...deviceRoutes({ db, ...users }),
  ];
}

/** Keys of end-to-end encryption, and messages from device to device. */
function keyRows({ db, rooms, users, remoteUsers, sender }: Modules): Route[] {
  return [
    ...keyRoutes({ db, remoteKeys: remoteUsers.keys, ...users }),
    ...keysChangesRoutes({ db, rooms, ...users }),
    ...keyBackupRoutes({ db, ...users }),
    ...dehydratedRoutes({ db, ...users }),
    ...toDeviceRoutes({ db, sender, ...users }),
  ];
}

/** What users keep here and show to others. */
function userRows({ db, rooms, push, users, remoteUsers, appservices: { queries }, clock }: Modules): Route[] {
  return [
    ...accountDataRoutes({ db, push, ...users }),
    ...profileRoutes({ db, queries, remoteProfiles: remoteUsers.profiles, ...users }),
    ...filterRoutes({ db, ...users }),
    ...presenceRoutes({ db, rooms, ...users }),
    ...typingRoutes({ db, rooms, ...users }),
    ...receiptRoutes({ db, rooms, ...users }),
    ...pushRuleRoutes({ db, push }),
    ...pusherRoutes({ db, push, clock }),
  ];
}

/** What users do in rooms, and the state that they find there. */
function roomRows(modules: Modules): Route[] {
  const { db, rooms, remote, memberships, perform, users, clock, serverName } = modules;
  const { queries } = modules.appservices;
  const ignoredUsers = (snapshot: Snapshot, user: UserId): ReadonlySet<string> =>
    users.accountData.ignoredUsers(snapshot, user);
  const isLocal = (user: string): boolean => users.accounts.isLocal(user as UserId);
  return [
    ...roomCreateRoutes({ db, rooms, perform, memberships, queries, ...users }),
    ...roomUpgradeRoutes({ db, rooms, perform }),
    ...roomSendRoutes({ db, rooms, perform, memberships, queries }),
    ...roomStateRoutes({ db, rooms, clock, ignoredUsers, isLocal, partial: remote.partial }),
    ...membershipRoutes({ db, rooms, perform, memberships, queries, ...users }),
    ...directoryAliasRoutes({ db, rooms, perform, remote, serverName, queries }),
  ];
}

/** What operators do. */
function administratorRoutes(modules: Modules): Route[] {
  const { config, db, bus, rooms, perform, users, media, serverName, clock, log, notices, push } = modules;
  const { sharedSecret } = config.registration;
  const { adminTasks: tasks } = modules;
  return adminRoutes({
    ...{ sharedSecret, db, bus, rooms, perform, media, serverName, clock, log, tasks, notices, push },
    ...users,
  });
}

/** What other servers ask. */
function federationRoutes(modules: Modules): Route[] {
  const { config, limiter, db, rooms, remote, memberships, perform, media, appservices, serverName, clock } = modules;
  const { directory: networkRooms, queries } = appservices;
  const isListShared = config.rooms.publicListOverFederation;
  return [
    ...modules.serverToServer.routes,
    ...keyServerRoutes({ ...modules.federation, version, clock }),
    ...eventReadRoutes({ db, rooms, remote, serverName, clock }),
    ...stateReadRoutes({ db, rooms, remote, serverName, clock }),
    ...federationDirectoryRoutes({ db, rooms, perform, serverName, isListShared, queries, networkRooms }),
    ...federationHierarchyRoutes({ db, rooms, serverName }),
    ...residentRoutes({ db, rooms, perform, remote, serverName }),
    ...inviteRoutes({ db, rooms, remote, memberships, serverName, limiter }),
    ...federationMediaRoutes({ media, serverName }),
    ...queryProfileRoutes({ db, ...modules.users }),
    ...userKeyRoutes({ db, sender: modules.sender, ...modules.users }),
  ];
}

/** How users find rooms, each other, and help. */
function discoveryRoutes(modules: Modules): Route[] {
  const {
    config,
    db,
    rooms,
    remote,
    memberships,
    perform,
    users,
    appservices,
    directoryIndex,
    serverName,
    clock,
    log,
  } = modules;
  const { directory: networkRooms, networks } = appservices;
  const isListOpen = config.rooms.publicListWithoutToken;
  return [
    ...publicRoomRoutes({ db, rooms, remote, perform, serverName, isListOpen, networkRooms }),
    ...roomDiscoveryRoutes({ db, rooms, perform, remote, serverName }),
    ...userDirectoryRoutes({ db, directory: users.directory, directoryIndex }),
    ...mutualRoomsRoutes({ db, rooms }),
    ...reportRoutes({ db, rooms, ...users }),
    ...openIdRoutes({ db, serverName, ...users }),
    ...openIdUserInfoRoutes({ db, ...users }),
    ...onBindRoutes({ db, rooms, perform, memberships, serverName, log, ...users }),
    ...voipRoutes({ turn: config.turn, clock }),
    ...thirdPartyRoutes(networks),
  ];
}

/** What clients read of rooms over time, with the tokens of /sync. */
function readingRoutes({ db, rooms, remote, perform, sync, users, clock }: Modules): Route[] {
  const parts = { db, rooms, userData: users.syncData, clock, history: remote };
  const isPublished = (snapshot: Snapshot, room: RoomNid): boolean => perform.aliases.isPublished(snapshot, room);
  return [
    ...messagesRoutes(parts),
    ...contextRoutes(parts),
    ...relationsRoutes(parts),
    ...threadsRoutes(parts),
    ...timestampToEventRoutes(parts),
    ...initialSyncRoutes({ ...parts, isPublished }),
    ...searchRoutes({ ...parts, searchIndex: sync.searchIndex }),
    ...eventsRoutes({ ...parts, eventStream: sync.eventStream }),
  ];
}

export function allSockets({ db, sync }: Modules): SocketRow[] {
  return syncSockets({ db, sync });
}
