/** A space and the rooms right below it, as far as users of the asking server might come in (S-S API v1.19 §Spaces). */
import * as v from 'valibot';
import { flag, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import {
  mayServerDiscover,
  type RoomReader,
  roomSummary,
  type RoomSummary,
  spaceChildren,
} from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';

export interface FederationHierarchyParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly serverName: ServerName;
}

/** Children beyond these are left out. */
const mostChildren = 1000;

export const federationHierarchyRoutes = ({ db, rooms, serverName }: FederationHierarchyParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/hierarchy/:roomId',
    auth: 'server',
    rate: 'federation',
    query: v.object({ suggested_only: v.optional(flag, 'false') }),
    handle: ({ origin, params: { roomId }, query: { suggested_only: suggestedOnly }, shown }) =>
      db.snapshot(async (snapshot) => {
        const room = rooms.room(snapshot, roomId);
        if (
          room === undefined ||
          !rooms.isServerJoined(snapshot, room.nid, serverName) ||
          !mayServerDiscover(snapshot, rooms, room, origin)
        ) {
          throw matrixError.notFound('Room does not exist.');
        }
        shown.key(`room:${room.nid}`);
        const slice = new Slice();
        const wanted = spaceChildren(snapshot, rooms, room)
          .filter(({ content }) => !suggestedOnly || content.suggested === true)
          .slice(0, mostChildren);
        const children: RoomSummary[] = [];
        const inaccessible: string[] = [];
        for (const { state_key: childId } of wanted) {
          const child = rooms.room(snapshot, childId);
          // "Rooms which the responding server cannot provide details on will be outright excluded."
          if (child === undefined || !rooms.isServerJoined(snapshot, child.nid, serverName)) continue;
          if (mayServerDiscover(snapshot, rooms, child, origin)) children.push(roomSummary(snapshot, rooms, child));
          else inaccessible.push(childId);
          await slice.tick();
        }
        const summary = { ...roomSummary(snapshot, rooms, room), children_state: wanted };
        return { room: summary, children, inaccessible_children: inaccessible };
      }),
  }),
];
