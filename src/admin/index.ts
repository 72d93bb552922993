/** Admin: what operators do over HTTP. */
import type { Route } from '../http/index.ts';
import type { Logger } from '../util/log.ts';
import { version } from '../util/version.ts';
import { audited } from './common.ts';
import { moderationRoutes } from './moderation.ts';
import { adminRegisterRoutes, type AdminRegisterParts } from './register.ts';
import { registrationTokenRoutes } from './registration-tokens.ts';
import { serverRoutes } from './server.ts';
import { serverNoticeRoutes, type ServerNoticeParts } from './server-notices.ts';
import { userActionRoutes, type UserActionParts } from './user-actions.ts';
import { userDeviceRoutes } from './user-devices.ts';
import { userRoutes } from './users.ts';

export type AdminParts = UserActionParts & AdminRegisterParts & ServerNoticeParts & { readonly log: Logger };

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
      ...registrationTokenRoutes(parts),
      ...serverNoticeRoutes(parts),
    ],
    parts.log.child({ module: 'admin' }),
  ),
];
