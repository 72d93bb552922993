/** The three paths of the relationships API (C-S API v1.19 §Relationships API). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { readRelations, type ReadParts } from '../../syncapi/index.ts';
import { askerOf, direction, flag, positiveNumber, token } from './paging-query.ts';

const base = '/_matrix/client/v1/rooms/:roomId/relations/:eventId';
const query = v.object({
  from: token,
  to: token,
  dir: v.optional(direction, 'b'),
  limit: v.optional(positiveNumber),
  recurse: v.optional(flag, 'false'),
});

export const relationsRoutes = (parts: ReadParts): Route[] => [
  route({
    method: 'GET',
    path: `${base}/:relType/:eventType`,
    // A parameter that a path lacks is the empty string.
    aliases: [`${base}/:relType`, base],
    auth: 'user',
    rate: 'none',
    query,
    handle: async (asked) => {
      const { roomId, eventId, relType, eventType } = asked.params;
      const { dir, ...paging } = asked.query;
      const kind = { relType: relType || undefined, eventType: eventType || undefined };
      const wanted = { roomId, eventId, ...kind, ...paging, from: paging.from, to: paging.to, direction: dir };
      return new JsonText([await readRelations(parts, askerOf(asked), { ...wanted, limit: paging.limit })]);
    },
  }),
];
