/**
 * The specification's own rows for administrators (C-S API v1.19 §Server Administration): who is logged in from where,
 * suspending and locking accounts. Authorisation comes before any look-up.
 */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Account, Accounts, Devices } from '../userapi/index.ts';
import { localUser, v1 } from './common.ts';

export interface ModerationParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly devices: Devices;
}

export const moderationRoutes = (parts: ModerationParts): Route[] => [
  ...whoisRoutes(parts),
  ...stateRoutes(parts, 'suspend', 'suspended'),
  ...stateRoutes(parts, 'lock', 'locked'),
];

function whoisRoutes(parts: ModerationParts): Route[] {
  return [
    route({
      method: 'GET',
      path: '/_matrix/client/v3/admin/whois/:userId',
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params: { userId } }) => {
        // "This API may be restricted to only be called by the user being looked up, or by a server admin."
        if (requester.userId !== userId && !requester.isAdmin) {
          throw matrixError.forbidden('Only server administrators may look others up');
        }
        return whois(parts, userId);
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/whois/:userId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params: { userId } }) => whois(parts, userId),
    }),
  ];
}

/** Devices with the last request of each; those that made none have no connection. */
function whois(parts: ModerationParts, userId: string): JsonObject {
  const user = localUser(parts, userId);
  const listed = parts.db.read((snapshot) =>
    parts.accounts.get(snapshot, user) === undefined ? undefined : parts.devices.list(snapshot, user),
  );
  if (listed === undefined) throw matrixError.notFound('There is no such user');
  const devices = listed.map(({ deviceId, lastSeenAt, lastSeenIp, lastSeenAgent }): [string, JsonObject] => {
    const seen = { ip: lastSeenIp ?? '', last_seen: lastSeenAt ?? 0, user_agent: lastSeenAgent ?? '' };
    return [deviceId, { sessions: [{ connections: lastSeenAt === undefined ? [] : [seen] }] }];
  });
  return { user_id: user, devices: Object.fromEntries(devices) };
}

function stateRoutes(parts: ModerationParts, verb: 'suspend' | 'lock', state: 'suspended' | 'locked'): Route[] {
  const path = `/_matrix/client/v1/admin/${verb}/:userId` as const;
  const aliases = [`/_matrix/client/unstable/uk.timedout.msc4323/admin/${verb}/:userId`];
  return [
    route({
      method: 'GET',
      path,
      aliases,
      auth: 'admin',
      rate: 'none',
      handle: ({ requester, params, shown }) => {
        shown.key(`user:${params.userId}`);
        const account = parts.db.read((snapshot) => target(snapshot, parts, requester, params.userId));
        return { [state]: account[state] };
      },
    }),
    route({
      method: 'PUT',
      path,
      aliases,
      auth: 'admin',
      rate: 'none',
      body: v.looseObject({ [state]: v.boolean() }),
      handle: ({ requester, params, body }) =>
        parts.db.write((tx) => {
          const wanted = body[state] === true;
          const { userId } = target(tx, parts, requester, params.userId);
          if (userId === requester.userId) throw matrixError.forbidden('You cannot do this to your own account');
          if (state === 'suspended') parts.accounts.setSuspended(tx, userId, wanted);
          else parts.accounts.setLocked(tx, userId, wanted);
          return { [state]: wanted };
        }),
    }),
  ];
}

/** @throws M_INVALID_PARAM, M_NOT_FOUND (deactivated ones too), M_FORBIDDEN for other administrators */
function target(snapshot: Snapshot, parts: ModerationParts, requester: Requester, userId: string): Account {
  const user = localUser(parts, userId);
  const account = parts.accounts.demandActive(snapshot, user);
  if (account.isAdmin && user !== requester.userId) throw matrixError.forbidden('The user is an administrator too');
  return account;
}
