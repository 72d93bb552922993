/** Every row that the server serves, by area. */
import { accountRoutes } from './clientapi/routes/account.ts';
import { capabilityRoutes } from './clientapi/routes/capabilities.ts';
import { deviceRoutes } from './clientapi/routes/devices.ts';
import { directoryAliasRoutes } from './clientapi/routes/directory-aliases.ts';
import { membershipRoutes } from './clientapi/routes/membership.ts';
import { pushRuleRoutes } from './clientapi/routes/push-rules.ts';
import { registerRoutes } from './clientapi/routes/register.ts';
import { roomCreateRoutes } from './clientapi/routes/rooms-create.ts';
import { roomSendRoutes } from './clientapi/routes/rooms-send.ts';
import { roomStateRoutes } from './clientapi/routes/rooms-state.ts';
import { sessionRoutes } from './clientapi/routes/session.ts';
import { syncRoutes, syncSockets } from './clientapi/routes/sync.ts';
import { versionRoutes } from './clientapi/routes/versions.ts';
import type { Route, SocketRow } from './http/index.ts';
import type { Modules } from './modules.ts';
import type { Snapshot } from './storage/index.ts';
import type { UserId } from './matrix/ids.ts';

export function allRoutes(modules: Modules): Route[] {
  const { config, limiter, db, rooms, perform, push, sync, users, clock, serverName } = modules;
  const ignoredUsers = (snapshot: Snapshot, user: UserId): ReadonlySet<string> =>
    users.accountData.ignoredUsers(snapshot, user);
  return [
    ...versionRoutes(),
    ...capabilityRoutes({ defaultRoomVersion: config.rooms.defaultVersion }),
    ...registerRoutes({ db, serverName, ...users }),
    ...sessionRoutes({ db, limiter, serverName, ...users }),
    ...accountRoutes({ db, ...users }),
    ...deviceRoutes({ db, ...users }),
    ...roomCreateRoutes({ db, rooms, perform }),
    ...roomSendRoutes({ db, rooms, perform }),
    ...roomStateRoutes({ db, rooms, clock, ignoredUsers }),
    ...membershipRoutes({ db, rooms, perform }),
    ...directoryAliasRoutes({ db, rooms, perform, serverName }),
    ...pushRuleRoutes({ db, push }),
    ...syncRoutes({ db, sync }),
  ];
}

export function allSockets({ db, sync }: Modules): SocketRow[] {
  return syncSockets({ db, sync });
}
