/** In which rooms users are, for administrators. */
import { demandUserId, route, type Route } from '../http/index.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import type { Accounts } from '../userapi/index.ts';
import { localAccount, v1 } from './common.ts';

export interface UserRoomParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly accounts: Accounts;
}

const user = `${v1}/users/:userId` as const;

export function userRoomRoutes(parts: UserRoomParts): Route[] {
  const { db, rooms } = parts;
  return [
    route({
      method: 'GET',
      path: `${user}/joined_rooms`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        const userId = demandUserId(params.userId);
        shown.key(`user:${userId}`);
        return db.read((snapshot) => {
          if (parts.accounts.isLocal(userId)) localAccount(snapshot, parts, userId);
          const joined = rooms.joinedRooms(snapshot, userId).map((nid) => rooms.roomByNid(snapshot, nid).roomId);
          return { joined_rooms: joined, total: joined.length };
        });
      },
    }),
    route({
      method: 'GET',
      path: `${user}/memberships`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        const { userId } = db.read((snapshot) => localAccount(snapshot, parts, params.userId));
        shown.key(`user:${userId}`);
        return db.read((snapshot) => {
          const rows = rooms.localMemberships(snapshot, userId);
          const memberships = rows.map((row) => [rooms.roomByNid(snapshot, row.room).roomId, row.membership] as const);
          return { memberships: Object.fromEntries(memberships) };
        });
      },
    }),
  ];
}
