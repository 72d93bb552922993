/** Password, closing the account, contact addresses (C-S API v1.19 §Account management). */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import { checkedPassword, deactivate, type UserApi } from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export type AccountRouteParts = UserApi & { readonly db: Database };

const v3 = '/_matrix/client/v3';
const passwordChange = v.object({ new_password: v.string(), logout_devices: maybe(v.boolean()) });
const deactivation = v.object({ erase: maybe(v.boolean()) });

/** Whose account it is: the token's, or the one whose password the client gave. */
function ownerOf(requester: Requester | undefined, shown: UserId | undefined): UserId {
  if (requester?.isGuest === true) throw matrixError.guestAccessForbidden();
  const userId = requester?.userId ?? shown;
  if (userId === undefined) throw matrixError.missingToken();
  return userId;
}

export function accountRoutes(parts: AccountRouteParts): Route[] {
  const { db, accounts, devices, passwords, uia } = parts;
  const flows = [['m.login.password']] as const;
  return [
    route({
      method: 'POST',
      path: `${v3}/account/password`,
      auth: 'optional',
      rate: 'login',
      body: jsonObject,
      handle: ({ requester, body }) =>
        uia.guard({ operation: 'password', requester, body, flows }, async (granted) => {
          const userId = ownerOf(requester, granted.facts.userId);
          const change = readBody(passwordChange, granted.body);
          const hash = await passwords.hash(checkedPassword(change.new_password));
          return db.write((tx) => {
            accounts.setPassword(tx, userId, hash);
            if (change.logout_devices ?? true) devices.deleteSessions(tx, userId, requester?.deviceId);
            return {};
          });
        }),
    }),
    route({
      method: 'POST',
      path: `${v3}/account/deactivate`,
      auth: 'optional',
      rate: 'login',
      body: jsonObject,
      handle: ({ requester, body }) =>
        uia.guard({ operation: 'deactivate', requester, body, flows }, async (granted) => {
          const { erase } = readBody(deactivation, granted.body);
          await deactivate(parts, ownerOf(requester, granted.facts.userId), erase ?? false);
          return { id_server_unbind_result: 'success' };
        }),
    }),
    route({
      method: 'GET',
      path: `${v3}/account/3pid`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester: { userId }, shown }) => {
        shown.key(`user:${userId}`);
        return { threepids: db.read((snapshot) => accounts.threepids(snapshot, userId)) };
      },
    }),
  ];
}
