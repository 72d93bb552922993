/**
 * Thumbnails: the usual sizes are made when content arrives, others when they are asked for; what a crash left unmade is
 * made at the first request. Each has a file and a row, written in that order.
 */
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { Database, Tx } from '../storage/index.ts';
import { KeyedQueue } from '../util/keyed-queue.ts';
import type { Logger } from '../util/log.ts';
import { LruCache } from '../util/lru.ts';
import type { MediaFiles, OpenFile } from './files.ts';
import type { ImageOutput, ImageResult, MadeImage } from './image-process.ts';
import type { Images } from './images.ts';
import { thumbnailName, type Repository } from './repository.ts';
import * as storage from './storage.ts';
import type { BlobRow, ThumbnailRow } from './storage.ts';
import { chooseThumbnail, outputSize, sameSize, usualSizes, type Box, type ImageInfo } from './thumbnail-size.ts';

export interface Thumbnail extends OpenFile {
  readonly contentType: string;
  /** Names these bytes among all files. */
  readonly tag: string;
}

export interface ThumbnailParts {
  readonly db: Database;
  readonly files: MediaFiles;
  readonly repository: Repository;
  readonly images: Images;
  readonly config: { readonly dynamicThumbnails: boolean; readonly maxImagePixels: number };
  readonly log: Logger;
}

type Failure = 'broken' | 'too-large';

/** Sizes of one content beyond the usual ones. */
const maxSizes = 30;
const failuresKept = 2000;
const failureMs = 3_600_000;

export class Thumbnails {
  readonly #parts: ThumbnailParts;
  /** One job a content, so that nobody makes what another is making. */
  readonly #jobs = new KeyedQueue<string>();
  readonly #failures = new LruCache<string, Failure>({ max: failuresKept, ttl: failureMs });

  constructor(parts: ThumbnailParts) {
    this.#parts = parts;
  }

