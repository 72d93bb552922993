/**
 * Invites of our users by users of other servers (S-S API v1.19 §Inviting to a room), and third-party invites that another
 * server wants redeemed (§Third-party invites).
 */
import * as v from 'valibot';
import { jsonObject, JsonText, type RateLimiter, route, type Route } from '../../http/index.ts';
import { authChecks } from '../../matrix/auth-checks.ts';
import { canonicalJson } from '../../matrix/canonical-json.ts';
import { matrixError } from '../../matrix/errors.ts';
import { type EventId, parseUserId, type ServerName, type UserId, serverNameOf } from '../../matrix/ids.ts';
import { asString, isJsonObject, memberOf, parseJson, rawElements, rawMembers } from '../../matrix/json.ts';
import { canonicalOptions } from '../../matrix/pdu.ts';
import { type RoomVersionRules, rulesOfVersion } from '../../matrix/room-versions.ts';
import {
  currentContent,
  demandAcl,
  ownRoomForServer,
  type RemoteMemberships,
  type RemoteRooms,
  type RoomCore,
} from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { memberEventIn } from '../residency.ts';

export interface InviteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly remote: Pick<RemoteRooms, 'pdus'>;
  readonly memberships: RemoteMemberships;
  readonly serverName: ServerName;
  readonly limiter: RateLimiter;
}

export const inviteRoutes = (parts: InviteParts): Route[] => [inviteV2(parts), inviteV1(parts), exchangeRoute(parts)];

/** An invite as it was sent, in either version. */
interface Sent {
  readonly origin: ServerName;
  readonly roomId: string;
  readonly eventId: string;
  readonly rules: RoomVersionRules;
  /** Raw PDU. */
  readonly event: string;
  /** Raw events. */
  readonly state: readonly string[];
}

const inviteV2 = (parts: InviteParts): Route =>
  route({
    method: 'PUT',
    path: '/_matrix/federation/v2/invite/:roomId/:eventId',
    auth: 'server',
    rate: 'federation',
    handle: async ({ origin, params, bodyText }) => {
      const body = parseJson(bodyText);
      if (!isJsonObject(body) || !isJsonObject(body.event)) throw matrixError.badJson('The body holds no event');
      const { room_version } = body;
      if (typeof room_version !== 'string') throw matrixError.missingParam('room_version is missing');
      const rules = rulesOfVersion(room_version);
      if (rules === undefined) throw matrixError.incompatibleRoomVersion({ room_version });
      const members = rawMembers(bodyText);
      const state = Array.isArray(body.invite_room_state) ? rawElements(members.get('invite_room_state') ?? '[]') : [];
      const event = await receive(parts, { ...params, origin, rules, event: members.get('event') ?? '', state });
      return new JsonText([`{"event":${event}}`]);
    },
  });

/** "It is strongly recommended for the request to fail for room versions other than 1 and 2", which alone it can name. */
const inviteV1 = (parts: InviteParts): Route =>
  route({
    method: 'PUT',
    path: '/_matrix/federation/v1/invite/:roomId/:eventId',
    auth: 'server',
    rate: 'federation',
    handle: async ({ origin, params, bodyText }) => {
      const { db, rooms } = parts;
      const body = parseJson(bodyText);
      if (!isJsonObject(body)) throw matrixError.badJson('The body is no event');
      const known = db.read((snapshot) => rooms.room(snapshot, params.roomId)?.rules);
      const rules = known?.eventIdFormat === 'field' ? known : rulesOfVersion('1');
      if (rules === undefined) throw matrixError.unsupportedRoomVersion();
      const isListed = Array.isArray(memberOf(body.unsigned, 'invite_room_state'));
      const unsigned = rawMembers(bodyText).get('unsigned') ?? '{}';
      const state = isListed ? rawElements(rawMembers(unsigned).get('invite_room_state') ?? '[]') : [];
      const event = await receive(parts, { ...params, origin, rules, event: bodyText, state });
      return new JsonText([`[200,{"event":${event}}]`]);
    },
  });

