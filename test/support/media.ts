/** A server with the media routes alone, and pictures to give it. */
import { join } from 'node:path';
import sharp from 'sharp';
import { mediaRoutes } from '../../src/clientapi/routes/media.ts';
import type { Config } from '../../src/config/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { createMedia, type FetchRemote, type Media } from '../../src/mediaapi/index.ts';
import type { Database, Snapshot } from '../../src/storage/index.ts';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import {
  openTestDatabase,
  startTestServer,
  tableAuthenticator,
  testConfig,
  testRequester,
  type TestClient,
} from './http.ts';

export interface MediaServerOptions {
  readonly media?: Partial<Config['media']>;
  readonly previews?: Partial<Config['previews']>;
  readonly clock?: Clock;
  readonly fetchRemote?: FetchRemote;
  readonly isErased?: (snapshot: Snapshot, user: string) => boolean;
}

export interface MediaServer extends AsyncDisposable {
  readonly client: TestClient;
  readonly media: Media;
  readonly db: Database;
  /** The folder `media`. */
  readonly folder: string;
  /** A file as the server gives it. */
  fetch(path: string, token?: string, headers?: Record<string, string>): Promise<FetchedFile>;
  /** Uploads as `token` and returns server name and id, joined by a slash. */
  upload(bytes: Uint8Array, options?: UploadOptions): Promise<string>;
  stop(): Promise<void>;
}

export interface UploadOptions {
  readonly token?: string;
  readonly type?: string;
  readonly filename?: string;
}

export interface FetchedFile {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
}

/** Tokens: alice, bob, guest, quiet (suspended). */
export async function startMediaServer(options: MediaServerOptions = {}): Promise<MediaServer> {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = options.clock ?? systemClock;
  const defaults = testConfig();
  const media = createMedia({
    db,
    config: {
      dataDir: database.folder,
      media: { ...defaults.media, ...options.media },
      previews: { ...defaults.previews, ...options.previews },
    },
    serverName: 'localhost' as ServerName,
    clock,
    log: createLogger({ level: 'silent', format: 'json' }),
    ...(options.fetchRemote === undefined ? {} : { fetchRemote: options.fetchRemote }),
    ...(options.isErased === undefined ? {} : { isErased: options.isErased }),
  });
  const authenticator = tableAuthenticator({
    alice: testRequester('alice'),
    bob: testRequester('bob'),
    guest: testRequester('guest', { isGuest: true }),
    quiet: testRequester('quiet', { isSuspended: true }),
  });
  const server = await startTestServer(mediaRoutes({ media }), { db, clock, authenticator });
  const { client, url } = server;
  const stop = async (): Promise<void> => {
    await server.stop();
    await media[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  };
  return {
    client,
    media,
    db,
    folder: join(database.folder, 'media'),
    fetch: async (path, token, headers = {}) => {
      const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      const response = await fetch(url + path, { headers: { ...authorization, ...headers } });
      return {
        status: response.status,
        headers: response.headers,
        bytes: Buffer.from(await response.arrayBuffer()),
      };
    },
    upload: async (bytes, { token = 'alice', type, filename } = {}) => {
      const query = filename === undefined ? '' : `?filename=${encodeURIComponent(filename)}`;
      const answer = await client.request(`/_matrix/media/v3/upload${query}`, {
        method: 'POST',
        token,
        body: bytes,
        headers: type === undefined ? {} : { 'Content-Type': type },
      });
      if (answer.status !== 200) throw new Error(answer.text);
      return (answer.json.content_uri as string).slice('mxc://'.length);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** A picture with something on it. */
export function picture(
  width: number,
  height: number,
  format: 'png' | 'jpeg' | 'webp' | 'avif' = 'png',
): Promise<Buffer> {
  const pixels = Buffer.alloc(width * height * 3);
  for (let index = 0; index < pixels.length; index += 1) pixels[index] = (index * 7 + (index >> 9)) % 256;
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .toFormat(format)
    .toBuffer();
}

/** An animation of `frames` frames, each of another colour. */
export async function animation(
  width: number,
  height: number,
  frames: number,
  format: 'gif' | 'webp',
): Promise<Buffer> {
  const pixels = Buffer.alloc(width * height * frames * 3);
  for (let frame = 0; frame < frames; frame += 1) {
    pixels.fill(40 + frame * 50, frame * width * height * 3, (frame + 1) * width * height * 3);
  }
  const image = sharp(pixels, { raw: { width, height: height * frames, channels: 3, pageHeight: height } });
  return format === 'gif'
    ? image.gif({ delay: 100, loop: 0 }).toBuffer()
    : image.webp({ delay: 100, loop: 0 }).toBuffer();
}

/** Width, height and frames of a picture. */
export async function measure(
  bytes: Uint8Array,
): Promise<{ format: string; width: number; height: number; frames: number }> {
  const { format, width, height, pages } = await sharp(bytes).metadata();
  return { format, width, height, frames: pages ?? 1 };
}
