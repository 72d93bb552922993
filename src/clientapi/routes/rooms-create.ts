/** Making and upgrading rooms (C-S API v1.19 §Creation, §Room Upgrades). */
import * as v from 'valibot';
import type { UnknownNames } from '../../appservice/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId } from '../../matrix/ids.ts';
import { jsonObject } from './body.ts';
import { invite3pid, lookUp, storeInvite, type EmailInviteParts } from './email-invites.ts';
import { senderOf } from './room-sender.ts';

export interface RoomCreateRouteParts extends EmailInviteParts {
  /** Application services, which may know users that are not known here. */
  readonly queries: UnknownNames;
}

const createBody = v.object({
  visibility: v.optional(v.picklist(['public', 'private'])),
  room_alias_name: v.optional(v.string()),
  name: v.optional(v.string()),
  topic: v.optional(v.string()),
  invite: v.optional(v.array(v.string())),
  invite_3pid: v.optional(v.array(invite3pid)),
  room_version: v.optional(v.string()),
  creation_content: v.optional(jsonObject),
  initial_state: v.optional(
    v.array(v.object({ type: v.string(), state_key: v.optional(v.string()), content: jsonObject })),
  ),
  preset: v.optional(v.picklist(['private_chat', 'public_chat', 'trusted_private_chat'])),
  is_direct: v.optional(v.boolean()),
  power_level_content_override: v.optional(jsonObject),
});

export function roomCreateRoutes(parts: RoomCreateRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: '/_matrix/client/v3/createRoom',
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      body: createBody,
      handle: async ({ requester, body: { invite_3pid: invites = [], ...body } }) => {
        const { db, perform, memberships, queries } = parts;
        const sender = senderOf(requester);
        const found = await Promise.all(invites.map((invite) => lookUp(parts, invite)));
        const known = found.filter((user) => user !== undefined);
        const invite = known.length === 0 ? body.invite : [...(body.invite ?? []), ...known];
        await queries.invited(invite ?? []);
        const room = await db.write((tx) => perform.creation.create(tx, { ...body, invite }, sender));
        const strangers = (invite ?? []).flatMap((user) => parseUserId(user) ?? []);
        const { roomId } = room;
        await memberships.inviteStrangers(strangers, { roomId, sender: sender.userId, isDirect: body.is_direct });
        // The identity server wants to know the room.
        for (const [index, stranger] of invites.entries()) {
          if (found[index] === undefined) await storeInvite(parts, room.roomId, sender, stranger);
        }
        return { room_id: room.roomId };
      },
    }),
  ];
}

const upgradeBody = v.object({
  new_version: v.string(),
  additional_creators: v.optional(v.array(v.string())),
});

export function roomUpgradeRoutes({
  db,
  rooms,
  perform,
}: Pick<RoomCreateRouteParts, 'db' | 'rooms' | 'perform'>): Route[] {
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
