/** What administrators do with one account: passwords, closing, acting as the user, rights, limits; and look-ups. */
import * as v from 'valibot';
import { maybe, route, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import { checkedPassword, deactivate, type UserApi } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { localAccount, localUser, v1 } from './common.ts';

export type UserActionParts = UserApi & {
  readonly db: Database;
  readonly clock: Clock;
};

const user = `${v1}/users/:userId` as const;
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0, 'expected no negative number'));

export const userActionRoutes = (parts: UserActionParts): Route[] => [
  ...accessRoutes(parts),
  ...rightsRoutes(parts),
  ...limitRoutes(parts),
  ...lookupRoutes(parts),
];

function accessRoutes(parts: UserActionParts): Route[] {
  const { db, accounts, devices, passwords, sessions, clock } = parts;
  return [
    route({
      method: 'POST',
      path: `${v1}/reset_password/:userId`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ new_password: v.string(), logout_devices: maybe(v.boolean()) }),
      handle: async ({ params, body }) => {
        const { userId, deactivated } = db.read((snapshot) => localAccount(snapshot, parts, params.userId));
        if (deactivated) throw matrixError.invalidParam('The account is deactivated');
        const hash = await passwords.hash(checkedPassword(body.new_password));
        return db.write((tx) => {
          accounts.setPassword(tx, userId, hash);
          if (body.logout_devices ?? true) devices.deleteSessions(tx, userId);
          return {};
        });
      },
    }),
    route({
      method: 'POST',
      path: `${v1}/deactivate/:userId`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ erase: maybe(v.boolean()) }),
      handle: async ({ params, body }) => {
        const { userId } = db.read((snapshot) => localAccount(snapshot, parts, params.userId));
        return { id_server_unbind_result: await deactivate(parts, userId, body.erase ?? false) };
      },
    }),
    route({
      method: 'POST',
      path: `${user}/login`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ valid_until_ms: maybe(v.pipe(v.number(), v.safeInteger())) }),
      handle: async ({ requester, params, body: { valid_until_ms: until } }) => {
        const { userId, deactivated } = db.read((snapshot) => localAccount(snapshot, parts, params.userId));
        if (userId === requester.userId) throw matrixError.invalidParam('You cannot act as yourself');
        if (deactivated) throw matrixError.invalidParam('The account is deactivated');
        if (until !== undefined && until <= clock.now())
          throw matrixError.invalidParam('valid_until_ms is in the past');
        const token = await db.write((tx) => sessions.openAs(tx, userId, requester.userId, until));
        return { access_token: token };
      },
    }),
  ];
}

function rightsRoutes(parts: UserActionParts): Route[] {
  const { db, accounts } = parts;
  return [
    route({
      method: 'GET',
      path: `${user}/admin`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        shown.key(`user:${params.userId}`);
        return { admin: db.read((snapshot) => localAccount(snapshot, parts, params.userId)).isAdmin };
      },
    }),
    route({
      method: 'PUT',
      path: `${user}/admin`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ admin: v.boolean() }),
      handle: ({ requester, params, body: { admin } }) =>
        db.write((tx) => {
          const { userId } = localAccount(tx, parts, params.userId);
          if (userId === requester.userId && !admin) {
            throw matrixError.invalidParam('You cannot take your own rights away');
          }
          accounts.setAdmin(tx, userId, admin);
          return {};
        }),
    }),
    route({
      method: 'PUT',
      path: `${v1}/suspend/:userId`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ suspend: v.boolean() }),
      handle: ({ requester, params, body: { suspend } }) =>
        db.write((tx) => {
          const { userId } = localAccount(tx, parts, params.userId);
          if (userId === requester.userId) throw matrixError.invalidParam('You cannot suspend your own account');
          accounts.setSuspended(tx, userId, suspend);
          return { [`user_${userId}_suspended`]: suspend };
        }),
    }),
  ];
}

function limitRoutes(parts: UserActionParts): Route[] {
  const { db, rateOverrides } = parts;
  const path = `${user}/override_ratelimit` as const;
  return [
    route({
      method: 'GET',
      path,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) =>
        db.read((snapshot) => {
          const own = rateOverrides.get(snapshot, localAccount(snapshot, parts, params.userId).userId);
          return own === undefined ? {} : { messages_per_second: own.perSecond, burst_count: own.burst };
        }),
    }),
    route({
      method: 'POST',
      path,
      auth: 'admin',
      rate: 'none',
      body: v.object({ messages_per_second: maybe(count), burst_count: maybe(count) }),
      handle: ({ params, body: { messages_per_second: perSecond = 0, burst_count: burst = 0 } }) =>
        db.write((tx) => {
          rateOverrides.set(tx, localAccount(tx, parts, params.userId).userId, { perSecond, burst });
          return { messages_per_second: perSecond, burst_count: burst };
        }),
    }),
    route({
      method: 'DELETE',
      path,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) =>
        db.write((tx) => {
          rateOverrides.delete(tx, localAccount(tx, parts, params.userId).userId);
          return {};
        }),
    }),
  ];
}

function lookupRoutes(parts: UserActionParts): Route[] {
  const { db, accounts, registration } = parts;
  return [
    route({
      method: 'GET',
      path: `${v1}/username_available`,
      auth: 'admin',
      rate: 'none',
      query: v.object({ username: v.string() }),
      handle: ({ query, shown }) => {
        shown.key(`user:${registration.checkAvailable(query.username)}`);
        return { available: true };
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/threepid/:medium/users/:address`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params: { medium, address } }) => {
        const account = db.read((snapshot) => accounts.findByThreepid(snapshot, medium, address));
        if (account === undefined) throw matrixError.notFound('Nobody has this third-party identifier');
        return { user_id: account.userId };
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/auth_providers/:provider/users/:externalId`,
      auth: 'admin',
      rate: 'none',
      handle: () => {
        throw matrixError.notFound('Nobody has this id at this provider');
      },
    }),
    route({
      method: 'GET',
      path: `${user}/accountdata`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        const userId = localUser(parts, params.userId);
        shown.key(`user:${userId}`);
        return { account_data: db.read((snapshot) => accountData(snapshot, parts, userId)) };
      },
    }),
  ];
}

/** All account data, by room and type. */
function accountData(snapshot: Snapshot, parts: UserActionParts, text: UserId): unknown {
  const { userId } = localAccount(snapshot, parts, text);
  const global: Record<string, unknown> = {};
  const rooms: Record<string, Record<string, unknown>> = {};
  for (const { roomId, type, content } of parts.accountData.all(snapshot, userId)) {
    const place = roomId === null ? global : (rooms[roomId] ??= {});
    place[type] = JSON.parse(content);
  }
  return { global, rooms };
}