  /** Makes the usual sizes of new content in the background. */
  prepare(hash: string): void {
    const { db, log } = this.#parts;
    const blob = db.read((snapshot) => snapshot.get(storage.selectBlob, hash));
    if (blob === undefined || blob.format === null || this.#failures.has(hash)) return;
    this.#jobs
      .run(hash, () => this.#prepare(blob))
      .catch((error: unknown) => log.warn({ err: error }, 'thumbnails could not be stored'));
  }

  /**
   * A thumbnail for `wanted`; undefined when the original is the answer. The caller closes its file.
   * @param remote the content is a copy: then what is too large is the other server's fault
   * @throws MatrixError M_UNKNOWN (400: no image), M_TOO_LARGE (413, 502), M_NOT_FOUND
   */
  async get(hash: string, wanted: Box, remote: boolean): Promise<Thumbnail | undefined> {
    const { db, config } = this.#parts;
    const blob = db.read((snapshot) => snapshot.get(storage.selectBlob, hash));
    if (blob === undefined) throw matrixError.notFound();
    const info = await this.#info(blob, remote);
    const many = db.read((snapshot) => snapshot.all(storage.selectThumbnails, hash)).length >= maxSizes;
    const servable = blob.format !== 'avif';
    const choice = chooseThumbnail(info, wanted, { dynamic: config.dynamicThumbnails && !many, servable });
    if (choice.kind === 'original') return undefined;
    return (
      (await this.#open(hash, choice.box)) ??
      (await this.#jobs.run(hash, async () => {
        const made = await this.#open(hash, choice.box);
        if (made !== undefined) return made;
        await this.#make(blob, [choice.box], remote);
        return this.#open(hash, choice.box);
      })) ??
      notFound()
    );
  }

  /** What an image is; undefined when it is none that can be read. */
  async describe(hash: string): Promise<ImageInfo | undefined> {
    const blob = this.#parts.db.read((snapshot) => snapshot.get(storage.selectBlob, hash));
    if (blob === undefined) return undefined;
    return this.#info(blob, false).catch((error: unknown) => {
      if (error instanceof MatrixError) return undefined;
      throw error;
    });
  }

  /** Resolves when no thumbnail is being made. */
  drain(): Promise<void> {
    return this.#jobs.drain();
  }

  #info(blob: BlobRow, remote: boolean): Promise<ImageInfo> {
    const { hash } = blob;
    // In its turn: the usual sizes, which may be in the making, show whether an image with a proper head can be read on.
    return this.#jobs.run(hash, async () => {
      const reason = blob.format === null ? 'broken' : this.#failures.get(hash);
      if (reason !== undefined) throw failure(reason, remote);
      return knownInfo(blob) ?? (await this.#run(blob, [], remote)).info;
    });
  }

  async #prepare(blob: BlobRow): Promise<void> {
    try {
      const { info } = await this.#run(blob, [], false);
      const boxes = usualSizes.filter((box) => box.method === 'crop' || !sameSize(outputSize(info, box), info));
      const small = (box: Box): boolean => info.width <= box.width && info.height <= box.height;
      const wanted = boxes.map((box): Box => ({ ...box, animated: false })).filter((box) => !small(box));
      const have = this.#parts.db.read((snapshot) => snapshot.all(storage.selectThumbnails, blob.hash));
      await this.#make(
        blob,
        wanted.filter((box) => !have.some((row) => isFor(row, box))),
        false,
      );
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
    }
  }

  /** To be called within the content's job. */
  async #make(blob: BlobRow, boxes: readonly Box[], remote: boolean): Promise<void> {
    const { files, repository } = this.#parts;
    if (boxes.length === 0) return;
    const outputs = boxes.map((box): ImageOutput => ({ path: files.incomingPath(), box }));
    try {
      const { made } = await this.#run(blob, outputs, remote);
      await repository.inLane(blob.hash, () => this.#store(blob.hash, outputs, made));
    } finally {
      for (const { path } of outputs) await files.remove(path);
    }
  }

  async #run(blob: BlobRow, outputs: readonly ImageOutput[], remote: boolean): Promise<ImageResult & { ok: true }> {
    const { files, images, db, config } = this.#parts;
    const { hash } = blob;
    const known = this.#failures.get(hash);
    if (known !== undefined) throw failure(known, remote);
    const result = await images.run({ input: files.contentPath(hash), maxPixels: config.maxImagePixels, outputs });
    if (!result.ok) {
      this.#failures.set(hash, result.reason);
      throw failure(result.reason, remote);
    }
    const { width, height, frames } = result.info;
    if (knownInfo(blob) === undefined) {
      await db.write((tx) => void tx.run(storage.updateBlobImage, width, height, frames, hash));
    }
    return result;
  }

  async #store(hash: string, outputs: readonly ImageOutput[], made: readonly MadeImage[]): Promise<void> {
    const { db, files } = this.#parts;
    if (db.read((snapshot) => snapshot.get(storage.selectBlob, hash)) === undefined) return;
    const rows = outputs.flatMap(({ path, box }, index) => {
      const image = made[index];
      return image === undefined ? [] : [{ path, row: rowOf(hash, box, image) }];
    });
    for (const { path, row } of rows) await files.keep(path, files.thumbnailPath(thumbnailName(row)));
    await db.write((tx) => {
      for (const { row } of rows) insertRow(tx, row);
    });
  }

  async #open(hash: string, box: Box): Promise<Thumbnail | undefined> {
    const { db, files } = this.#parts;
    const { width, height, method } = box;
    const animated = box.animated ? 1 : 0;
    const row = db.read((snapshot) => snapshot.get(storage.selectThumbnail, hash, width, height, method, animated));
    if (row === undefined) return undefined;
    const name = thumbnailName(row);
    const file = await files.open(files.thumbnailPath(name));
    return file === undefined ? undefined : { ...file, contentType: row.content_type, tag: name };
  }
}

const knownInfo = ({ width, height, frames }: BlobRow): ImageInfo | undefined =>
  width === null || height === null || frames === null ? undefined : { width, height, frames };

const isFor = (row: ThumbnailRow, box: Box): boolean =>
  sameSize(row, box) && row.method === box.method && row.animated === (box.animated ? 1 : 0);

const rowOf = (hash: string, box: Box, image: MadeImage): ThumbnailRow => ({
  hash,
  width: box.width,
  height: box.height,
  method: box.method,
  animated: box.animated ? 1 : 0,
  content_type: image.contentType,
  size: image.size,
});

/** A row whose file had gone is replaced. */
function insertRow(tx: Tx, row: ThumbnailRow): void {
  const { hash, width, height, method, animated, content_type: type, size } = row;
  const before = tx.get(storage.selectThumbnail, hash, width, height, method, animated);
  if (before !== undefined) {
    tx.run(storage.deleteThumbnail, hash, width, height, method, animated);
    tx.run(storage.addUsage, storage.everything, -1, -before.size);
  }
  tx.run(storage.insertThumbnail, hash, width, height, method, animated, type, size);
  tx.run(storage.addUsage, storage.everything, 1, size);
}

function failure(reason: Failure, remote: boolean): MatrixError {
  if (reason === 'broken') return new MatrixError(400, 'M_UNKNOWN', 'Cannot generate thumbnails for this content');
  return new MatrixError(remote ? 502 : 413, 'M_TOO_LARGE', 'The content is too large to thumbnail');
}

const notFound = (): never => {
  throw matrixError.notFound();
};
