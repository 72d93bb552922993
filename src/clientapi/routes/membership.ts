/** Membership (C-S API v1.19 §Room membership): join, knock, invite, leave, kick, ban, unban, forget, joined rooms. */
import * as v from 'valibot';
import type { UnknownNames } from '../../appservice/index.ts';
import { demandRoomId, demandUserId, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId, type UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { findRoom, type ThirdPartySigned } from '../../roomserver/index.ts';
import { jsonObject } from './body.ts';
import { invite3pid, inviteByThreepid, type EmailInviteParts } from './email-invites.ts';
import { readBody } from './body.ts';
import { optionalText, senderOf } from './room-sender.ts';

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

/** Servers that the client names to join or knock by: `via`, and as older clients call it. */
function viaOf(query: Readonly<Record<string, string | readonly string[]>>): string[] {
  return [query.via ?? [], query.server_name ?? [], query['org.matrix.msc4156.via'] ?? []].flat();
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
  const { memberships, queries } = parts;
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
      handle: async ({ requester: { userId: user, isGuest }, params, query, body }) => {
        const isAlias = params.roomId.startsWith('#');
        if (isAlias && path === byId.path) throw matrixError.invalidParam('Not a room id');
        if (isAlias && isGuest) throw matrixError.guestAccessForbidden();
        const { reason, third_party_signed: signed, ...rest } = body;
        const thirdPartySigned = parseSigned(signed, user);
        const content = Object.keys(rest).length > 0 ? (rest as JsonObject) : undefined;
        await queries.alias(params.roomId);
        const about = { room: params.roomId, via: viaOf(query), reason: reason ?? undefined, content };
        return { room_id: await memberships.join({ ...about, user, isGuest, thirdPartySigned }) };
      },
    }),
  );
}

const knockRoute = ({ memberships, queries }: MembershipRouteParts): Route =>
  route({
    method: 'POST',
    path: `${root}/knock/:roomIdOrAlias`,
    auth: 'user',
    rate: 'join',
    refuseSuspended: true,
    body: reasonBody,
    handle: async ({ requester, params, query, body }) => {
      const room = params.roomIdOrAlias;
      await queries.alias(room);
      const reason = body.reason ?? undefined;
      return { room_id: await memberships.knock({ room, via: viaOf(query), user: requester.userId, reason }) };
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
      const { memberships, queries } = parts;
      if (body.user_id === undefined && (body.medium !== undefined || body.address !== undefined)) {
        const { reason } = readBody(reasonBody, body);
        const invite = readBody(invite3pid, body);
        await inviteByThreepid(parts, params.roomId, senderOf(requester), invite, reason ?? undefined);
        return {};
      }
      const { user_id: user, reason } = readBody(inviteBody, body);
      const target = demandUserId(user);
      await queries.invited([target]);
      const { roomId } = params;
      await memberships.invite({ roomId, sender: requester.userId, target, reason: reason ?? undefined });
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
      const { memberships } = parts;
      await memberships.leave({ room: params.roomId, user: requester.userId, reason: body.reason ?? undefined });
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
      const { db, rooms, perform } = parts;
      const roomId = demandRoomId(params.roomId);
      await db.write((tx) => {
        const room = rooms.room(tx, roomId);
        if (room === undefined) throw matrixError.notFound('There is no such room');
        perform.memberships.forget(tx, room, requester.userId);
      });
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
        const target = demandUserId(body.user_id);
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
