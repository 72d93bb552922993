/** Files for administrators: look, forbid, protect, delete; by file, user, room or age. */
import * as v from 'valibot';
import { flag, route, wholeNumber, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import { mediaKey, parseMediaId, parseMxc, type ItemRow, type Media, type MediaId } from '../mediaapi/index.ts';
import type { Perform, RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import type { Accounts, Profiles } from '../userapi/index.ts';
import { knownRoom, v1 } from './common.ts';
import { mediaOfRoom, profileMedia } from './media-uses.ts';

export interface MediaRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Pick<Perform, 'aliases'>;
  readonly accounts: Accounts;
  readonly profiles: Profiles;
  readonly media: Pick<Media, 'moderation'>;
  readonly serverName: ServerName;
}

export const mediaRoutes = (parts: MediaRouteParts): Route[] => [
  ...fileRoutes(parts),
  ...quarantineRoutes(parts),
  ...protectionRoutes(parts),
  ...ageRoutes(parts),
  ...roomRoutes(parts),
];

/** @throws M_INVALID_PARAM */
function idOf(origin: string, mediaId: string): MediaId {
  const id = parseMediaId(origin, mediaId);
  if (id === undefined) throw matrixError.invalidParam('This is no id of a file');
  return id;
}

const describe = (row: ItemRow): JsonObject => ({
  media_origin: row.origin,
  user_id: row.uploader,
  media_id: row.media_id,
  media_type: row.content_type,
  media_length: row.size,
  upload_name: row.filename,
  created_ts: row.created_at,
  filesystem_id: row.hash,
  url_cache: null,
  last_access_ts: row.accessed_at,
  quarantined_by: row.quarantined_by,
  authenticated: row.authenticated === 1,
  safe_from_quarantine: row.protected === 1,
  sha256: row.hash,
});

function fileRoutes({ media: { moderation }, serverName }: MediaRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${v1}/media/:serverName/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        const id = idOf(params.serverName, params.mediaId);
        shown.key(mediaKey(id));
        const row = moderation.describe(id);
        if (row === undefined) throw matrixError.notFound('There is no such file');
        return { media_info: describe(row) };
      },
    }),
    route({
      method: 'DELETE',
      path: `${v1}/media/:serverName/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: async ({ params }) => {
        if (params.serverName !== serverName)
          throw matrixError.invalidParam('Only files of this server can be deleted');
        const id = idOf(params.serverName, params.mediaId);
        if ((await moderation.delete([id])) === 0) throw matrixError.notFound('There is no such file');
        return { deleted_media: [id.mediaId], total: 1 };
      },
    }),
  ];
}

function quarantineRoutes(parts: MediaRouteParts): Route[] {
  const { moderation } = parts.media;
  return [
    route({
      method: 'POST',
      path: `${v1}/media/quarantine/:serverName/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: async ({ requester, params }) => {
        await moderation.quarantine([idOf(params.serverName, params.mediaId)], requester.userId);
        return {};
      },
    }),
    route({
      method: 'POST',
      path: `${v1}/media/unquarantine/:serverName/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: async ({ params }) => {
        await moderation.unquarantine([idOf(params.serverName, params.mediaId)]);
        return {};
      },
    }),
    route({
      method: 'POST',
      path: `${v1}/room/:roomId/media/quarantine`,
      aliases: [`${v1}/quarantine_media/:roomId`],
      auth: 'admin',
      rate: 'none',
      handle: async ({ requester, params }) => {
        const { nid } = parts.db.read((snapshot) => knownRoom(snapshot, parts, params.roomId));
        const ids = await mediaOfRoom(parts, nid);
        return { num_quarantined: await moderation.quarantine(ids, requester.userId) };
      },
    }),
  ];
}

function protectionRoutes({ media: { moderation }, serverName }: MediaRouteParts): Route[] {
  const protect = async (mediaId: string, on: boolean): Promise<object> => {
    if (!(await moderation.protect(idOf(serverName, mediaId), on))) throw matrixError.notFound('There is no such file');
    return {};
  };
  return [
    route({
      method: 'POST',
      path: `${v1}/media/protect/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => protect(params.mediaId, true),
    }),
    route({
      method: 'POST',
      path: `${v1}/media/unprotect/:mediaId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => protect(params.mediaId, false),
    }),
  ];
}

function ageRoutes(parts: MediaRouteParts): Route[] {
  const { moderation } = parts.media;
  return [
    route({
      method: 'POST',
      path: `${v1}/media/delete`,
      aliases: [`${v1}/media/:serverName/delete`],
      auth: 'admin',
      rate: 'none',
      query: v.object({
        before_ts: wholeNumber,
        size_gt: v.optional(wholeNumber, '0'),
        keep_profiles: v.optional(flag, 'true'),
      }),
      handle: async ({ query: { before_ts: before, size_gt: larger, keep_profiles: keepProfiles } }) => {
        const kept = keepProfiles ? await profileMedia(parts) : new Set<string>();
        const deleted = await moderation.deleteUploads(before, larger, (id) => kept.has(mediaKey(id)));
        return { deleted_media: deleted.map(({ mediaId }) => mediaId), total: deleted.length };
      },
    }),
    route({
      method: 'POST',
      path: `${v1}/purge_media_cache`,
      auth: 'admin',
      rate: 'none',
      query: v.object({ before_ts: wholeNumber }),
      handle: async ({ query }) => ({ deleted: await moderation.deleteCopies(query.before_ts) }),
    }),
  ];
}

function roomRoutes(parts: MediaRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${v1}/room/:roomId/media`,
      auth: 'admin',
      rate: 'none',
      handle: async ({ params }) => {
        const { nid } = parts.db.read((snapshot) => knownRoom(snapshot, parts, params.roomId));
        const uris = (await mediaOfRoom(parts, nid)).map(({ origin, mediaId }) => `mxc://${origin}/${mediaId}`);
        const isLocal = (uri: string): boolean => parseMxc(uri)?.origin === parts.serverName;
        return { local: uris.filter(isLocal), remote: uris.filter((uri) => !isLocal(uri)) };
      },
    }),
  ];
}
