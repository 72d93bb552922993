/** `GET /rooms/{roomId}/timestamp_to_event` (C-S API v1.19 §Getting events for a room). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { readEventAtTime, type ReadParts } from '../../syncapi/index.ts';
import { askerOf, direction } from './paging-query.ts';

const query = v.object({
  ts: v.pipe(v.string(), v.regex(/^-?\d{1,15}$/, 'expected a time in milliseconds'), v.transform(Number)),
  dir: direction,
});

export const timestampToEventRoutes = (parts: ReadParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/rooms/:roomId/timestamp_to_event',
    auth: 'user',
    rate: 'read',
    query,
    handle: (asked) => {
      const { ts, dir } = asked.query;
      return readEventAtTime(parts, askerOf(asked), { roomId: asked.params.roomId, ts, direction: dir });
    },
  }),
];
