/** Account data and tags (C-S API v1.19 §Client Config, §Room Tagging). */
import { JsonText, demandRoomId, route, type Requester, type Route } from '../../http/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { RoomId, UserId } from '../../matrix/ids.ts';
import type { Push } from '../../push/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { AccountData } from '../../userapi/index.ts';
import { utf8Length } from '../../util/bytes.ts';
import { jsonObject } from './body.ts';

export interface AccountDataRouteParts {
  readonly db: Database;
  readonly accountData: AccountData;
  readonly push: Pick<Push, 'rules'>;
}

const user = '/_matrix/client/v3/user/:userId';
/** Bytes (§Room Tagging). */
const maxTag = 255;

/** The server's own types, which clients may only read. */
const managed: ReadonlySet<string> = new Set(['m.fully_read', 'm.push_rules']);

export function accountDataRoutes(parts: AccountDataRouteParts): Route[] {
  return [...dataRoutes(parts), ...tagRoutes(parts)];
}

/** Nobody sees or changes another's data. @throws M_FORBIDDEN */
function ownerOf(requester: Requester, userId: string): UserId {
  if (requester.userId !== userId) throw matrixError.forbidden('This is the account data of another user');
  return requester.userId;
}

/** 405 for what the server manages itself. @throws M_BAD_JSON */
function checkType(type: string): void {
  if (managed.has(type)) throw new MatrixError(405, 'M_BAD_JSON', `Cannot set ${type} through this API`);
}

function dataRoutes({ db, accountData, push }: AccountDataRouteParts): Route[] {
  const read = (snapshot: Snapshot, userId: UserId, roomId: RoomId | null, type: string): JsonText => {
    if (roomId === null && type === 'm.push_rules') {
      return new JsonText([JSON.stringify({ global: push.rules.ruleset(snapshot, userId) })]);
    }
    const content = accountData.get(snapshot, userId, roomId, type);
    if (content === undefined) throw matrixError.notFound('There is no such account data');
    return new JsonText([content]);
  };
  const ofUser = `${user}/account_data/:type` as const;
  const ofRoom = `${user}/rooms/:roomId/account_data/:type` as const;
  return [
    route({
      method: 'GET',
      path: ofUser,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params, shown }) => {
        const userId = ownerOf(requester, params.userId);
        shown.key(`user:${userId}`);
        return db.read((snapshot) => read(snapshot, userId, null, params.type));
      },
    }),
    route({
      method: 'PUT',
      path: ofUser,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: async ({ requester, params: { userId, type }, body }) => {
        checkType(type);
        await db.write((tx) => accountData.put(tx, ownerOf(requester, userId), null, type, body));
        return {};
      },
    }),
    route({
      method: 'GET',
      path: ofRoom,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params, shown }) => {
        const userId = ownerOf(requester, params.userId);
        shown.key(`user:${userId}`);
        return db.read((snapshot) => read(snapshot, userId, demandRoomId(params.roomId), params.type));
      },
    }),
    route({
      method: 'PUT',
      path: ofRoom,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: async ({ requester, params: { userId, roomId, type }, body }) => {
        checkType(type);
        await db.write((tx) => accountData.put(tx, ownerOf(requester, userId), demandRoomId(roomId), type, body));
        return {};
      },
    }),
  ];
}

function tagRoutes({ db, accountData }: AccountDataRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${user}/rooms/:roomId/tags`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params, shown }) => {
        const userId = ownerOf(requester, params.userId);
        shown.key(`user:${userId}`);
        return { tags: db.read((snapshot) => accountData.tags(snapshot, userId, demandRoomId(params.roomId))) };
      },
    }),
    route({
      method: 'PUT',
      path: `${user}/rooms/:roomId/tags/:tag`,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: async ({ requester, params: { userId, roomId, tag }, body }) => {
        if (utf8Length(tag) > maxTag) throw matrixError.invalidParam(`A tag has at most ${maxTag} bytes`);
        await db.write((tx) => accountData.setTag(tx, ownerOf(requester, userId), demandRoomId(roomId), tag, body));
        return {};
      },
    }),
    route({
      method: 'DELETE',
      path: `${user}/rooms/:roomId/tags/:tag`,
      auth: 'user',
      rate: 'none',
      handle: async ({ requester, params: { userId, roomId, tag } }) => {
        await db.write((tx) =>
          accountData.setTag(tx, ownerOf(requester, userId), demandRoomId(roomId), tag, undefined),
        );
        return {};
      },
    }),
  ];
}
