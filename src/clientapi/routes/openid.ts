/** `POST /user/{userId}/openid/request_token` (C-S API v1.19 §OpenID). */
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { Database } from '../../storage/index.ts';
import type { OpenIdTokens } from '../../userapi/index.ts';
import { jsonObject } from './body.ts';

export interface OpenIdParts {
  readonly db: Database;
  readonly openIdTokens: OpenIdTokens;
  readonly serverName: string;
}

export const openIdRoutes = ({ db, openIdTokens, serverName }: OpenIdParts): Route[] => [
  route({
    method: 'POST',
    path: '/_matrix/client/v3/user/:userId/openid/request_token',
    auth: 'user',
    rate: 'write',
    body: jsonObject,
    handle: async ({ requester, params }) => {
      if (params.userId !== requester.userId) throw matrixError.forbidden('This is not your user id');
      const { token, lifetimeMs } = await db.write((tx) => openIdTokens.issue(tx, requester.userId));
      return {
        access_token: token,
        token_type: 'Bearer',
        matrix_server_name: serverName,
        expires_in: Math.floor(lifetimeMs / 1000),
      };
    },
  }),
];
