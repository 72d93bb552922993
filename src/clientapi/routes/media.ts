/**
 * The content repository (C-S API v1.19 §Content repository): uploads under `/_matrix/media`, downloads under
 * `/_matrix/client/v1/media`, and the older paths that need no token and give out nothing new while they are frozen.
 */
import * as v from 'valibot';
import {
  FileBody,
  flag,
  positiveNumber,
  Reply,
  route,
  wholeNumber,
  type AuthKind,
  type RequestContext,
  type Route,
} from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import {
  disposition,
  fileHeaders,
  mediaKey,
  parseMediaId,
  type Box,
  type IncomingFile,
  type Media,
  type MediaId,
} from '../../mediaapi/index.ts';

export interface MediaRouteParts {
  readonly media: Media;
}

const authed = '/_matrix/client/v1/media';
const unstable = '/_matrix/client/unstable/org.matrix.msc3916/media';
const open = '/_matrix/media/v3';
const older = '/_matrix/media/v1';

const downloadQuery = v.object({
  timeout_ms: v.optional(wholeNumber),
  allow_remote: v.optional(flag),
  allow_redirect: v.optional(flag),
});
const thumbnailQuery = v.object({
  ...downloadQuery.entries,
  width: positiveNumber,
  height: positiveNumber,
  method: v.optional(v.picklist(['crop', 'scale'], 'it is crop or scale'), 'scale'),
  animated: v.optional(flag),
});
const uploadQuery = v.object({ filename: v.optional(v.string()) });
const previewQuery = v.object({ url: v.string(), ts: v.optional(wholeNumber) });

type Context<Q> = Pick<
  RequestContext<AuthKind, Record<string, string>, Q, undefined>,
  'params' | 'query' | 'shown' | 'signal'
>;

export function mediaRoutes({ media }: MediaRouteParts): Route[] {
  return [...uploadRoutes(media), ...readRoutes(media, true), ...readRoutes(media, false), ...askRoutes(media)];
}

function uploadRoutes({ uploads }: Media): Route[] {
  return [
    route({
      method: 'POST',
      path: `${open}/upload`,
      aliases: [`${older}/upload`],
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      query: uploadQuery,
      handle: async ({ requester, query, stream }) => ({
        content_uri: await uploads.upload(requester.userId, incoming(stream, query.filename)),
      }),
    }),
    route({
      method: 'POST',
      path: `${older}/create`,
      aliases: ['/_matrix/media/unstable/fi.mau.msc2246/create'],
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      handle: ({ requester }) => uploads.create(requester.userId),
    }),
    route({
      method: 'PUT',
      path: `${open}/upload/:serverName/:mediaId`,
      aliases: [
        `${older}/upload/:serverName/:mediaId`,
        '/_matrix/media/unstable/fi.mau.msc2246/upload/:serverName/:mediaId',
      ],
      auth: 'user',
      rate: 'write',
      refuseSuspended: true,
      query: uploadQuery,
      handle: async ({ requester, params, query, stream }) => {
        await uploads.fill(requester.userId, idOf(params), incoming(stream, query.filename));
        return {};
      },
    }),
  ];
}

/** Downloads and thumbnails: with a token, or by the older paths without. */
function readRoutes(media: Media, withToken: boolean): Route[] {
  const paths = (rest: string) =>
    withToken
      ? { path: `${authed}/${rest}`, aliases: [`${unstable}/${rest}`] }
      : { path: `${open}/${rest}`, aliases: [`${older}/${rest}`] };
  const common = { method: 'GET', auth: withToken ? 'guest' : 'none', rate: 'read' } as const;
  return [
    route({
      ...common,
      ...paths('download/:serverName/:mediaId'),
      query: downloadQuery,
      handle: (context) => download(media, context, withToken),
    }),
    route({
      ...common,
      ...paths('download/:serverName/:mediaId/:fileName'),
      query: downloadQuery,
      handle: (context) => download(media, context, withToken),
    }),
    route({
      ...common,
      ...paths('thumbnail/:serverName/:mediaId'),
      query: thumbnailQuery,
      handle: (context) => thumbnail(media, context, withToken),
    }),
  ];
}

/** Limits and previews. */
function askRoutes({ previews, maxUploadSize }: Media): Route[] {
  return [
    route({
      method: 'GET',
      path: `${authed}/config`,
      aliases: [`${unstable}/config`, `${open}/config`, `${older}/config`],
      auth: 'user',
      rate: 'read',
      handle: () => ({ 'm.upload.size': maxUploadSize }),
    }),
    route({
      method: 'GET',
      path: `${authed}/preview_url`,
      aliases: [`${unstable}/preview_url`, `${open}/preview_url`, `${older}/preview_url`],
      auth: 'user',
      rate: 'read',
      query: previewQuery,
      handle: ({ query }) => previews.preview(query.url),
    }),
  ];
}

const incoming = (
  stream: AsyncIterable<Uint8Array> & { readonly length: number | undefined; readonly contentType: string | undefined },
  filename: string | undefined,
): IncomingFile => ({ pieces: stream, length: stream.length, contentType: stream.contentType, filename });

/** Ids that are not valid name nothing. @throws MatrixError M_NOT_FOUND */
function idOf({ serverName = '', mediaId = '' }: Record<string, string>): MediaId {
  const id = parseMediaId(serverName, mediaId);
  if (id === undefined) throw matrixError.notFound();
  return id;
}

type DownloadQuery = v.InferOutput<typeof downloadQuery>;

function find(media: Media, id: MediaId, { query, shown, signal }: Context<DownloadQuery>, withToken: boolean) {
  shown.key(mediaKey(id));
  return media.downloads.find({
    id,
    timeoutMs: query.timeout_ms,
    // The authenticated endpoints know no such parameter.
    allowRemote: withToken ? true : query.allow_remote,
    unauthenticated: !withToken,
    signal,
  });
}

const cacheHeader = (withToken: boolean): Record<string, string> => ({
  'Cache-Control': `${withToken ? 'private' : 'public'}, max-age=86400, immutable`,
});

async function download(media: Media, context: Context<DownloadQuery>, withToken: boolean): Promise<Reply> {
  const item = await find(media, idOf(context.params), context, withToken);
  const { handle, size } = await media.open(item);
  return new Reply(200, new FileBody(handle, size, item.hash), {
    ...fileHeaders,
    ...cacheHeader(withToken),
    'Content-Type': item.content_type,
    'Content-Disposition': disposition(item.content_type, context.params['fileName'] ?? item.filename ?? undefined),
  });
}

async function thumbnail(
  media: Media,
  context: Context<v.InferOutput<typeof thumbnailQuery>>,
  withToken: boolean,
): Promise<Reply> {
  const { width, height, method, animated = false } = context.query;
  const item = await find(media, idOf(context.params), context, withToken);
  const wanted: Box = { width, height, method, animated };
  const made = await media.thumbnails.get(item.hash, wanted, item.kind === 'remote');
  // Types come from users: what is called a thumbnail is one.
  const type = made?.contentType ?? `image/${item.format ?? 'unknown'}`;
  const { handle, size } = made ?? (await media.open(item));
  return new Reply(200, new FileBody(handle, size, made?.tag ?? item.hash), {
    ...fileHeaders,
    ...cacheHeader(withToken),
    'Content-Type': type,
    'Content-Disposition': `inline; filename="thumbnail.${type.replace('image/', '')}"`,
  });
}
