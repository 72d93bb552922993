/** Logging in and out, refreshing, who am I (C-S API v1.19 §Login, §Refreshing access tokens, §Current account information). */
import * as v from 'valibot';
import type { ServiceRegistry } from '../../appservice/index.ts';
import { route, type RateLimiter, type Route } from '../../http/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Database } from '../../storage/index.ts';
import {
  identifierOf,
  loginTokenLifetime,
  type Cas,
  type Devices,
  type IssuedTokens,
  type Session,
  type Sessions,
  type Uia,
} from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export interface SessionRouteParts {
  readonly db: Database;
  readonly limiter: RateLimiter;
  readonly serverName: string;
  readonly sessions: Sessions;
  readonly devices: Devices;
  readonly uia: Uia;
  readonly cas: Cas | undefined;
  /** The application services, which log their users in without a password. */
  readonly services: ServiceRegistry;
}

const v3 = '/_matrix/client/v3';
const login = v.object({
  type: v.string(),
  password: maybe(v.string()),
  token: maybe(v.string()),
  device_id: maybe(v.string()),
  initial_device_display_name: maybe(v.string()),
  refresh_token: maybe(v.boolean()),
});

/** Members of a reply that carries tokens. */
const tokenBody = ({ accessToken, refreshToken, expiresIn }: IssuedTokens): JsonObject => ({
  access_token: accessToken,
  ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
  ...(expiresIn === undefined ? {} : { expires_in_ms: expiresIn }),
});

/** The reply to a login or registration. */
export const sessionBody = (session: Session, serverName: string): JsonObject => ({
  user_id: session.userId,
  device_id: session.deviceId,
  home_server: serverName,
  ...tokenBody(session),
});

export const sessionRoutes = (parts: SessionRouteParts): Route[] => [...loginRows(parts), ...sessionRows(parts)];

function loginRows(parts: SessionRouteParts): Route[] {
  const { serverName, sessions, uia, cas } = parts;
  const signOn =
    cas === undefined ? [] : [{ type: 'm.login.sso', identity_providers: [cas.provider] }, { type: 'm.login.cas' }];
  return [
    route({
      method: 'GET',
      path: `${v3}/login`,
      auth: 'none',
      rate: 'read',
      handle: () => ({
        flows: [
          { type: 'm.login.password' },
          { type: 'm.login.token', get_login_token: true },
          { type: 'm.login.application_service' },
          ...signOn,
        ],
      }),
    }),
    route({
      method: 'POST',
      path: `${v3}/login`,
      auth: 'none',
      rate: 'login',
      body: jsonObject,
      handle: async ({ body, accessToken }) => sessionBody(await logIn(parts, body, accessToken), serverName),
    }),
    route({
      method: 'POST',
      path: '/_matrix/client/v1/login/get_token',
      aliases: ['/_matrix/client/unstable/org.matrix.msc3882/login/token'],
      auth: 'user',
      rate: 'login',
      body: jsonObject,
      handle: ({ requester, body }) =>
        uia.guardOwner({ operation: 'login token', requester, body }, async () => ({
          login_token: await sessions.issueLoginToken(requester.userId),
          expires_in_ms: loginTokenLifetime,
        })),
    }),
  ];
}

/** What the holder of a session does with it. */
function sessionRows({ db, sessions, devices }: SessionRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: `${v3}/refresh`,
      auth: 'none',
      rate: 'read',
      body: v.object({ refresh_token: v.string() }),
      handle: async ({ body }) => tokenBody(await sessions.refresh(body.refresh_token)),
    }),
    route({
      method: 'POST',
      path: `${v3}/logout`,
      auth: 'user',
      rate: 'none',
      whileLocked: true,
      handle: async ({ requester }) => {
        await db.write((tx) => sessions.end(tx, requester));
        return {};
      },
    }),
    route({
      method: 'POST',
      path: `${v3}/logout/all`,
      auth: 'user',
      rate: 'none',
      whileLocked: true,
      handle: async ({ requester }) => {
        await db.write((tx) => devices.deleteSessions(tx, requester.userId));
        return {};
      },
    }),
    route({
      method: 'GET',
      path: `${v3}/account/whoami`,
      auth: 'guest',
      rate: 'read',
      handle: ({ requester: { userId, deviceId, isGuest } }) => ({
        user_id: userId,
        ...(deviceId === undefined ? {} : { device_id: deviceId }),
        is_guest: isGuest,
      }),
    }),
  ];
}

/** @throws M_UNKNOWN for a type that is not served, M_FORBIDDEN, M_LIMIT_EXCEEDED, M_EXCLUSIVE, M_MISSING_TOKEN */
async function logIn(
  { sessions, limiter, services }: SessionRouteParts,
  body: JsonObject,
  accessToken: string | undefined,
): Promise<Session> {
  const { type, password, token, ...wish } = readBody(login, body);
  const session = {
    deviceId: wish.device_id,
    displayName: wish.initial_device_display_name,
    refreshable: wish.refresh_token,
  };
  switch (type) {
    case 'm.login.password': {
      const identifier = identifierOf(body);
      if (password === undefined) throw matrixError.missingParam('Missing: password');
      if (identifier === undefined) throw matrixError.missingParam('Missing: identifier');
      // Guessing one account's password from many addresses is slow too.
      const account = identifier.kind === 'user' ? identifier.user.toLowerCase() : identifier.address;
      limiter.demand('login', `account:${account}`);
      return sessions.loginWithPassword(identifier, password, session);
    }
    case 'm.login.token':
      if (token === undefined) throw matrixError.missingParam('Missing: token');
      return sessions.loginWithToken(token, session);
    case 'm.login.application_service': {
      const service = services.demand(accessToken);
      const identifier = identifierOf(body);
      if (identifier?.kind !== 'user') throw matrixError.missingParam('Missing: identifier');
      return sessions.loginForService(identifier.user, (userId) => services.ownsUser(service, userId), session);
    }
    default:
      throw new MatrixError(400, 'M_UNKNOWN', 'This login type is not supported');
  }
}
