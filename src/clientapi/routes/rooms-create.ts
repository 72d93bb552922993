/** Making and upgrading rooms (C-S API v1.19 §Creation, §Room Upgrades). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { type Perform, type RoomCore } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { jsonObject, senderOf } from './room-sender.ts';

export interface RoomCreateRouteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
}

const createBody = v.object({
  visibility: v.optional(v.picklist(['public', 'private'])),
  room_alias_name: v.optional(v.string()),
  name: v.optional(v.string()),
  topic: v.optional(v.string()),
  invite: v.optional(v.array(v.string())),
  invite_3pid: v.optional(v.array(v.unknown())),
  room_version: v.optional(v.string()),
  creation_content: v.optional(jsonObject),
  initial_state: v.optional(
    v.array(v.object({ type: v.string(), state_key: v.optional(v.string()), content: jsonObject })),
  ),
  preset: v.optional(v.picklist(['private_chat', 'public_chat', 'trusted_private_chat'])),
  is_direct: v.optional(v.boolean()),
  power_level_content_override: v.optional(jsonObject),
});

export function roomCreateRoutes({ db, perform }: RoomCreateRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: '/_matrix/client/v3/createRoom',
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      body: createBody,
      handle: async ({ requester, body }) => {
        const room = await db.write((tx) => perform.creation.create(tx, body, senderOf(requester)));
        return { room_id: room.roomId };
      },
    }),
  ];
}

const upgradeBody = v.object({
  new_version: v.string(),
  additional_creators: v.optional(v.array(v.string())),
});

export function roomUpgradeRoutes({ db, rooms, perform }: RoomCreateRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: '/_matrix/client/v3/rooms/:roomId/upgrade',
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      body: upgradeBody,
      handle: async ({ requester, params, body }) => {
        const replacement = await db.write((tx) => {
          const room = rooms.room(tx, params.roomId);
          if (room === undefined) throw matrixError.notFound('There is no such room');
          return perform.upgrades.upgrade(tx, {
            room,
            user: requester.userId,
            newVersion: body.new_version,
            additionalCreators: body.additional_creators ?? [],
          });
        });
        return { replacement_room: replacement.roomId };
      },
    }),
  ];
}
