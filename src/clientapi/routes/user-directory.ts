/** `POST /user_directory/search` (C-S API v1.19 §User Directory). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import type { Database } from '../../storage/index.ts';
import type { UserDirectory } from '../../userapi/index.ts';
import { maybe } from './body.ts';

export interface UserDirectoryParts {
  readonly db: Database;
  readonly directory: UserDirectory;
  /** Resolves when who has come by now can be found. */
  readonly directoryIndex: { caughtUp(): Promise<void> };
}

const limits = { default: 10, max: 100 };

export const userDirectoryRoutes = ({ db, directory, directoryIndex }: UserDirectoryParts): Route[] => [
  route({
    method: 'POST',
    path: '/_matrix/client/v3/user_directory/search',
    auth: 'user',
    rate: 'read',
    body: v.object({
      search_term: v.string(),
      limit: maybe(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
    }),
    handle: async ({ requester: { userId }, body: { search_term: term, limit = limits.default }, shown }) => {
      await directoryIndex.caughtUp();
      const found = db.read((snapshot) => directory.search(snapshot, userId, term, Math.min(limit, limits.max)));
      for (const { user_id: user } of found.results) shown.key(`user:${user}`);
      return found;
    },
  }),
];
