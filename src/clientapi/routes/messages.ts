/** `GET /rooms/{roomId}/messages` (C-S API v1.19 §Syncing). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { readMessages, type ReadParts } from '../../syncapi/index.ts';
import { askerOf, direction, filterOf, token, wholeNumber } from './paging-query.ts';

const query = v.object({
  from: token,
  to: token,
  dir: v.optional(direction),
  limit: v.optional(wholeNumber),
  filter: v.optional(v.string()),
});

export const messagesRoutes = (parts: ReadParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v3/rooms/:roomId/messages',
    auth: 'guest',
    rate: 'none',
    query,
    handle: async (asked) => {
      const { dir, filter, from, to, limit } = asked.query;
      const wanted = { roomId: asked.params.roomId, from, to, limit, direction: dir, filter: filterOf(filter) };
      return new JsonText([await readMessages(parts, askerOf(asked), wanted)]);
    },
  }),
];
