/** `GET /openid/userinfo` (S-S API v1.19 §OpenID): whose token it is, for any service that was handed one. */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { Database } from '../../storage/index.ts';
import type { OpenIdTokens } from '../../userapi/index.ts';

export interface OpenIdUserInfoParts {
  readonly db: Database;
  readonly openIdTokens: OpenIdTokens;
}

export const openIdUserInfoRoutes = ({ db, openIdTokens }: OpenIdUserInfoParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/openid/userinfo',
    auth: 'none',
    rate: 'read',
    query: v.object({ access_token: v.optional(v.string()) }),
    handle: ({ query: { access_token: token } }) => {
      if (token === undefined) throw matrixError.missingToken();
      const sub = db.read((snapshot) => openIdTokens.userOf(snapshot, token));
      if (sub === undefined) throw matrixError.unknownToken({}, 'Access token unknown or expired');
      return { sub };
    },
  }),
];
