/** `GET /query/profile` (S-S API v1.19 §Querying for information): profiles of our users, for whom clients may see them too. */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import { checkFieldName, type UserApi } from '../../userapi/index.ts';

export type QueryProfileParts = Pick<UserApi, 'accounts' | 'profiles'> & { readonly db: Database };

export const queryProfileRoutes = ({ db, accounts, profiles }: QueryProfileParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/query/profile',
    auth: 'server',
    rate: 'federation',
    query: v.object({ user_id: v.string(), field: v.optional(v.string()) }),
    handle: ({ query, shown }) => {
      const userId = parseUserId(query.user_id);
      if (userId === undefined || !accounts.isLocal(userId)) {
        throw matrixError.invalidParam('user_id is no user of this server');
      }
      const { field } = query;
      if (field !== undefined) checkFieldName(field);
      shown.key(`user:${userId}`);
      return db.read((snapshot) => {
        accounts.demandActive(snapshot, userId);
        if (field === undefined) return profiles.get(snapshot, userId);
        const value = profiles.field(snapshot, userId, field);
        // "If the user does not have a particular field set …, the server MUST either exclude it from the response body
        // or give it the value `null`."
        return value === undefined ? {} : { [field]: value };
      });
    },
  }),
];
