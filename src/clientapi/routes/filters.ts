/** Uploaded filters (C-S API v1.19 §Filtering). */
import { JsonText, route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { Database } from '../../storage/index.ts';
import type { Filters } from '../../userapi/index.ts';
import { jsonObject } from './body.ts';

export interface FilterRouteParts {
  readonly db: Database;
  readonly filters: Filters;
}

const path = '/_matrix/client/v3/user/:userId/filter';

function checkOwner(requester: Requester, userId: string): void {
  if (requester.userId !== userId) throw matrixError.forbidden('These are the filters of another user');
}

export function filterRoutes({ db, filters }: FilterRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: ({ requester, params, body }) => {
        checkOwner(requester, params.userId);
        return db.write((tx) => ({ filter_id: filters.add(tx, requester.userId, body) }));
      },
    }),
    route({
      method: 'GET',
      path: `${path}/:filterId`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params, shown }) => {
        checkOwner(requester, params.userId);
        shown.key(`user:${requester.userId}`);
        const text = db.read((snapshot) => filters.text(snapshot, requester.userId, params.filterId));
        if (text === undefined) throw matrixError.notFound('There is no such filter');
        return new JsonText([text]);
      },
    }),
  ];
}
