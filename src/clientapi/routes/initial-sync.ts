/** Room previews and the deprecated `/initialSync` (C-S API v1.19 §Room Previews). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { readInitialSync, readRoomInitialSync, type InitialSyncParts } from '../../syncapi/index.ts';
import { askerOf, flag, wholeNumber } from './paging-query.ts';

const limit = v.optional(wholeNumber);

export const initialSyncRoutes = (parts: InitialSyncParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v3/rooms/:roomId/initialSync',
    auth: 'guest',
    rate: 'none',
    query: v.object({ limit }),
    handle: async (asked) => {
      const wanted = { roomId: asked.params.roomId, limit: asked.query.limit };
      return new JsonText([await readRoomInitialSync(parts, askerOf(asked), wanted)]);
    },
  }),
  route({
    method: 'GET',
    path: '/_matrix/client/v3/initialSync',
    auth: 'user',
    rate: 'none',
    query: v.object({ limit, archived: v.optional(flag, 'false') }),
    handle: async (asked) => {
      const { limit: wanted, archived } = asked.query;
      return new JsonText([await readInitialSync(parts, askerOf(asked), { limit: wanted, archived })]);
    },
  }),
];
