/** Matrix Content URIs (C-S API v1.19 §Matrix Content (mxc://) URIs). */
import { randomBytes } from 'node:crypto';
import { parseServerName, type ServerName } from '../matrix/ids.ts';
import { isJsonObject, type JsonValue } from '../matrix/json.ts';

/** Which file is meant: the server where it came up, and its id there. */
export interface MediaId {
  readonly origin: ServerName;
  readonly mediaId: string;
}

const validMediaId = /^[A-Za-z0-9_-]{1,255}$/;

/** Both parts checked, so that neither can lead out of a folder or into another host; undefined when one is not valid. */
export function parseMediaId(origin: string, mediaId: string): MediaId | undefined {
  const server = parseServerName(origin);
  return server === undefined || !validMediaId.test(mediaId) ? undefined : { origin: server, mediaId };
}

/** The parts of an `mxc://` URI; undefined when it is none. */
export function parseMxc(uri: string): MediaId | undefined {
  const match = /^mxc:\/\/([^/?#]+)\/([^/?#]+)$/.exec(uri);
  return match === null ? undefined : parseMediaId(match[1] ?? '', match[2] ?? '');
}

export const formatMxc = ({ origin, mediaId }: MediaId): string => `mxc://${origin}/${mediaId}`;

/** The key of a file in maps, queues and `Tx.touch`. */
export const mediaKey = ({ origin, mediaId }: MediaId): string => `media:${origin}/${mediaId}`;

/** An id that nobody guesses: whoever has it may see the file. */
export const newMediaId = (): string => randomBytes(18).toString('base64url');

/** Every mxc URI in the content of an event, wherever it stands. */
export function findMxcs(content: JsonValue): MediaId[] {
  const found = new Map<string, MediaId>();
  const pending: JsonValue[] = [content];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (typeof value === 'string') {
      const id = parseMxc(value);
      if (id !== undefined) found.set(mediaKey(id), id);
    } else if (Array.isArray(value)) pending.push(...value);
    else if (isJsonObject(value)) pending.push(...(Object.values(value) as JsonValue[]));
  }
  return [...found.values()];
}
