/** Password and closing the account (C-S API v1.19 §Account management). */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import { checkedPassword, deactivate, type Flows, type Granted, type UserApi } from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export type AccountRouteParts = UserApi & { readonly db: Database };

const v3 = '/_matrix/client/v3';
const passwordChange = v.object({ new_password: v.string(), logout_devices: maybe(v.boolean()) });
const deactivation = v.object({ erase: maybe(v.boolean()), id_server: maybe(v.string()) });

/** Whose account it is: the token's, or the one whose password the client gave. */
function ownerOf(requester: Requester | undefined, shown: UserId | undefined): UserId {
  if (requester?.isGuest === true) throw matrixError.guestAccessForbidden();
  const userId = requester?.userId ?? shown;
  if (userId === undefined) throw matrixError.missingToken();
  return userId;
}

export function accountRoutes(parts: AccountRouteParts): Route[] {
  const { db, accounts, devices, passwords, uia, validations } = parts;
  const byPassword: Flows = [['m.login.password']];
  // Who has no token has forgotten the password: his mailbox speaks for him.
  const forgotten: Flows = validations.isPossible ? [...byPassword, ['m.login.email.identity']] : byPassword;
  const guard = (
    operation: string,
    requester: Requester | undefined,
    body: JsonObject,
    flows: Flows,
    work: (granted: Granted) => Promise<unknown>,
  ): Promise<unknown> =>
    requester === undefined
      ? uia.guard({ operation, requester, body, flows }, work)
      : uia.guardOwner({ operation, requester, body }, work);
  return [
    route({
      method: 'POST',
      path: `${v3}/account/password`,
      auth: 'optional',
      rate: 'login',
      body: jsonObject,
      handle: ({ requester, body }) =>
        guard('password', requester, body, forgotten, async (granted) => {
          const userId = ownerOf(requester, granted.facts.userId);
          const change = readBody(passwordChange, granted.body);
          const hash = await passwords.hash(checkedPassword(change.new_password));
          return db.write((tx) => {
            accounts.setPassword(tx, userId, hash);
            if (granted.facts.email !== undefined) validations.end(tx, granted.facts.email.sid);
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
        guard('deactivate', requester, body, byPassword, async (granted) => {
          const { erase, id_server: idServer } = readBody(deactivation, granted.body);
          const userId = ownerOf(requester, granted.facts.userId);
          return { id_server_unbind_result: await deactivate(parts, userId, erase ?? false, idServer) };
        }),
    }),
  ];
}
