/** Finding rooms: summaries of rooms and the trees of spaces, of this server and of others (C-S API v1.19 §Spaces, §Room summary). */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import {
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  serverNameOf,
  type RoomId,
  type ServerName,
  type UserId,
} from '../../matrix/ids.ts';
import {
  mayDiscover,
  mayDiscoverTold,
  readHierarchy,
  roomSummary,
  type Perform,
  type RemoteRooms,
  type RoomReader,
} from '../../roomserver/index.ts';
import { asPosition, type Database, type Shown, type Snapshot } from '../../storage/index.ts';
import { flag, positiveNumber, token, wholeNumber } from './paging-query.ts';

export interface RoomDiscoveryParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Perform;
  readonly remote: Pick<RemoteRooms, 'aliases' | 'directory'>;
  readonly serverName: ServerName;
}

export const roomDiscoveryRoutes = (parts: RoomDiscoveryParts): Route[] => [
  hierarchyRoute(parts),
  ...summaryRoutes(parts),
];

const endOfTime = asPosition(Number.MAX_SAFE_INTEGER);

/** One server's name or several. */
const via = v.pipe(
  v.optional(v.union([v.string(), v.array(v.string())]), []),
  v.transform((names) => [names].flat().flatMap((name) => parseServerName(name) ?? [])),
);

const hierarchyRoute = ({ db, rooms, remote, serverName }: RoomDiscoveryParts): Route =>
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
      via,
    }),
    handle: ({ requester: { userId: user }, params, query, shown, signal }) => {
      const { suggested_only: suggestedOnly, max_depth: maxDepth, limit, from, via: servers } = query;
      const roomId = parseRoomId(params.roomId);
      if (roomId === undefined) throw matrixError.forbidden('You are not allowed to view this room');
      const paging = { maxDepth, limit, from };
      const request = { roomId, user, suggestedOnly, ...paging, via: servers, shown, signal };
      return readHierarchy({ db, rooms, serverName, directory: remote.directory }, request);
    },
  });

const summaryRoutes = (parts: RoomDiscoveryParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/room_summary/:roomIdOrAlias',
    auth: 'optional',
    rate: 'none',
    query: v.object({ via }),
    handle: (asked) => summaryOf(parts, asked),
  }),
  route({
    method: 'GET',
    path: '/_matrix/client/unstable/im.nheko.summary/summary/:roomIdOrAlias',
    aliases: ['/_matrix/client/unstable/im.nheko.summary/rooms/:roomIdOrAlias/summary'],
    auth: 'optional',
    rate: 'none',
    query: v.object({ via }),
    handle: async (asked) => {
      const summary = await summaryOf(parts, asked);
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

interface SummaryAsked {
  readonly requester: Requester | undefined;
  readonly params: { readonly roomIdOrAlias: string };
  readonly query: { readonly via: readonly ServerName[] };
  readonly shown: Shown;
  readonly signal: AbortSignal;
}

/** @throws M_NOT_FOUND, also for rooms that the user may not know of */
async function summaryOf(parts: RoomDiscoveryParts, asked: SummaryAsked) {
  const { db, rooms, remote, serverName } = parts;
  const user = asked.requester?.userId;
  const { roomId, servers } = await roomOf(parts, asked);
  const own = db.read((snapshot) => {
    const room = rooms.room(snapshot, roomId);
    if (room === undefined || !rooms.isServerJoined(snapshot, room.nid, serverName)) return undefined;
    if (!mayDiscover(snapshot, rooms, room, user)) throw matrixError.notFound('Room not found');
    asked.shown.key(`room:${room.nid}`);
    return roomSummary(snapshot, rooms, room);
  });
  // Only for who is logged in others are asked: "Servers should consider rate limiting requests that require a
  // federation request more heavily if the client is unauthenticated."
  const others = servers.filter((server) => server !== serverName);
  const mayAsk = own === undefined && user !== undefined && others.length > 0;
  const told = mayAsk ? await remote.directory.space(roomId, others, true, asked.signal) : undefined;
  return db.read((snapshot) => {
    const summary = own ?? (told && mayDiscoverTold(snapshot, rooms, told.summary, user) ? told.summary : undefined);
    const found = summary ?? formerRoom(snapshot, parts, roomId, user);
    if (found === undefined) throw matrixError.notFound('Room not found');
    return { ...found, ...(user === undefined ? {} : { membership: membershipIn(snapshot, rooms, roomId, user) }) };
  });
}

/** What we knew of a room when we were there. */
function formerRoom(snapshot: Snapshot, { rooms }: RoomDiscoveryParts, roomId: string, user: UserId | undefined) {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined || !mayDiscover(snapshot, rooms, room, user)) return undefined;
  return roomSummary(snapshot, rooms, room);
}

function membershipIn(snapshot: Snapshot, rooms: RoomReader, roomId: string, user: UserId): string {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined) return 'leave';
  return rooms.localMembershipAt(snapshot, user, room.nid, endOfTime)?.membership ?? 'leave';
}

/** @throws M_NOT_FOUND */
async function roomOf(
  { db, rooms, perform, remote, serverName }: RoomDiscoveryParts,
  { params: { roomIdOrAlias }, query, requester, signal }: SummaryAsked,
): Promise<{ readonly roomId: RoomId; readonly servers: readonly ServerName[] }> {
  const alias = parseRoomAlias(roomIdOrAlias);
  if (alias === undefined) {
    const roomId = parseRoomId(roomIdOrAlias);
    if (roomId === undefined) throw matrixError.notFound('Room not found');
    return { roomId, servers: query.via };
  }
  if (serverNameOf(alias) !== serverName) {
    if (requester === undefined) throw matrixError.notFound('Room not found');
    const { roomId, servers } = await remote.aliases.lookUp(alias, signal);
    return { roomId, servers: [...query.via, ...servers] };
  }
  return db.read((snapshot) => {
    const nid = perform.aliases.roomOf(snapshot, alias);
    if (nid === undefined) throw matrixError.notFound('Room not found');
    const servers = rooms.joinedServers(snapshot, nid);
    return { roomId: rooms.roomByNid(snapshot, nid).roomId, servers: [...query.via, ...servers] };
  });
}
