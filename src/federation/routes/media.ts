/**
 * Our files for other servers (S-S API v1.19 §Content Repository): "exactly two parts", metadata as JSON and the bytes.
 * Files of third servers are not handed on: whoever wants one asks its own server.
 */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { FileBody, FramedFile, Reply, route, wholeNumber, positiveNumber, flag, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import { disposition, type Media, mediaKey, parseMediaId, type StoredItem } from '../../mediaapi/index.ts';
import type { Shown } from '../../storage/index.ts';

export interface FederationMediaParts {
  readonly media: Media;
  readonly serverName: ServerName;
}

const base = '/_matrix/federation/v1/media';
const older = '/_matrix/federation/unstable/org.matrix.msc3916.v2/media';
const downloadQuery = v.object({ timeout_ms: v.optional(wholeNumber) });
const thumbnailQuery = v.object({
  ...downloadQuery.entries,
  width: positiveNumber,
  height: positiveNumber,
  method: v.optional(v.picklist(['crop', 'scale'], 'it is crop or scale'), 'scale'),
  animated: v.optional(flag),
});

interface Asked {
  readonly params: { readonly mediaId: string };
  readonly query: { readonly timeout_ms?: number | undefined };
  readonly shown: Shown;
  readonly signal: AbortSignal;
}

export const federationMediaRoutes = (parts: FederationMediaParts): Route[] => [
  route({
    method: 'GET',
    path: `${base}/download/:mediaId`,
    aliases: [`${older}/download/:mediaId`],
    auth: 'server',
    rate: 'federation',
    query: downloadQuery,
    handle: async (asked) => {
      const item = await find(parts, asked);
      const { handle, size } = await parts.media.open(item);
      const named = disposition(item.content_type, item.filename ?? undefined);
      return multipart(new FileBody(handle, size, item.hash), item.content_type, named);
    },
  }),
  route({
    method: 'GET',
    path: `${base}/thumbnail/:mediaId`,
    aliases: [`${older}/thumbnail/:mediaId`],
    auth: 'server',
    rate: 'federation',
    query: thumbnailQuery,
    handle: async (asked) => {
      const { width, height, method, animated = false } = asked.query;
      const item = await find(parts, asked);
      const made = await parts.media.thumbnails.get(item.hash, { width, height, method, animated }, false);
      // Types come from users: what is called a thumbnail is one.
      const type = made?.contentType ?? `image/${item.format ?? 'unknown'}`;
      const { handle, size } = made ?? (await parts.media.open(item));
      const named = `inline; filename="thumbnail.${type.replace('image/', '')}"`;
      return multipart(new FileBody(handle, size, made?.tag ?? item.hash), type, named);
    },
  }),
];

/** One of our own files. @throws M_NOT_FOUND, M_NOT_YET_UPLOADED */
function find({ media, serverName }: FederationMediaParts, asked: Asked): Promise<StoredItem> {
  const id = parseMediaId(serverName, asked.params.mediaId);
  if (id === undefined) throw matrixError.notFound();
  asked.shown.key(mediaKey(id));
  return media.downloads.find({ id, timeoutMs: asked.query.timeout_ms, allowRemote: false, signal: asked.signal });
}

/** Both parts around the file; the boundary is random, so that no file can hold it. */
function multipart(file: FileBody, contentType: string, named: string): Reply {
  const boundary = randomBytes(24).toString('hex');
  const head = [
    `--${boundary}`,
    'Content-Type: application/json',
    '',
    '{}',
    `--${boundary}`,
    `Content-Type: ${contentType}`,
    `Content-Disposition: ${named}`,
    '',
    '',
  ].join('\r\n');
  return new Reply(200, new FramedFile(Buffer.from(head), file, Buffer.from(`\r\n--${boundary}--\r\n`)), {
    'Content-Type': `multipart/mixed; boundary=${boundary}`,
  });
}
