/** Third-party identifiers of an account (C-S API v1.19 §Adding Account Administrative Contact Information). */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { Database } from '../../storage/index.ts';
import type { Accounts, EmailValidations, Threepids, Uia, ValidationKey } from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export interface ThreepidRouteParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly threepids: Threepids;
  readonly validations: EmailValidations;
  readonly uia: Uia;
}

const path = '/_matrix/client/v3/account/3pid';
const unstable = '/_matrix/client/unstable/account/3pid';
const key = { client_secret: v.string(), sid: v.string() };
const addBody = v.object(key);
const bindBody = v.object({ ...key, id_server: v.string(), id_access_token: v.string() });
const oldCredentials = v.object({ ...key, id_server: maybe(v.string()), id_access_token: maybe(v.string()) });
const oldBody = v.object({ three_pid_creds: maybe(oldCredentials), threePidCreds: maybe(oldCredentials) });
const removeBody = v.object({
  medium: v.picklist(['email', 'msisdn']),
  address: v.string(),
  id_server: maybe(v.string()),
});

export const threepidRoutes = (parts: ThreepidRouteParts): Route[] => [
  listRoute(parts),
  oldAddRoute(parts),
  addRoute(parts),
  bindRoute(parts),
  ...removeRoutes(parts),
];

const listRoute = ({ db, accounts }: ThreepidRouteParts): Route =>
  route({
    method: 'GET',
    path,
    auth: 'user',
    rate: 'none',
    handle: ({ requester: { userId }, shown }) => {
      shown.key(`user:${userId}`);
      return { threepids: db.read((snapshot) => accounts.threepids(snapshot, userId)) };
    },
  });

/** Gives the account what a session has proven; false when it has proven nothing. @throws M_THREEPID_IN_USE */
function addProven(parts: ThreepidRouteParts, requester: Requester, session: ValidationKey): Promise<boolean> {
  const { db, threepids, validations } = parts;
  return db.write((tx) => {
    const proven = validations.proven(tx, session, 'add');
    if (proven === undefined) return false;
    threepids.add(tx, requester.userId, { medium: 'email', address: proven.address }, proven.validatedAt);
    validations.end(tx, proven.sid);
    return true;
  });
}

/** The deprecated request: a session of this server adds, one of an identity server binds there. */
const oldAddRoute = (parts: ThreepidRouteParts): Route =>
  route({
    method: 'POST',
    path,
    auth: 'user',
    rate: 'none',
    body: oldBody,
    handle: async ({ requester, body }) => {
      const credentials = body.three_pid_creds ?? body.threePidCreds;
      if (credentials === undefined) throw matrixError.missingParam('Missing: three_pid_creds');
      const { sid, client_secret: clientSecret } = credentials;
      if (await addProven(parts, requester, { sid, clientSecret })) return {};
      const { id_server: idServer, id_access_token: accessToken } = credentials;
      if (idServer === undefined || accessToken === undefined) {
        throw new MatrixError(403, 'M_THREEPID_AUTH_FAILED', 'The identifier could not be verified');
      }
      await parts.threepids.bind(requester.userId, { idServer, accessToken, sid, clientSecret });
      return {};
    },
  });

const addRoute = (parts: ThreepidRouteParts): Route =>
  route({
    method: 'POST',
    path: `${path}/add`,
    aliases: [`${unstable}/add`],
    auth: 'user',
    rate: 'login',
    body: jsonObject,
    handle: ({ requester, body }) =>
      parts.uia.guardOwner({ operation: 'add an identifier', requester, body }, async (granted) => {
        const { sid, client_secret: clientSecret } = readBody(addBody, granted.body);
        if (!(await addProven(parts, requester, { sid, clientSecret }))) throw matrixError.threepidAuthFailed();
        return {};
      }),
  });

const bindRoute = ({ threepids }: ThreepidRouteParts): Route =>
  route({
    method: 'POST',
    path: `${path}/bind`,
    aliases: [`${unstable}/bind`],
    auth: 'user',
    rate: 'login',
    body: bindBody,
    handle: async ({ requester, body }) => {
      const { sid, client_secret: clientSecret, id_server: idServer, id_access_token: accessToken } = body;
      await threepids.bind(requester.userId, { idServer, accessToken, sid, clientSecret });
      return {};
    },
  });

const removeRoutes = ({ db, threepids }: ThreepidRouteParts): Route[] => [
  route({
    method: 'POST',
    path: `${path}/delete`,
    aliases: [`${unstable}/delete`],
    auth: 'user',
    rate: 'none',
    body: removeBody,
    handle: async ({ requester: { userId }, body: { medium, address, id_server: idServer } }) => {
      await db.write((tx) => threepids.remove(tx, userId, { medium, address }));
      return { id_server_unbind_result: await threepids.unbind(userId, { medium, address }, idServer) };
    },
  }),
  route({
    method: 'POST',
    path: `${path}/unbind`,
    aliases: [`${unstable}/unbind`],
    auth: 'user',
    rate: 'none',
    body: removeBody,
    handle: async ({ requester: { userId }, body: { medium, address, id_server: idServer } }) => ({
      id_server_unbind_result: await threepids.unbind(userId, { medium, address }, idServer),
    }),
  }),
];
