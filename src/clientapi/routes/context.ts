/** `GET /rooms/{roomId}/context/{eventId}` (C-S API v1.19 §Event Context). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { readContext, type ReadParts } from '../../syncapi/index.ts';
import { askerOf, filterOf, wholeNumber } from './paging-query.ts';

const query = v.object({ limit: v.optional(wholeNumber), filter: v.optional(v.string()) });

export const contextRoutes = (parts: ReadParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v3/rooms/:roomId/context/:eventId',
    auth: 'guest',
    rate: 'none',
    query,
    handle: async (asked) => {
      const { limit, filter } = asked.query;
      const wanted = { ...asked.params, limit, filter: filterOf(filter) };
      return new JsonText([await readContext(parts, askerOf(asked), wanted)]);
    },
  }),
];
