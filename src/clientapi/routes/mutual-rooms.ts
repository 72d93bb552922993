/** `GET /mutual_rooms` (C-S API v1.19 §Mutual rooms), under its older name too. */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { type RoomId, isCompliantUserId, parseUserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database, Shown } from '../../storage/index.ts';
import { token } from './paging-query.ts';

export interface MutualRoomsParts {
  readonly db: Database;
  readonly rooms: RoomReader;
}

const batchSize = 100;

export const mutualRoomsRoutes = (parts: MutualRoomsParts): Route[] => [
  route({
    method: 'GET',
    path: '/_matrix/client/v1/mutual_rooms',
    auth: 'user',
    rate: 'read',
    query: v.object({ user_id: v.string(), from: token }),
    handle: ({ requester, query, shown }) => {
      const { joined, count, next } = mutualRooms(parts, requester, shown, query.user_id, query.from);
      return { joined, count, ...(next === undefined ? {} : { next_batch: next }) };
    },
  }),
  route({
    method: 'GET',
    path: '/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms',
    auth: 'user',
    rate: 'read',
    query: v.object({ user_id: v.string(), batch_token: token }),
    handle: ({ requester, query, shown }) => {
      const { joined, count, next } = mutualRooms(parts, requester, shown, query.user_id, query.batch_token);
      return { joined, count, ...(next === undefined ? {} : { next_batch_token: next }) };
    },
  }),
];

interface Batch {
  readonly joined: readonly RoomId[];
  readonly count: number;
  readonly next: string | undefined;
}

/** Rooms in the order of their ids; a token is the last one told, so it is good for as long as anyone likes. */
function mutualRooms(
  { db, rooms }: MutualRoomsParts,
  { userId }: Requester,
  shown: Shown,
  asked: string,
  from: string | undefined,
): Batch {
  const other = parseUserId(asked);
  if (other === undefined || !isCompliantUserId(other)) throw matrixError.invalidParam('user_id is not a user id');
  if (other === userId) throw matrixError.invalidParam('user_id is your own');
  const after = from === undefined ? '' : Buffer.from(from, 'base64url').toString();
  if (from !== undefined && !after.startsWith('!')) {
    throw matrixError.invalidParam('This is not a token that this server gave out');
  }
  shown.key(`user:${userId}`);
  const all = db
    .read((snapshot) => rooms.sharedRooms(snapshot, userId, other).map((nid) => rooms.roomByNid(snapshot, nid).roomId))
    .sort();
  const rest = all.filter((roomId) => roomId > after);
  const joined = rest.slice(0, batchSize);
  const last = rest.length > batchSize ? joined.at(-1) : undefined;
  return { joined, count: all.length, next: last && Buffer.from(last).toString('base64url') };
}
