/** Finding rooms: the published directory, summaries of rooms, the trees of spaces (C-S API v1.19 §Room discovery, §Spaces). */
import * as v from 'valibot';
import type { NetworkDirectory } from '../../appservice/index.ts';
import { publicRoomsBody } from '../../federation/index.ts';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseRoomAlias, parseServerName } from '../../matrix/ids.ts';
import {
  mayDiscover,
  readHierarchy,
  readPublicRooms,
  roomSummary,
  type Perform,
  type PublicRoomsRequest,
  type Room,
  type RoomReader,
} from '../../roomserver/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import { flag, positiveNumber, token, wholeNumber } from './paging-query.ts';

export interface RoomDiscoveryParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Perform;
  readonly serverName: string;
  /** Whether the published directory is shown without an access token. */
  readonly isListOpen: boolean;
  /** The room lists of bridged networks. */
  readonly networkRooms: NetworkDirectory;
}

export const roomDiscoveryRoutes = (parts: RoomDiscoveryParts): Route[] => [
  ...publicRoomRoutes(parts),
  hierarchyRoute(parts),
  ...summaryRoutes(parts),
];

const publicRoomsPath = '/_matrix/client/v3/publicRooms';
const server = v.optional(v.string());

const publicRoomRoutes = (parts: RoomDiscoveryParts): Route[] => [
  route({
    method: 'GET',
    path: publicRoomsPath,
    auth: 'optional',
    rate: 'none',
    query: v.object({ limit: v.optional(wholeNumber), since: token, server }),
    handle: ({ requester, query: { limit, since, server: asked } }) => {
      if (requester === undefined && !parts.isListOpen) throw matrixError.missingToken();
      return publicRooms(parts, asked, {}, { limit, since, searchTerm: undefined, roomTypes: undefined });
    },
  }),
  route({
    method: 'POST',
    path: publicRoomsPath,
    auth: 'user',
    rate: 'none',
    query: v.object({ server }),
    body: publicRoomsBody,
    handle: ({ query, body: { limit, since, filter, ...networks } }) => {
      if (networks.include_all_networks === true && networks.third_party_instance_id !== undefined) {
        throw matrixError.invalidParam('third_party_instance_id can only be used without include_all_networks');
      }
      const { generic_search_term: searchTerm, room_types: roomTypes } = filter ?? {};
      return publicRooms(parts, query.server, networks, {
        limit,
        since: since === '' ? undefined : since,
        searchTerm,
        roomTypes,
      });
    },
  }),
];

interface WantedLists {
  readonly include_all_networks?: boolean | undefined;
  /** The list of this network only, instead of the server's own. */
  readonly third_party_instance_id?: string | undefined;
}

function publicRooms(
  { db, rooms, perform, serverName, networkRooms }: RoomDiscoveryParts,
  asked: string | undefined,
  { include_all_networks: all = false, third_party_instance_id: instance }: WantedLists,
  request: PublicRoomsRequest,
): unknown {
  if (asked !== undefined && asked !== serverName) {
    if (parseServerName(asked) === undefined) throw matrixError.invalidParam('server is not the name of a server');
    throw matrixError.connectionFailed('The directory of that server cannot be read');
  }
  return db.read((snapshot) => {
    const own = instance === undefined ? perform.aliases.published(snapshot) : [];
    const bridged = all || instance !== undefined ? networkRooms.rooms(snapshot, instance) : [];
    return readPublicRooms(snapshot, rooms, [...new Set([...own, ...bridged])], request);
  });
}

const hierarchyRoute = ({ db, rooms }: RoomDiscoveryParts): Route =>
  route({
    method: 'GET',
    path: '/_matrix/client/v1/rooms/:roomId/hierarchy',
    auth: 'user',
    rate: 'read',
    query: v.object({
      suggested_only: v.optional(flag, 'false'),
      limit: v.optional(positiveNumber),
      max_depth: v.optional(wholeNumber),
      from: token,
    }),
    handle: ({ requester, params: { roomId }, query }) => {
      const { suggested_only: suggestedOnly, max_depth: maxDepth, limit, from } = query;
      const request = { roomId, suggestedOnly, maxDepth, limit, from };
      return db.snapshot((snapshot) => readHierarchy(snapshot, rooms, requester.userId, request));
    },
  });

const summaryRoutes = (parts: RoomDiscoveryParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/room_summary/:roomIdOrAlias',
    auth: 'optional',
    rate: 'none',
    handle: ({ requester, params }) => summaryOf(parts, params.roomIdOrAlias, requester),
  }),
  route({
    method: 'GET',
    path: '/_matrix/client/unstable/im.nheko.summary/summary/:roomIdOrAlias',
    aliases: ['/_matrix/client/unstable/im.nheko.summary/rooms/:roomIdOrAlias/summary'],
    auth: 'optional',
    rate: 'none',
    handle: ({ requester, params }) => {
      const summary = summaryOf(parts, params.roomIdOrAlias, requester);
      const { room_version: version, encryption } = summary;
      // Names of before the specification took the endpoint in.
      return {
        ...summary,
        'im.nheko.summary.room_version': version,
        'im.nheko.summary.version': version,
        ...(encryption === undefined ? {} : { 'im.nheko.summary.encryption': encryption }),
      };
    },
  }),
];

/** @throws M_NOT_FOUND, also for rooms that the user may not know of */
function summaryOf({ db, rooms, perform }: RoomDiscoveryParts, idOrAlias: string, requester: Requester | undefined) {
  return db.read((snapshot) => {
    const room = roomOf(snapshot, rooms, perform, idOrAlias);
    if (room === undefined || !mayDiscover(snapshot, rooms, room, requester?.userId)) {
      throw matrixError.notFound('Room not found');
    }
    const membership = requester && rooms.membership(snapshot, room.nid, requester.userId)?.membership;
    return {
      ...roomSummary(snapshot, rooms, room),
      ...(requester === undefined ? {} : { membership: membership ?? 'leave' }),
    };
  });
}

function roomOf(snapshot: Snapshot, rooms: RoomReader, perform: Perform, idOrAlias: string): Room | undefined {
  const alias = parseRoomAlias(idOrAlias);
  if (alias === undefined) return rooms.room(snapshot, idOrAlias);
  const nid = perform.aliases.roomOf(snapshot, alias);
  return nid === undefined ? undefined : rooms.roomByNid(snapshot, nid);
}
