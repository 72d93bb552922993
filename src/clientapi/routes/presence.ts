/** Presence (C-S API v1.19 §Presence). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import type { Accounts, Presence } from '../../userapi/index.ts';
import { maybe } from './body.ts';

export interface PresenceRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly accounts: Accounts;
  readonly presence: Presence;
}

const path = '/_matrix/client/v3/presence/:userId/status';
const status = v.object({ presence: v.picklist(['online', 'unavailable', 'offline']), status_msg: maybe(v.string()) });

export function presenceRoutes({ db, rooms, accounts, presence }: PresenceRouteParts): Route[] {
  return [
    route({
      method: 'PUT',
      path,
      auth: 'user',
      rate: 'write',
      body: status,
      handle: ({ requester: { userId, deviceId }, params, body }) => {
        if (params.userId !== userId) throw matrixError.forbidden('This is the presence of another user');
        presence.set(userId, deviceId, body.presence, body.status_msg);
        return {};
      },
    }),
    route({
      method: 'GET',
      path,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params }) => {
        const userId = params.userId as UserId;
        const { exists, visible } = db.read((snapshot) => ({
          exists: accounts.get(snapshot, userId)?.deactivated === false,
          visible: requester.userId === userId || rooms.sharedRooms(snapshot, requester.userId, userId).length > 0,
        }));
        if (!visible) throw matrixError.forbidden('You are not allowed to see their presence');
        const content = presence.get(userId);
        if (content === undefined && !exists) throw matrixError.notFound('Nothing is known of their presence');
        return content ?? { presence: 'offline' };
      },
    }),
  ];
}
