/** What users do to rooms, here and through other servers, and what the server does in its own name. */
import { createAdminTasks, type AdminTasks } from '../admin/index.ts';
import {
  createPerform,
  createRemoteMemberships,
  followGuestAccess,
  type Perform,
  type RemoteMemberships,
  type RoomUsers,
} from '../roomserver/index.ts';
import { noticeRoomOf, noticeSender, ServerNotices } from '../userapi/index.ts';
import type { Site } from './ground.ts';
import type { RoomModules } from './rooms.ts';
import type { UserModules } from './users.ts';

export interface DeedModules {
  readonly perform: Perform;
  readonly memberships: RemoteMemberships;
  readonly notices: ServerNotices;
}

export function buildDeeds(site: Site, { rooms, remote, federation }: RoomModules, known: UserModules): DeedModules {
  const { config, serverName, clock, log, db, bus, services } = site;
  const { users } = known;
  const members = roomUsers(known);
  const perform = createPerform({
    ...{ rooms, users: members, serverName, clock },
    defaultVersion: config.rooms.defaultVersion,
    aliasRule: (alias, serviceId, making) => services.checkAlias(alias, serviceId, making),
  });
  const memberships = createRemoteMemberships({
    ...{ db, rooms, perform, users: members, federation, remote, serverName, clock, log },
    partialJoins: config.federation.partialJoins,
  });
  followGuestAccess({ db, bus, rooms, perform, serverName, log });
  users.accounts.reserve(noticeSender(config.serverNotices, serverName));
  const notices = new ServerNotices({ ...users, rooms, perform, serverName, config: config.serverNotices });
  return { perform, memberships, notices };
}

/** Long work of operators, which uses all else and so stops first. */
export function buildAdminTasks(
  { clock, log, db, bus, lifecycle }: Site,
  { rooms }: RoomModules,
  { users: { accounts } }: UserModules,
  { perform }: DeedModules,
): AdminTasks {
  const adminTasks = createAdminTasks({ db, bus, rooms, perform, accounts, clock, log });
  lifecycle.onStop('tasks of administrators', () => adminTasks.stop());
  return adminTasks;
}

/** What rooms ask about accounts. */
function roomUsers({ users, push }: UserModules): RoomUsers {
  return {
    isLocal: (user) => users.accounts.isLocal(user),
    profileOf: (snapshot, user) => users.profiles.ofMember(snapshot, user),
    isNoticeRoom: (snapshot, user, roomId) => noticeRoomOf(snapshot, user) === roomId,
    isGuest: (snapshot, user) => users.accounts.get(snapshot, user)?.kind === 'guest',
    isActive: (snapshot, user) => users.accounts.get(snapshot, user)?.deactivated === false,
    blocksInvites: (snapshot, user) => users.syncData.blocksInvites(snapshot, user),
    followUpgrade: (tx, user, from, to) => {
      users.accountData.followUpgrade(tx, user, from, to);
      push.rules.followUpgrade(tx, user, from, to);
    },
  };
}
