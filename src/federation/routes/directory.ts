/** Aliases and the published rooms, for other servers (S-S API v1.19 §Querying for information, §Published Room Directory). */
import * as v from 'valibot';
import type { RoomNid } from '../../bus/index.ts';
import { flag, maybe, route, wholeNumber, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import { type Perform, type PublicRoomsRequest, readPublicRooms, type RoomReader } from '../../roomserver/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';

export interface FederationDirectoryParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Pick<Perform, 'aliases'>;
  readonly serverName: ServerName;
  /** Whether other servers are shown the published rooms. */
  readonly isListShared: boolean;
  /** Application services, which may know an alias that is not known here. */
  readonly queries: { alias(alias: string): Promise<unknown> };
  /** The room lists of bridged networks. */
  readonly networkRooms: { rooms(snapshot: Snapshot, instance: string | undefined): readonly RoomNid[] };
}

/** The body of `POST /publicRooms` of both APIs. */
export const publicRoomsBody = v.object({
  limit: maybe(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  since: maybe(v.string()),
  filter: maybe(
    v.object({
      generic_search_term: maybe(v.string()),
      room_types: maybe(v.array(v.nullable(v.string()))),
    }),
  ),
  include_all_networks: maybe(v.boolean()),
  third_party_instance_id: maybe(v.string()),
});

const text = v.optional(v.string());
const publicRoomsPath = '/_matrix/federation/v1/publicRooms';

export const federationDirectoryRoutes = (parts: FederationDirectoryParts): Route[] => [
  aliasRoute(parts),
  ...publicRoomRoutes(parts),
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/query/:queryType',
    auth: 'server',
    rate: 'federation',
    // "The query arguments are dependent on which type of query is being made": the known types have rows of their own.
    handle: () => {
      throw matrixError.unrecognized('This type of query is not known');
    },
  }),
];

const aliasRoute = ({ db, rooms, perform, serverName, queries }: FederationDirectoryParts): Route =>
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/query/directory',
    auth: 'server',
    rate: 'federation',
    query: v.object({ room_alias: v.string() }),
    handle: async ({ query: { room_alias: alias }, shown }) => {
      await queries.alias(alias);
      shown.key(`alias:${alias}`);
      return db.read((snapshot) => {
        const nid = perform.aliases.roomOf(snapshot, alias);
        if (nid === undefined) throw matrixError.notFound(`Room alias ${alias} not found`);
        const others = rooms.hostsNow(snapshot, nid).filter((server) => server !== serverName);
        return { room_id: rooms.roomByNid(snapshot, nid).roomId, servers: [serverName, ...others] };
      });
    },
  });

interface WantedNetworks {
  readonly include_all_networks?: boolean | undefined;
  readonly third_party_instance_id?: string | undefined;
}

function publicRooms(
  { db, rooms, perform, networkRooms, isListShared }: FederationDirectoryParts,
  { include_all_networks: all = false, third_party_instance_id: instance }: WantedNetworks,
  request: PublicRoomsRequest,
): unknown {
  if (!isListShared) throw matrixError.forbidden('The published rooms of this server are not shown to others');
  return db.read((snapshot) => {
    const own = instance === undefined ? perform.aliases.published(snapshot) : [];
    const bridged = all || instance !== undefined ? networkRooms.rooms(snapshot, instance) : [];
    // Nobody of another server could join the others.
    const open = [...new Set([...own, ...bridged])].filter((nid) => rooms.roomByNid(snapshot, nid).federate);
    return readPublicRooms(snapshot, rooms, open, request);
  });
}

const publicRoomRoutes = (parts: FederationDirectoryParts): Route[] => [
  route({
    method: 'GET',
    path: publicRoomsPath,
    auth: 'server',
    rate: 'federation',
    query: v.object({
      limit: v.optional(wholeNumber),
      since: text,
      include_all_networks: v.optional(flag),
      third_party_instance_id: text,
    }),
    handle: ({ query: { limit, since, ...networks } }) =>
      publicRooms(parts, networks, { limit, since: since || undefined, searchTerm: undefined, roomTypes: undefined }),
  }),
  route({
    method: 'POST',
    path: publicRoomsPath,
    auth: 'server',
    rate: 'federation',
    body: publicRoomsBody,
    handle: ({ body: { limit, since, filter, ...networks } }) => {
      const { generic_search_term: searchTerm, room_types: roomTypes } = filter ?? {};
      return publicRooms(parts, networks, { limit, since: since || undefined, searchTerm, roomTypes });
    },
  }),
];
