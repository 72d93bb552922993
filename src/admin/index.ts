/** Admin: what operators do over HTTP. */
import type { Route } from '../http/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { version } from '../util/package-files.ts';
import { audited } from './common.ts';
import { mediaRoutes, type MediaRouteParts } from './media.ts';
import { moderationRoutes } from './moderation.ts';
import { purgeRoutes, runHistoryPurge, type PurgeRouteParts } from './purges.ts';
import { adminRegisterRoutes, type AdminRegisterParts } from './register.ts';
import { registrationTokenRoutes } from './registration-tokens.ts';
import { reportRoutes } from './reports.ts';
import { roomActionRoutes, type RoomActionParts } from './room-actions.ts';
import { deleteRoom, type RoomDeletionParts } from './room-deletion.ts';
import { roomHistoryRoutes } from './room-history.ts';
import { roomRoutes } from './rooms.ts';
import { serverRoutes } from './server.ts';
import { serverNoticeRoutes, type ServerNoticeParts } from './server-notices.ts';
import { AdminTasks } from './tasks.ts';
import { userActionRoutes, type UserActionParts } from './user-actions.ts';
import { userDeviceRoutes, type UserDeviceParts } from './user-devices.ts';
import { userMediaRoutes } from './user-media.ts';
import { redactUser, userRedactionRoutes } from './user-redaction.ts';
import { userRoomRoutes } from './user-rooms.ts';
import { userRoutes } from './users.ts';

export type { AdminTasks } from './tasks.ts';

export type AdminParts = UserActionParts &
  RoomActionParts &
  UserDeviceParts &
  PurgeRouteParts &
  MediaRouteParts &
  AdminRegisterParts &
  ServerNoticeParts & { readonly log: Logger };

/** Every row of administrators; changes are logged. */
export const adminRoutes = (parts: AdminParts): Route[] => [
  ...adminRegisterRoutes(parts),
  ...serverRoutes(version),
  ...audited(
    [
      ...moderationRoutes(parts),
      ...userRoutes(parts),
      ...userActionRoutes(parts),
      ...userDeviceRoutes(parts),
      ...userRoomRoutes(parts),
      ...userMediaRoutes(parts),
      ...userRedactionRoutes(parts),
      ...registrationTokenRoutes(parts),
      ...roomRoutes(parts),
      ...roomHistoryRoutes(parts),
      ...roomActionRoutes(parts),
      ...purgeRoutes(parts),
      ...mediaRoutes(parts),
      ...reportRoutes(parts),
      ...serverNoticeRoutes(parts),
    ],
    parts.log.child({ module: 'admin' }),
  ),
];

/** The long work of administrators; `resume()` takes up what a restart left undone, `stop()` ends it. */
export const createAdminTasks = (
  parts: RoomDeletionParts & { readonly clock: Clock; readonly log: Logger },
): AdminTasks =>
  new AdminTasks(parts.db, parts.clock, parts.log.child({ module: 'admin' }), {
    delete_room: (run) => deleteRoom(parts, run),
    purge_history: (run) => runHistoryPurge(parts, run),
    redact_user: (run) => redactUser(parts, run),
  });