/** The event's JSON with our signature. */
async function receive(parts: InviteParts, sent: Sent): Promise<string> {
  const { db, rooms, remote, memberships, serverName } = parts;
  const { origin, rules, state } = sent;
  const event = memberEventIn(sent.event, rules, { origin, membership: 'invite' });
  const target = parseUserId(event.stateKey ?? '');
  if (target === undefined || serverNameOf(target) !== serverName) {
    throw matrixError.invalidParam('The invited user belongs to another server');
  }
  if (event.roomId !== sent.roomId || event.eventId !== (sent.eventId as EventId)) {
    throw matrixError.invalidParam('The event is another one than the path names');
  }
  // Against invite spam: by many users of one server, by one user, and of one user from everywhere.
  for (const who of [`server:${origin}`, `sender:${event.sender}`, `target:${target}`]) {
    parts.limiter.demand('remoteInvite', who);
  }
  db.read((snapshot) => {
    const room = rooms.room(snapshot, event.roomId);
    if (room !== undefined && rooms.isServerJoined(snapshot, room.nid)) demandAcl(snapshot, rooms, room, origin);
  });
  const { events, failed } = await remote.pdus.check([canonicalJson(event.pdu, canonicalOptions(rules))], rules);
  const [checked] = events;
  if (checked === undefined) throw matrixError.forbidden(failed[0]?.reason ?? 'The event is not signed');
  const signed = await memberships.outOfBand.invited({ event: checked, rules, state });
  return canonicalJson(signed.pdu, canonicalOptions(rules));
}

const exchangeBody = v.object({
  type: v.literal('m.room.member'),
  room_id: v.string(),
  sender: v.string(),
  state_key: v.string(),
  content: v.looseObject({
    membership: v.literal('invite'),
    third_party_invite: v.looseObject({ signed: jsonObject }),
  }),
});

const exchangeRoute = ({ db, rooms, memberships, serverName }: InviteParts): Route =>
  route({
    method: 'PUT',
    path: '/_matrix/federation/v1/exchange_third_party_invite/:roomId',
    auth: 'server',
    rate: 'federation',
    body: exchangeBody,
    handle: async ({ origin, params: { roomId }, body }) => {
      const sender = parseUserId(body.sender);
      const target = parseUserId(body.state_key);
      const { signed } = body.content.third_party_invite;
      const token = asString(memberOf(signed, 'token'));
      if (body.room_id !== roomId) throw matrixError.invalidParam('The event is for another room');
      if (sender === undefined || target === undefined || token === undefined) {
        throw matrixError.badJson('The invite has no sender, user or token');
      }
      if (serverNameOf(sender) !== serverName) throw matrixError.invalidParam('The sender is no user of this server');
      const third_party_invite = db.read((snapshot) => {
        const room = ownRoomForServer(snapshot, rooms, roomId, origin);
        const content = currentContent(snapshot, rooms, room, 'm.room.third_party_invite', token);
        if (content === undefined) throw matrixError.forbidden('There is no such third-party invite');
        if (!isSigned(signed, content)) throw matrixError.forbidden('No key of the invite has signed this');
        return { display_name: asString(memberOf(content, 'display_name')) ?? '', signed };
      });
      const content = { third_party_invite };
      await memberships.invite({ roomId, sender, target: target as UserId, content });
      return {};
    },
  });

/** Whether a key of an m.room.third_party_invite event has signed the block. */
function isSigned(signed: Parameters<typeof authChecks.verifyThirdPartySigned>[0], content: unknown): boolean {
  const list = memberOf(content, 'public_keys');
  const keys = [...(Array.isArray(list) ? list : []), content].flatMap(
    (entry) => asString(memberOf(entry, 'public_key')) ?? [],
  );
  return authChecks.verifyThirdPartySigned(signed, keys);
}
