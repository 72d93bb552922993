/** GET /keys/changes: `device_lists` of /sync for any range (C-S API v1.19 §Tracking the device list for a user). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { deviceListChanges, parseSyncToken } from '../../syncapi/index.ts';
import type { DeviceLists } from '../../userapi/index.ts';
import { runSliced, Slice } from '../../util/slice.ts';

export interface KeysChangesParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly deviceLists: DeviceLists;
}

export const keysChangesRoutes = ({ db, rooms, deviceLists }: KeysChangesParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v3/keys/changes',
    auth: 'user',
    rate: 'keys',
    query: v.object({ from: v.string(), to: v.optional(v.string()) }),
    handle: ({ requester: { userId: user }, query, shown }) => {
      const since = parseSyncToken(query.from);
      // "This may be used by the server as a hint to check its caches are up to date": they always are.
      parseSyncToken(query.to);
      if (since > db.head) throw matrixError.invalidParam('from is not a token that this server gave out');
      return db.snapshot(async (snapshot, head) => {
        const keyChanges = deviceLists.changedUsers(snapshot, since, head, user);
        const range = { snapshot, rooms, user, since, head };
        const changes = await runSliced(deviceListChanges(range, keyChanges), new Slice());
        for (const other of changes.changed) shown.key(`user:${other}`);
        shown.position(head);
        return changes;
      });
    },
  }),
];
