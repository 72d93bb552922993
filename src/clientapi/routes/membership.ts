/** Membership (C-S API v1.19 §Room membership): join, knock, invite, leave, kick, ban, unban, forget, joined rooms. */
import * as v from 'valibot';
import type { UnknownNames } from '../../appservice/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseRoomId, parseUserId, type UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { findRoom, type Room, type ThirdPartySigned } from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';
import { invite3pid, inviteByThreepid, type EmailInviteParts } from './email-invites.ts';
import { readBody } from './body.ts';
import { jsonObject, optionalText, senderOf } from './room-sender.ts';

export interface MembershipRouteParts extends EmailInviteParts {
  /** Application services, which may know users and aliases that are not known here. */
  readonly queries: UnknownNames;
}

const root = '/_matrix/client/v3';
const base = `${root}/rooms/:roomId`;
const reasonBody = v.object({ reason: optionalText });
const targetBody = v.object({ user_id: v.string(), reason: optionalText });
const inviteBody = v.object({ user_id: v.string(), reason: optionalText });
const joinBody = v.objectWithRest({ reason: optionalText, third_party_signed: v.optional(jsonObject) }, v.unknown());

export const membershipRoutes = (parts: MembershipRouteParts): Route[] => [
  ...joinRoutes(parts),
  knockRoute(parts),
  inviteRoute(parts),
  ...leaveRoutes(parts),
  ...moderationRoutes(parts),
  joinedRoomsRoute(parts),
];

/** The room of an id or alias. @throws M_INVALID_PARAM when it is neither; M_NOT_FOUND when it is not known */
function resolveRoom(snapshot: Snapshot, { rooms, perform }: MembershipRouteParts, idOrAlias: string): Room {
  if (idOrAlias.startsWith('#')) {
    const nid = perform.aliases.roomOf(snapshot, idOrAlias);
    if (nid === undefined) throw matrixError.notFound('There is no such room alias');
    return rooms.roomByNid(snapshot, nid);
  }
  if (parseRoomId(idOrAlias) === undefined) throw matrixError.invalidParam('Neither a room id nor a room alias');
  const room = rooms.room(snapshot, idOrAlias);
  if (room === undefined) throw matrixError.notFound('There is no such room');
  return room;
}

function parseTarget(text: string): UserId {
  const target = parseUserId(text);
  if (target === undefined) throw matrixError.invalidParam('user_id is not a user id');
  return target;
}

/** @throws M_BAD_JSON */
function parseSigned(signed: JsonObject | undefined, user: UserId): ThirdPartySigned | undefined {
  if (signed === undefined) return undefined;
  const sender = typeof signed.sender === 'string' ? parseUserId(signed.sender) : undefined;
  const { token } = signed;
  if (sender === undefined || typeof token !== 'string') {
    throw matrixError.badJson('third_party_signed needs sender and token');
  }
  if (signed.mxid !== user) throw matrixError.forbidden('The invite is for another user');
  return { sender, token, signed };
}

function joinRoutes(parts: MembershipRouteParts): Route[] {
  const { db, perform } = parts;
  const byId = { path: `${base}/join`, auth: 'guest' } as const;
  // Guests come here with room ids, as to the other path; aliases are not for them.
  const byAlias = { path: `${root}/join/:roomId`, auth: 'guest' } as const;
  return [byId, byAlias].map(({ path, auth }) =>
    route({
      method: 'POST',
      path: path as `${typeof base}/join`,
      auth,
      rate: 'join',
      refuseSuspended: true,
      body: joinBody,
      handle: async ({ requester: { userId: user, isGuest }, params, body }) => {
        const isAlias = params.roomId.startsWith('#');
        if (isAlias && path === byId.path) throw matrixError.invalidParam('Not a room id');
        if (isAlias && isGuest) throw matrixError.guestAccessForbidden();
        const { reason, third_party_signed: signed, ...rest } = body;
        const thirdPartySigned = parseSigned(signed, user);
        const content = Object.keys(rest).length > 0 ? (rest as JsonObject) : undefined;
        await parts.queries.alias(params.roomId);
        return db.write((tx) => {
          const room = resolveRoom(tx, parts, params.roomId);
          perform.joining.join(tx, { room, user, isGuest, reason: reason ?? undefined, content, thirdPartySigned });
          return { room_id: room.roomId };
        });
      },
    }),
  );
}

