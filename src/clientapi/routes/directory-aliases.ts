/** Room aliases and the visibility of a room in the published directory (C-S API v1.19 §Room aliases, §Published room directory). */
import * as v from 'valibot';
import type { UnknownNames } from '../../appservice/index.ts';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseRoomAlias, serverNameOf } from '../../matrix/ids.ts';
import {
  findRoom,
  isWorldReadable,
  type Perform,
  type RemoteRooms,
  type Room,
  type RoomCore,
} from '../../roomserver/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';

export interface DirectoryAliasRouteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly remote: Pick<RemoteRooms, 'aliases'>;
  readonly serverName: string;
  /** Application services, which may know an alias that is not known here. */
  readonly queries: UnknownNames;
}

const aliasPath = '/_matrix/client/v3/directory/room/:roomAlias';
const listPath = '/_matrix/client/v3/directory/list/room/:roomId';

export const directoryAliasRoutes = (parts: DirectoryAliasRouteParts): Route[] => [
  resolveRoute(parts),
  ...changeRoutes(parts),
  localAliasesRoute(parts),
  ...listRoutes(parts),
];

/** @throws M_NOT_FOUND */
function knownRoom(snapshot: Snapshot, rooms: RoomCore, roomId: string): Room {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined) throw matrixError.notFound('There is no such room');
  return room;
}

const resolveRoute = ({ db, rooms, perform, remote, serverName, queries }: DirectoryAliasRouteParts): Route =>
  route({
    method: 'GET',
    path: aliasPath,
    auth: 'none',
    rate: 'read',
    handle: async ({ params: { roomAlias }, shown, signal }) => {
      const alias = parseRoomAlias(roomAlias);
      if (alias === undefined) throw matrixError.invalidParam('The room alias is not valid');
      if (serverNameOf(alias) !== serverName) {
        const { roomId, servers } = await remote.aliases.lookUp(alias, signal);
        return { room_id: roomId, servers };
      }
      await queries.alias(roomAlias);
      shown.key(`alias:${roomAlias}`);
      return db.read((snapshot) => {
        const nid = perform.aliases.roomOf(snapshot, roomAlias);
        if (nid === undefined) throw matrixError.notFound(`Room alias ${roomAlias} not found`);
        const others = rooms.hostsNow(snapshot, nid).filter((server) => server !== serverName);
        return { room_id: rooms.roomByNid(snapshot, nid).roomId, servers: [serverName, ...others] };
      });
    },
  });

const changeRoutes = ({ db, rooms, perform }: DirectoryAliasRouteParts): Route[] => [
  route({
    method: 'PUT',
    path: aliasPath,
    auth: 'user',
    rate: 'write',
    body: v.object({ room_id: v.string() }),
    handle: async ({ requester, params, body }) => {
      const alias = perform.aliases.parseLocal(params.roomAlias);
      await db.write((tx) => perform.aliases.create(tx, alias, knownRoom(tx, rooms, body.room_id), requester));
      return {};
    },
  }),
  route({
    method: 'DELETE',
    path: aliasPath,
    auth: 'user',
    rate: 'write',
    handle: async ({ requester, params }) => {
      const alias = perform.aliases.parseLocal(params.roomAlias);
      await db.write((tx) => perform.aliases.remove(tx, alias, requester));
      return {};
    },
  }),
];

const localAliasesRoute = ({ db, rooms, perform }: DirectoryAliasRouteParts): Route =>
  route({
    method: 'GET',
    path: '/_matrix/client/v3/rooms/:roomId/aliases',
    auth: 'user',
    rate: 'read',
    handle: ({ requester, params, shown }) =>
      db.read((snapshot) => {
        const room = findRoom(snapshot, rooms, params.roomId);
        const joined = rooms.membership(snapshot, room.nid, requester.userId)?.membership === 'join';
        if (!joined && !requester.isAdmin && !isWorldReadable(snapshot, rooms, room)) {
          throw matrixError.forbidden('You are not a member of the room');
        }
        shown.key(`room:${room.nid}`);
        const aliases = perform.aliases.aliasesOf(snapshot, room.nid);
        for (const alias of aliases) shown.key(`alias:${alias}`);
        return { aliases };
      }),
  });

const listRoutes = ({ db, rooms, perform }: DirectoryAliasRouteParts): Route[] => [
  route({
    method: 'GET',
    path: listPath,
    auth: 'none',
    rate: 'none',
    handle: ({ params, shown }) =>
      db.read((snapshot) => {
        const { nid } = knownRoom(snapshot, rooms, params.roomId);
        shown.key(`room:${nid}`);
        return { visibility: perform.aliases.isPublished(snapshot, nid) ? 'public' : 'private' };
      }),
  }),
  route({
    method: 'PUT',
    path: listPath,
    auth: 'user',
    rate: 'write',
    body: v.object({ visibility: v.optional(v.picklist(['public', 'private']), 'public') }),
    handle: async ({ requester, params, body }) => {
      await db.write((tx) =>
        perform.aliases.changePublished(
          tx,
          knownRoom(tx, rooms, params.roomId),
          body.visibility === 'public',
          requester,
        ),
      );
      return {};
    },
  }),
];
