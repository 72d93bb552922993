/**
 * `3pid/onbind` (S-S API v1.19 §Third-party invites): an identity server tells that one of our users has proven an
 * address, and which invites wait for it. Each one by a user of this server or into a room that this server is in becomes
 * an invite here, any other is turned into one by the server of its sender.
 */
import * as v from 'valibot';
import { jsonObject, route, type Route } from '../../http/index.ts';
import { authChecks } from '../../matrix/auth-checks.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { parseUserId, type ServerName, type UserId } from '../../matrix/ids.ts';
import { asString, memberOf } from '../../matrix/json.ts';
import {
  contentOf,
  type Perform,
  type RemoteMemberships,
  type RoomCore,
  type ThirdPartySigned,
} from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import type { Accounts, IdentityServers } from '../../userapi/index.ts';
import type { Logger } from '../../util/log.ts';

export interface OnBindParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly memberships: RemoteMemberships;
  readonly accounts: Accounts;
  readonly identity: IdentityServers;
  readonly serverName: ServerName;
  readonly log: Logger;
}

const waitingInvite = v.object({
  mxid: v.string(),
  room_id: v.string(),
  sender: v.string(),
  signed: jsonObject,
});
/** More would keep this server asking for keys. */
const maxInvites = 100;
const onBindBody = v.object({
  mxid: v.string(),
  invites: v.optional(v.pipe(v.array(waitingInvite), v.maxLength(maxInvites)), []),
});

export function onBindRoutes(parts: OnBindParts): Route[] {
  const { db, accounts, log } = parts;
  // The specification says PUT, identity servers POST.
  return (['PUT', 'POST'] as const).map((method) =>
    route({
      method,
      path: '/_matrix/federation/v1/3pid/onbind',
      auth: 'none',
      rate: 'invite',
      body: onBindBody,
      handle: async ({ body }) => {
        const user = parseUserId(body.mxid);
        const account = user === undefined ? undefined : db.read((snapshot) => accounts.get(snapshot, user));
        if (user === undefined || account === undefined || account.deactivated) {
          throw matrixError.notFound('This is no user of this server');
        }
        let refusal: MatrixError | undefined;
        for (const invite of body.invites.filter(({ mxid }) => mxid === user)) {
          try {
            await exchange(parts, user, invite);
          } catch (error) {
            if (!(error instanceof MatrixError)) throw error;
            // The others count all the same.
            refusal = error;
            log.info({ err: error, room: invite.room_id }, 'a third-party invite was not redeemed');
          }
        }
        if (refusal !== undefined) throw refusal;
        return {};
      },
    }),
  );
}

async function exchange(parts: OnBindParts, user: UserId, invite: v.InferOutput<typeof waitingInvite>): Promise<void> {
  const { db, rooms, memberships, identity } = parts;
  const { signed } = invite;
  const sender = parseUserId(invite.sender);
  const token = asString(memberOf(signed, 'token'));
  if (sender === undefined || token === undefined) throw matrixError.badJson('The invite has no sender or token');
  if (!isOurs(parts, sender, invite.room_id)) {
    return memberships.exchange(invite.room_id, user, { sender, token, signed });
  }
  const keys = db.read((snapshot) => {
    const room = rooms.room(snapshot, invite.room_id);
    const event = room && rooms.currentEvent(snapshot, room.nid, 'm.room.third_party_invite', token);
    const stored = event && rooms.event(snapshot, event.nid);
    return stored === undefined ? [] : keysOf(contentOf(stored));
  });
  const key = keys.find(({ publicKey }) => authChecks.verifyThirdPartySigned(signed, [publicKey]));
  if (key === undefined) throw matrixError.forbidden('No key of the invite has signed this');
  if (!(await identity.isKeyValid(key.validityUrl, key.publicKey))) {
    throw matrixError.forbidden('The identity server does not stand by its key');
  }
  await redeem(parts, invite.room_id, user, { sender, token, signed });
}

/**
 * "If the invited homeserver is in the room the invite came from, it can auth the event and send it. However, if the invited
 * homeserver isn't in the room the invite came from, it will need to request the inviting homeserver to auth the event".
 */
function isOurs({ db, rooms, accounts }: OnBindParts, sender: UserId, roomId: string): boolean {
  if (accounts.isLocal(sender)) return true;
  return db.read((snapshot) => {
    const room = rooms.room(snapshot, roomId);
    // A partial state does not tell whether the inviter is still there.
    return room !== undefined && rooms.isServerJoined(snapshot, room.nid) && !rooms.isPartial(snapshot, room.nid);
  });
}

async function redeem(parts: OnBindParts, roomId: string, user: UserId, signed: ThirdPartySigned): Promise<void> {
  const { db, rooms, perform, accounts, serverName } = parts;
  const event = await db.write((tx) => {
    const room = rooms.room(tx, roomId);
    if (room === undefined) throw matrixError.notFound('There is no such room');
    if (!accounts.isLocal(signed.sender)) return perform.joining.redeemed(tx, { room, user }, signed);
    perform.joining.redeem(tx, { room, user }, signed);
    return undefined;
  });
  if (event === undefined) return;
  const verdict = (await rooms.input(event.roomId, [event], 'live', { broughtBy: serverName })).get(event.eventId);
  if (verdict?.kind === 'accepted') return;
  throw matrixError.forbidden(verdict?.reason ?? 'The invite was not taken');
}

/** `public_keys` of an m.room.third_party_invite event, or the one key of an older one. */
function keysOf(content: unknown): { readonly publicKey: string; readonly validityUrl: string }[] {
  const found = memberOf(content, 'public_keys');
  const list = Array.isArray(found) ? found : [];
  return [...list, content].flatMap((entry) => {
    const publicKey = asString(memberOf(entry, 'public_key'));
    const validityUrl = asString(memberOf(entry, 'key_validity_url'));
    return publicKey === undefined || validityUrl === undefined ? [] : [{ publicKey, validityUrl }];
  });
}
