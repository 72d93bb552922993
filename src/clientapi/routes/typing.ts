/** Typing notifications (C-S API v1.19 §Typing Notifications). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import type { Presence, Typing } from '../../userapi/index.ts';
import { maybe } from './body.ts';
import { joinedRoom } from './joined-room.ts';

export interface TypingRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly typing: Typing;
  readonly presence: Presence;
}

/** ms, when the client names none. */
const defaultTimeout = 30_000;

export const typingRoutes = ({ db, rooms, typing, presence }: TypingRouteParts): Route[] => [
  route({
    method: 'PUT',
    path: '/_matrix/client/v3/rooms/:roomId/typing/:userId',
    auth: 'user',
    rate: 'write',
    body: v.object({ typing: v.boolean(), timeout: maybe(v.number()) }),
    handle: ({ requester: { userId, deviceId }, params, body }) => {
      if (params.userId !== userId) throw matrixError.forbidden('Nobody can type for another user');
      const room = db.read((snapshot) => joinedRoom(snapshot, rooms, params.roomId, userId));
      if (body.typing) typing.start(room, userId, body.timeout ?? defaultTimeout);
      else typing.stop(room.nid, userId);
      presence.active(userId, deviceId);
      return {};
    },
  }),
];
