/** The published rooms of this server and of others (C-S API v1.19 §Published room directory). */
import * as v from 'valibot';
import type { NetworkDirectory } from '../../appservice/index.ts';
import { publicRoomsBody } from '../../federation/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseServerName, type ServerName } from '../../matrix/ids.ts';
import {
  readPublicRooms,
  type Perform,
  type PublicRoomsRequest,
  type RemoteRooms,
  type RoomReader,
} from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { token, wholeNumber } from './paging-query.ts';

export interface PublicRoomParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly remote: Pick<RemoteRooms, 'directory'>;
  readonly perform: Perform;
  readonly serverName: ServerName;
  /** Whether the published directory is shown without an access token. */
  readonly isListOpen: boolean;
  /** The room lists of bridged networks. */
  readonly networkRooms: NetworkDirectory;
}

const publicRoomsPath = '/_matrix/client/v3/publicRooms';
const server = v.optional(v.string());

export const publicRoomRoutes = (parts: PublicRoomParts): Route[] => [
  route({
    method: 'GET',
    path: publicRoomsPath,
    auth: 'optional',
    rate: 'none',
    query: v.object({ limit: v.optional(wholeNumber), since: token, server }),
    handle: ({ requester, query: { limit, since, server: asked }, signal }) => {
      // Strangers do not make this server ask others.
      const isOpen = parts.isListOpen && (asked === undefined || asked === parts.serverName);
      if (requester === undefined && !isOpen) throw matrixError.missingToken();
      return publicRooms(
        parts,
        { server: asked, signal },
        {},
        { limit, since, searchTerm: undefined, roomTypes: undefined },
      );
    },
  }),
  route({
    method: 'POST',
    path: publicRoomsPath,
    auth: 'user',
    rate: 'none',
    query: v.object({ server }),
    body: publicRoomsBody,
    handle: ({ query, body: { limit, since, filter, ...networks }, signal }) => {
      if (networks.include_all_networks === true && networks.third_party_instance_id !== undefined) {
        throw matrixError.invalidParam('third_party_instance_id can only be used without include_all_networks');
      }
      const { generic_search_term: searchTerm, room_types: roomTypes } = filter ?? {};
      return publicRooms(parts, { server: query.server, signal }, networks, {
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

interface WantedServer {
  readonly server: string | undefined;
  readonly signal: AbortSignal;
}

function publicRooms(
  { db, rooms, perform, remote, serverName, networkRooms }: PublicRoomParts,
  { server: asked, signal }: WantedServer,
  { include_all_networks: all = false, third_party_instance_id: instance }: WantedLists,
  request: PublicRoomsRequest,
): unknown {
  if (asked !== undefined && asked !== serverName) {
    const other = parseServerName(asked);
    if (other === undefined) throw matrixError.invalidParam('server is not the name of a server');
    const { limit, since, searchTerm, roomTypes } = request;
    const filter = {
      ...(searchTerm === undefined ? {} : { generic_search_term: searchTerm }),
      ...(roomTypes === undefined ? {} : { room_types: [...roomTypes] }),
    };
    const wish = {
      ...{ limit, since },
      filter: Object.keys(filter).length === 0 ? undefined : filter,
      includeAllNetworks: all || undefined,
      thirdPartyInstanceId: instance,
    };
    return remote.directory.publicRooms(other, wish, signal);
  }
  return db.read((snapshot) => {
    const own = instance === undefined ? perform.aliases.published(snapshot) : [];
    const bridged = all || instance !== undefined ? networkRooms.rooms(snapshot, instance) : [];
    return readPublicRooms(snapshot, rooms, [...new Set([...own, ...bridged])], request);
  });
}