const knockRoute = (parts: MembershipRouteParts): Route =>
  route({
    method: 'POST',
    path: `${root}/knock/:roomIdOrAlias`,
    auth: 'user',
    rate: 'join',
    refuseSuspended: true,
    body: reasonBody,
    handle: async ({ requester, params, body }) => {
      await parts.queries.alias(params.roomIdOrAlias);
      return parts.db.write((tx) => {
        const room = resolveRoom(tx, parts, params.roomIdOrAlias);
        parts.perform.memberships.knock(tx, { room, sender: requester.userId, reason: body.reason ?? undefined });
        return { room_id: room.roomId };
      });
    },
  });

const inviteRoute = (parts: MembershipRouteParts): Route =>
  route({
    method: 'POST',
    path: `${base}/invite`,
    auth: 'user',
    rate: 'invite',
    refuseSuspended: true,
    body: jsonObject,
    handle: async ({ requester, params, body }) => {
      const { db, rooms, perform, queries } = parts;
      if (body.user_id === undefined && (body.medium !== undefined || body.address !== undefined)) {
        const { reason } = readBody(reasonBody, body);
        const invite = readBody(invite3pid, body);
        await inviteByThreepid(parts, params.roomId, senderOf(requester), invite, reason ?? undefined);
        return {};
      }
      const { user_id: user, reason } = readBody(inviteBody, body);
      const target = parseTarget(user);
      await queries.invited([target]);
      await db.write((tx) => {
        const room = findRoom(tx, rooms, params.roomId);
        perform.memberships.invite(tx, { room, sender: requester.userId, target, reason: reason ?? undefined });
      });
      return {};
    },
  });

const leaveRoutes = (parts: MembershipRouteParts): Route[] => [
  route({
    method: 'POST',
    path: `${base}/leave`,
    auth: 'guest',
    rate: 'write',
    body: reasonBody,
    handle: async ({ requester, params, body }) => {
      await parts.db.write((tx) => {
        const room = resolveRoom(tx, parts, params.roomId);
        parts.perform.memberships.leave(tx, { room, sender: requester.userId, reason: body.reason ?? undefined });
      });
      return {};
    },
  }),
  route({
    method: 'POST',
    path: `${base}/forget`,
    auth: 'user',
    rate: 'write',
    body: v.object({}),
    handle: async ({ requester, params }) => {
      await parts.db.write((tx) =>
        parts.perform.memberships.forget(tx, resolveRoom(tx, parts, params.roomId), requester.userId),
      );
      return {};
    },
  }),
];

const moderationRoutes = ({ db, rooms, perform }: MembershipRouteParts): Route[] =>
  (['kick', 'ban', 'unban'] as const).map((action) =>
    route({
      method: 'POST',
      path: `${base}/${action}`,
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      body: targetBody,
      handle: async ({ requester: { userId: sender }, params, body }) => {
        const target = parseTarget(body.user_id);
        await db.write((tx) => {
          const room = findRoom(tx, rooms, params.roomId);
          perform.memberships[action](tx, { room, sender, target, reason: body.reason ?? undefined });
        });
        return {};
      },
    }),
  );

const joinedRoomsRoute = ({ db, rooms }: MembershipRouteParts): Route =>
  route({
    method: 'GET',
    path: `${root}/joined_rooms`,
    auth: 'user',
    rate: 'none',
    handle: ({ requester, shown }) => {
      shown.key(`user:${requester.userId}`);
      return db.read((snapshot) => ({
        joined_rooms: rooms.joinedRooms(snapshot, requester.userId).map((nid) => rooms.roomByNid(snapshot, nid).roomId),
      }));
    },
  });
