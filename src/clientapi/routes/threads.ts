/** `GET /rooms/{roomId}/threads` (C-S API v1.19 §Querying threads in a room). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { readThreads, type ReadParts } from '../../syncapi/index.ts';
import { askerOf, positiveNumber, token } from './paging-query.ts';

const query = v.object({
  include: v.optional(v.picklist(['all', 'participated'], 'expected all or participated'), 'all'),
  limit: v.optional(positiveNumber),
  from: token,
});

export const threadsRoutes = (parts: ReadParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/rooms/:roomId/threads',
    auth: 'user',
    rate: 'read',
    query,
    handle: async (asked) => {
      const { include, limit, from } = asked.query;
      const wanted = { roomId: asked.params.roomId, include, limit, from };
      return new JsonText([await readThreads(parts, askerOf(asked), wanted)]);
    },
  }),
];
