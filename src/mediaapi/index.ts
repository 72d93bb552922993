/**
 * Media: uploads, downloads, thumbnails, previews of links, retention, moderation. Owns the `media_*` tables and the
 * folder `media` in the data folder (C-S API v1.19 §Content repository).
 */
import { join } from 'node:path';
import type { Config } from '../config/index.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import type { Task } from '../util/tasks.ts';
import { Downloads, type FetchRemote, type StoredItem } from './downloads.ts';
import { MediaFiles, type OpenFile } from './files.ts';
import { Images } from './images.ts';
import { Moderation } from './moderation.ts';
import { Previews } from './previews/previews.ts';
import { Repository } from './repository.ts';
import { Retention } from './retention.ts';
import { Thumbnails } from './thumbnails.ts';
import { Uploads } from './uploads.ts';
import { verifyMedia } from './verify.ts';

export { disposition, fileHeaders } from './content-type.ts';
export type { DownloadRequest, FetchRemote, RemoteAnswer, StoredItem } from './downloads.ts';
export type { OpenFile } from './files.ts';
export { mediaOrders, type Moderation, type Page } from './moderation.ts';
export { findMxcs, mediaKey, parseMediaId, parseMxc, type MediaId } from './mxc.ts';
export type { Previews } from './previews/previews.ts';
export type { ItemRow } from './storage.ts';
export type { Box } from './thumbnail-size.ts';
export type { Thumbnail, Thumbnails } from './thumbnails.ts';
export type { CreatedMedia, IncomingFile, Uploads } from './uploads.ts';
export { repairMediaUsage, verifyMedia } from './verify.ts';

export interface MediaParts {
  readonly db: Database;
  readonly config: Pick<Config, 'dataDir' | 'media' | 'previews'>;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  /** Asks other servers for their files; without it only what is here is found. */
  readonly fetchRemote?: FetchRemote;
  /** Whether a local user asked for the erasure of his data: his uploads go with the next round. */
  readonly isErased?: (snapshot: Snapshot, user: string) => boolean;
}

export interface Media extends AsyncDisposable {
  readonly uploads: Uploads;
  readonly downloads: Downloads;
  readonly thumbnails: Thumbnails;
  readonly previews: Previews;
  readonly moderation: Moderation;
  readonly retention: Retention;
  /** Housekeeping: sweep, expiry, retention. */
  readonly tasks: readonly Task[];
  /** The largest upload in bytes. */
  readonly maxUploadSize: number;
  /** Opens an item's content. The caller closes it. @throws Error when the file is gone */
  open(item: StoredItem): Promise<OpenFile>;
  /** Sweeps up what a crash left, then tells where rows and files disagree, one sentence each. */
  verify(): Promise<string[]>;
}

/** Builds the module and makes its folders. */
export function createMedia(parts: MediaParts): Media {
  const { db, clock, serverName, fetchRemote, config } = parts;
  const log = parts.log.child({ module: 'media' });
  const files = new MediaFiles(join(config.dataDir, 'media'));
  files.prepare();
  const stop = new AbortController();
  const repository = new Repository({ db, files, clock });
  const images = new Images({ log });
  const thumbnails = new Thumbnails({ db, files, repository, images, config: config.media, log });
  const common = { db, files, repository, serverName, clock, log };
  const onContent = (hash: string): void => thumbnails.prepare(hash);
  const uploads = new Uploads({ ...common, config: config.media, onContent });
  const { freezeUnauthenticated } = config.media;
  const previews = new Previews({ ...common, thumbnails, config: config.previews, freezeUnauthenticated });
  const moderation = new Moderation(common);
  const isErased = parts.isErased ?? (() => false);
  const retention = new Retention({ ...common, uploads, moderation, isErased, config: config.media.retention });
  return {
    uploads,
    downloads: new Downloads({ ...common, config: config.media, fetchRemote, onContent, stopping: stop.signal }),
    thumbnails,
    previews,
    moderation,
    retention,
    tasks: retention.tasks,
    maxUploadSize: config.media.maxUploadSize,
    open: (item) => openContent(files, item),
    verify: async () => {
      await retention.sweep();
      const faults: string[] = [];
      const inLane = <T>(hash: string, look: () => Promise<T>): Promise<T> => repository.inLane(hash, look);
      for await (const fault of verifyMedia(db, config.dataDir, { strays: true, inLane })) faults.push(fault);
      return faults;
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await previews[Symbol.asyncDispose]();
      await images[Symbol.asyncDispose]();
      await thumbnails.drain();
      await repository.flushAccess();
    },
  };
}

async function openContent(files: MediaFiles, { hash }: StoredItem): Promise<OpenFile> {
  const file = await files.open(files.contentPath(hash));
  if (file === undefined) throw new Error(`the file of media ${hash} is missing`);
  return file;
}
