/** Profiles (C-S API v1.19 §Profiles), with the unstable name of custom fields (MSC4133). */
import type { UnknownNames } from '../../appservice/index.ts';
import { demandUserId, route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { memberOf, type JsonValue } from '../../matrix/json.ts';
import type { Database, Shown, Tx } from '../../storage/index.ts';
import { checkFieldName, type RemoteUsers, type UserApi } from '../../userapi/index.ts';
import { jsonObject } from './body.ts';

export type ProfileRouteParts = Pick<UserApi, 'accounts' | 'profiles' | 'memberEvents' | 'presence'> & {
  readonly db: Database;
  /** Application services, which may know a user that is not known here. */
  readonly queries: UnknownNames;
  readonly remoteProfiles: RemoteUsers['profiles'];
};

const profile = '/_matrix/client/v3/profile/:userId';
const unstable = '/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId';
/** The fields that member events carry. */
const memberFields: ReadonlySet<string> = new Set(['displayname', 'avatar_url']);

/** Whether the requester may change this field of this user. @throws M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN */
function ownerOf(requester: Requester, userId: string, field: string): UserId {
  if (requester.userId !== userId) throw matrixError.forbidden('This is the profile of another user');
  // §Guest access: guests may have a name, and nothing else.
  if (requester.isGuest && field !== 'displayname') throw matrixError.guestAccessForbidden();
  return requester.userId;
}

export const profileRoutes = (parts: ProfileRouteParts): Route[] => [...readRows(parts), ...changeRows(parts)];

function readRows({ db, accounts, profiles, queries, remoteProfiles }: ProfileRouteParts): Route[] {
  const checkKnown = async (userId: UserId): Promise<void> => {
    await queries.user(userId);
    db.read((snapshot) => accounts.demandActive(snapshot, userId));
  };
  const fieldOf = async (userId: UserId, field: string, shown: Shown): Promise<JsonValue | undefined> => {
    if (!accounts.isLocal(userId)) return memberOf(await remoteProfiles.get(userId, field), field);
    await checkKnown(userId);
    shown.key(`user:${userId}`);
    return db.read((snapshot) => profiles.field(snapshot, userId, field));
  };
  return [
    route({
      method: 'GET',
      path: profile,
      aliases: [unstable],
      auth: 'none',
      rate: 'read',
      handle: async ({ params, shown }) => {
        const userId = demandUserId(params.userId);
        if (!accounts.isLocal(userId)) return remoteProfiles.get(userId);
        await checkKnown(userId);
        shown.key(`user:${userId}`);
        return db.read((snapshot) => profiles.get(snapshot, userId));
      },
    }),
    route({
      method: 'GET',
      path: `${profile}/:keyName`,
      aliases: [`${unstable}/:keyName`],
      auth: 'none',
      rate: 'read',
      handle: async ({ params: { userId: user, keyName }, shown }) => {
        checkFieldName(keyName);
        const userId = demandUserId(user);
        const value = await fieldOf(userId, keyName, shown);
        if (value !== undefined) return { [keyName]: value };
        // Before v1.16 these two were always answered, "if they have set one, otherwise not present".
        if (memberFields.has(keyName)) return {};
        throw matrixError.notFound('The profile has no such field');
      },
    }),
  ];
}

function changeRows(parts: ProfileRouteParts): Route[] {
  const { profiles } = parts;
  return [
    route({
      method: 'PUT',
      path: `${profile}/:keyName`,
      aliases: [`${unstable}/:keyName`],
      auth: 'guest',
      rate: 'write',
      refuseSuspended: true,
      body: jsonObject,
      handle: ({ requester, params: { userId, keyName }, body }) => {
        const owner = ownerOf(requester, userId, keyName);
        checkFieldName(keyName);
        const value = memberOf(body, keyName);
        if (value === undefined) throw matrixError.missingParam(`Missing: ${keyName}`);
        return change(parts, owner, keyName, (tx) => profiles.set(tx, owner, keyName, value));
      },
    }),
    route({
      method: 'DELETE',
      path: `${profile}/:keyName`,
      aliases: [`${unstable}/:keyName`],
      auth: 'guest',
      rate: 'write',
      refuseSuspended: true,
      handle: ({ requester, params: { userId, keyName } }) => {
        const owner = ownerOf(requester, userId, keyName);
        return change(parts, owner, keyName, (tx) => profiles.delete(tx, owner, keyName));
      },
    }),
  ];
}

/** Makes a change; a new name or avatar then goes into every joined room, and to who sees the user's presence. */
async function change(
  { db, memberEvents, presence }: ProfileRouteParts,
  userId: UserId,
  field: string,
  apply: (tx: Tx) => boolean,
): Promise<object> {
  const follow = await db.write((tx) => {
    const changed = apply(tx) && memberFields.has(field);
    if (changed) memberEvents.require(tx, userId, 'profile');
    return changed;
  });
  if (follow) {
    await memberEvents.run(userId, 'profile');
    presence.profileChanged(userId);
  }
  return {};
}
