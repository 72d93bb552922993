/** Accounts for administrators: list, read, make, change. */
import * as v from 'valibot';
import { Reply, direction, flag, route, type Requester, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import { asString, type JsonObject } from '../matrix/json.ts';
import type { Database, Snapshot, Tx } from '../storage/index.ts';
import {
  accountOrders,
  checkedPassword,
  deactivate,
  listAccounts,
  type Account,
  type ListedAccount,
  type UserApi,
} from '../userapi/index.ts';
import { localAccount, localUser, nextFrom, pageQuery, v2 } from './common.ts';

export type UserRouteParts = UserApi & { readonly db: Database };

const listQuery = v.object({
  ...pageQuery,
  user_id: v.optional(v.string()),
  name: v.optional(v.string()),
  guests: v.optional(flag),
  admins: v.optional(flag),
  deactivated: v.optional(flag),
  locked: v.optional(flag),
  order_by: v.optional(v.picklist(accountOrders), 'name'),
  dir: v.optional(direction, 'f'),
  not_user_type: v.optional(v.union([v.string(), v.array(v.string())])),
});

const change = v.looseObject({
  password: v.nullish(v.string()),
  logout_devices: v.nullish(v.boolean()),
  displayname: v.nullish(v.string()),
  avatar_url: v.nullish(v.string()),
  threepids: v.nullish(v.array(v.object({ medium: v.picklist(['email', 'msisdn']), address: v.string() }))),
  external_ids: v.nullish(v.array(v.unknown())),
  admin: v.nullish(v.boolean()),
  deactivated: v.nullish(v.boolean()),
  locked: v.nullish(v.boolean()),
  suspended: v.nullish(v.boolean()),
  user_type: v.nullish(v.string()),
});
type Change = v.InferOutput<typeof change>;

export const userRoutes = (parts: UserRouteParts): Route[] => [
  listRoute(parts, v2),
  listRoute(parts, '/_synapse/admin/v3'),
  route({
    method: 'GET',
    path: `${v2}/users/:userId`,
    auth: 'admin',
    rate: 'none',
    handle: ({ params, shown }) => {
      shown.key(`user:${params.userId}`);
      return parts.db.read((snapshot) => describe(snapshot, parts, localAccount(snapshot, parts, params.userId)));
    },
  }),
  route({
    method: 'PUT',
    path: `${v2}/users/:userId`,
    auth: 'admin',
    rate: 'none',
    body: change,
    handle: ({ requester, params, body }) => put(parts, requester, localUser(parts, params.userId), body),
  }),
];

const listRoute = ({ db }: UserRouteParts, base: string): Route =>
  route({
    method: 'GET',
    path: `${base}/users`,
    auth: 'admin',
    rate: 'none',
    query: listQuery,
    handle: ({ query }) => {
      // v2 leaves out deactivated and locked accounts unless they are asked for; v3 filters by what it is told.
      const included = (wanted: boolean | undefined): boolean | undefined => (wanted === true ? undefined : false);
      const types = query.not_user_type ?? [];
      const { accounts, total } = db.read((snapshot) =>
        listAccounts(snapshot, {
          ...{ idPart: query.user_id, namePart: query.name, admins: query.admins, orderBy: query.order_by },
          ...{ from: query.from, limit: query.limit, descending: query.dir === 'b' },
          guests: query.guests === false ? false : undefined,
          deactivated: base === v2 ? included(query.deactivated) : query.deactivated,
          locked: included(query.locked),
          notTypes: typeof types === 'string' ? [types] : types,
        }),
      );
      const next = nextFrom(query.from, accounts.length, total);
      const token = next === undefined ? {} : { next_token: String(next) };
      return { users: accounts.map(listed), total, ...token };
    },
  });

const listed = (account: ListedAccount): JsonObject => ({
  name: account.userId,
  is_guest: account.isGuest,
  admin: account.isAdmin,
  user_type: account.userType,
  deactivated: account.deactivated,
  erased: account.erased,
  shadow_banned: false,
  displayname: account.displayName,
  avatar_url: account.avatarUrl,
  creation_ts: account.createdAt,
  last_seen_ts: account.lastSeenAt,
  locked: account.locked,
  suspended: account.suspended,
});

/** One account in full. `creation_ts` is in seconds here, as tools expect it. */
function describe(snapshot: Snapshot, parts: UserRouteParts, account: Account): JsonObject {
  const { userId } = account;
  const seen = parts.devices.list(snapshot, userId).map(({ lastSeenAt }) => lastSeenAt ?? 0);
  const lastSeen = Math.max(0, ...seen);
  const field = (name: string): string | null => asString(parts.profiles.field(snapshot, userId, name)) ?? null;
  return {
    name: userId,
    displayname: field('displayname'),
    avatar_url: field('avatar_url'),
    threepids: parts.accounts.threepids(snapshot, userId),
    is_guest: account.kind === 'guest',
    admin: account.isAdmin,
    deactivated: account.deactivated,
    erased: account.erased,
    shadow_banned: false,
    creation_ts: Math.floor(account.createdAt / 1000),
    last_seen_ts: lastSeen === 0 ? null : lastSeen,
    appservice_id: null,
    consent_server_notice_sent: null,
    consent_version: null,
    consent_ts: null,
    external_ids: [],
    user_type: account.userType ?? null,
    locked: account.locked,
    suspended: account.suspended,
  };
}

/** Makes the account (201) or changes it (200). */
async function put(parts: UserRouteParts, requester: Requester, userId: UserId, body: Change): Promise<Reply> {
  const { db, accounts, passwords, memberEvents } = parts;
  const before = db.read((snapshot) => accounts.get(snapshot, userId));
  check(requester, userId, body, before);
  const password = body.password ?? undefined;
  const hash = password === undefined ? undefined : await passwords.hash(checkedPassword(password));
  const { profileChanged, gone } = await db.write((tx) => {
    const isNew = accounts.get(tx, userId) === undefined;
    if (isNew) accounts.create(tx, { userId: idOfNew(parts, userId), passwordHash: hash });
    else if (body.deactivated === false && before?.deactivated === true) accounts.reactivate(tx, userId);
    if (!isNew && hash !== undefined) {
      accounts.setPassword(tx, userId, hash);
      if (body.logout_devices ?? true) parts.devices.deleteSessions(tx, userId);
    }
    applyRights(tx, parts, userId, body);
    const gone = body.threepids ? parts.threepids.replace(tx, userId, body.threepids) : [];
    return { profileChanged: applyProfile(tx, parts, userId, body), gone };
  });
  if (profileChanged) await memberEvents.run(userId, 'profile');
  for (const threepid of gone) await parts.threepids.unbind(userId, threepid);
  if (body.deactivated === true && before?.deactivated !== true) await deactivate(parts, userId, false);
  const described = db.read((snapshot) => describe(snapshot, parts, localAccount(snapshot, parts, userId)));
  return new Reply(before === undefined ? 201 : 200, described);
}

/** @throws M_UNKNOWN (400) and the like for changes that cannot be */
function check(requester: Requester, userId: UserId, body: Change, before: Account | undefined): void {
  const own = requester.userId === userId;
  if (own && body.admin === false) throw matrixError.invalidParam('You cannot take your own rights away');
  if (own && (body.deactivated === true || body.locked === true || body.suspended === true)) {
    throw matrixError.invalidParam('You cannot close, lock or suspend your own account here');
  }
  if ((body.external_ids ?? []).length > 0) {
    throw matrixError.invalidParam('This server keeps no ids of external identity providers');
  }
  if (before?.deactivated === true && body.deactivated !== false && typeof body.password === 'string') {
    throw matrixError.invalidParam('The account is deactivated: a password needs "deactivated": false beside it');
  }
  if (before?.erased === true && body.deactivated === false) {
    throw matrixError.invalidParam('The account was erased: it cannot be opened again');
  }
  if (body.deactivated === true && typeof body.password === 'string') {
    throw matrixError.invalidParam('An account that is closed gets no password');
  }
}

/** A new account's name goes by the rules of registration. @throws M_INVALID_USERNAME */
function idOfNew({ accounts }: UserRouteParts, userId: UserId): UserId {
  const localpart = userId.slice(1, userId.indexOf(':'));
  const registrable = accounts.idForRegistration(localpart);
  if (registrable !== userId) throw matrixError.invalidUsername('A user name has no capital letters');
  return registrable;
}

function applyRights(tx: Tx, { accounts }: UserRouteParts, userId: UserId, body: Change): void {
  if (typeof body.admin === 'boolean') accounts.setAdmin(tx, userId, body.admin);
  if (typeof body.locked === 'boolean') accounts.setLocked(tx, userId, body.locked);
  if (typeof body.suspended === 'boolean') accounts.setSuspended(tx, userId, body.suspended);
  if (body.user_type !== undefined) accounts.setType(tx, userId, body.user_type ?? undefined);
}

/** True when rooms must follow. */
function applyProfile(tx: Tx, { profiles, memberEvents }: UserRouteParts, userId: UserId, body: Change): boolean {
  let changed = false;
  for (const field of ['displayname', 'avatar_url'] as const) {
    const value = body[field];
    if (typeof value === 'string') changed = profiles.set(tx, userId, field, value) || changed;
  }
  if (changed) memberEvents.require(tx, userId, 'profile');
  return changed;
}
