/** Files of single users, for administrators, and how much each user keeps here. */
import * as v from 'valibot';
import { direction, route, type Route } from '../http/index.ts';
import { asString, type JsonObject } from '../matrix/json.ts';
import { mediaOrders, type ItemRow, type Media } from '../mediaapi/index.ts';
import type { Database } from '../storage/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Accounts, Profiles } from '../userapi/index.ts';
import { localAccount, nextFrom, pageQuery, v1 } from './common.ts';

export interface UserMediaParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly profiles: Profiles;
  readonly media: Pick<Media, 'moderation'>;
}

const listQuery = v.object({
  ...pageQuery,
  order_by: v.optional(v.picklist(mediaOrders)),
  dir: v.optional(direction),
});

const describe = (row: ItemRow): JsonObject => ({
  media_id: row.media_id,
  media_type: row.content_type,
  media_length: row.size ?? 0,
  upload_name: row.filename,
  created_ts: row.created_at,
  last_access_ts: row.accessed_at,
  quarantined_by: row.quarantined_by,
  safe_from_quarantine: row.protected === 1,
});

/** The newest first, unless another order is asked for. */
const orderOf = ({ order_by: by, dir }: v.InferOutput<typeof listQuery>) => ({
  by: by ?? ('created_ts' as const),
  descending: dir === undefined ? by === undefined : dir === 'b',
});

export function userMediaRoutes(parts: UserMediaParts): Route[] {
  const { db, profiles } = parts;
  const { moderation } = parts.media;
  const userOf = (userId: string): UserId => db.read((snapshot) => localAccount(snapshot, parts, userId)).userId;
  return [
    route({
      method: 'GET',
      path: `${v1}/users/:userId/media`,
      auth: 'admin',
      rate: 'none',
      query: listQuery,
      handle: ({ params, query }) => {
        const { items, total } = moderation.ofUser(userOf(params.userId), query, orderOf(query));
        const next = nextFrom(query.from, items.length, total);
        return { media: items.map(describe), total, ...(next === undefined ? {} : { next_token: next }) };
      },
    }),
    route({
      method: 'DELETE',
      path: `${v1}/users/:userId/media`,
      auth: 'admin',
      rate: 'none',
      query: listQuery,
      handle: async ({ params, query }) => {
        const { items } = moderation.ofUser(userOf(params.userId), query, orderOf(query));
        const ids = await moderation.deleteItems(items);
        return { deleted_media: ids.map(({ mediaId }) => mediaId), total: ids.length };
      },
    }),
    route({
      method: 'POST',
      path: `${v1}/user/:userId/media/quarantine`,
      auth: 'admin',
      rate: 'none',
      handle: async ({ requester, params }) => ({
        num_quarantined: await moderation.quarantineUser(userOf(params.userId), requester.userId),
      }),
    }),
    route({
      method: 'GET',
      path: `${v1}/statistics/users/media`,
      auth: 'admin',
      rate: 'none',
      query: v.object(pageQuery),
      handle: ({ query }) => {
        const { usages, total } = moderation.usage(query);
        const next = nextFrom(query.from, usages.length, total);
        const users = db.read((snapshot) =>
          usages.map(({ owner, files, bytes }) => ({
            ...{ user_id: owner, media_count: files, media_length: bytes },
            displayname: asString(profiles.field(snapshot, owner as UserId, 'displayname')) ?? null,
          })),
        );
        return { users, total, ...(next === undefined ? {} : { next_token: next }) };
      },
    }),
  ];
}
