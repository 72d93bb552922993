/** Sending events (C-S API v1.19 §Sending events to a room, §Redactions). */
import type { UnknownNames } from '../../appservice/index.ts';
import { route, type RequestContext, type Route } from '../../http/index.ts';
import { findRoom, type RemoteMemberships, type Perform, type RoomCore } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId, serverNameOf } from '../../matrix/ids.ts';
import { asString, type JsonObject } from '../../matrix/json.ts';
import { jsonObject } from './body.ts';
import { refuseDelay, senderOf } from './room-sender.ts';

export interface RoomSendRouteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly memberships: RemoteMemberships;
  /** Application services, which may know users that are not known here. */
  readonly queries: UnknownNames;
}

type Target = Readonly<Record<'roomId' | 'eventType', string>>;
type Redacted = Readonly<Record<'roomId' | 'eventId', string>>;
type Query = Readonly<Record<string, string | readonly string[]>>;

const base = '/_matrix/client/v3/rooms/:roomId';
/** More than an event may have, so that what is too large for one is told by its own rule. */
const maxBody = 128 * 1024;

export const roomSendRoutes = (parts: RoomSendRouteParts): Route[] => [
  ...sendRoutes(parts),
  stateRoute(parts),
  ...redactRoutes(parts),
];

const sendRoutes = ({ db, rooms, perform }: RoomSendRouteParts): Route[] => {
  const row = {
    auth: 'guest',
    rate: 'message',
    maxBody,
    body: jsonObject,
    handle: ({ requester, params, query, body, transaction }: RequestContext<'guest', Target, Query, JsonObject>) => {
      refuseDelay(query);
      const sender = senderOf(requester, transaction, query);
      return db.write((tx) => {
        const room = findRoom(tx, rooms, params.roomId);
        const reply = { event_id: perform.sending.message(tx, room, params.eventType, body, sender).eventId };
        transaction?.record(tx, reply);
        return reply;
      });
    },
  } as const;
  return [
    route({ ...row, method: 'PUT', path: `${base}/send/:eventType/:txnId`, transaction: 'txnId' }),
    // From before transaction ids; scripts that send one message and end still use it.
    route({ ...row, method: 'POST', path: `${base}/send/:eventType` }),
  ];
};

const stateRoute = ({ db, rooms, perform, memberships, queries }: RoomSendRouteParts): Route =>
  route({
    method: 'PUT',
    path: `${base}/state/:eventType/:stateKey`,
    // "When an empty string, the trailing slash on this endpoint is optional."
    aliases: [`${base}/state/:eventType`],
    auth: 'guest',
    rate: 'message',
    maxBody,
    body: jsonObject,
    handle: async ({ requester, params, query, body }) => {
      refuseDelay(query);
      const sender = senderOf(requester, undefined, query);
      const wish = { type: params.eventType, stateKey: params.stateKey, content: body };
      if (wish.type === 'm.room.member' && body.membership === 'invite') {
        await queries.invited([wish.stateKey]);
        const target = parseUserId(wish.stateKey);
        // Users of other servers are invited with the help of their servers.
        if (target !== undefined && serverNameOf(target) !== serverNameOf(sender.userId)) {
          if (sender.isSuspended) throw matrixError.userSuspended();
          const reason = asString(body.reason);
          const invite = { roomId: params.roomId, sender: sender.userId, target, reason, content: body };
          return { event_id: await memberships.invite(invite) };
        }
      }
      return db.write((tx) => {
        const room = findRoom(tx, rooms, params.roomId);
        return { event_id: perform.sending.state(tx, room, wish, sender).eventId };
      });
    },
  });

const redactRoutes = ({ db, rooms, perform }: RoomSendRouteParts): Route[] => {
  const row = {
    auth: 'user',
    rate: 'message',
    maxBody,
    body: jsonObject,
    handle: ({ requester, params, body, transaction }: RequestContext<'user', Redacted, unknown, JsonObject>) => {
      const sender = senderOf(requester, transaction);
      return db.write((tx) => {
        const room = findRoom(tx, rooms, params.roomId);
        const reply = { event_id: perform.sending.redact(tx, room, params.eventId, body, sender).eventId };
        transaction?.record(tx, reply);
        return reply;
      });
    },
  } as const;
  return [
    route({ ...row, method: 'PUT', path: `${base}/redact/:eventId/:txnId`, transaction: 'txnId' }),
    // As with messages.
    route({ ...row, method: 'POST', path: `${base}/redact/:eventId` }),
  ];
};
