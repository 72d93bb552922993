/**
 * Which file stands behind which mxc URI. Contents are kept once: many items may name one blob. A blob's file and rows
 * change only in the lane of its hash, so that what one upload brings is never what another deletion takes away: a row
 * is written after its file is on disk, and a file goes after its row.
 */
import type { Database, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { KeyedQueue } from '../util/keyed-queue.ts';
import { sniffFormat } from './content-type.ts';
import type { MediaFiles, Received } from './files.ts';
import { mediaKey, type MediaId } from './mxc.ts';
import * as storage from './storage.ts';
import type { ItemRow, ThumbnailRow } from './storage.ts';

/** A thumbnail's file: `<hash>-320x240-scale`, `…-scale-animated`. */
export const thumbnailName = (row: Pick<ThumbnailRow, 'hash' | 'width' | 'height' | 'method' | 'animated'>): string =>
  `${row.hash}-${row.width}x${row.height}-${row.method}${row.animated === 1 ? '-animated' : ''}`;

export interface RepositoryParts {
  readonly db: Database;
  readonly files: MediaFiles;
  readonly clock: Clock;
}

/** Downloads are noted to the hour: a write for each would wear the disk out. */
const accessStep = 3_600_000;

export class Repository {
  readonly #db: Database;
  readonly #files: MediaFiles;
  readonly #clock: Clock;
  readonly #lanes = new KeyedQueue<string>();
  readonly #arrivals = new Map<string, Set<() => void>>();
  #accessed = new Map<string, MediaId>();

  constructor({ db, files, clock }: RepositoryParts) {
    this.#db = db;
    this.#files = files;
    this.#clock = clock;
  }

  /** What is known of a file. */
  item({ origin, mediaId }: MediaId): ItemRow | undefined {
    return this.#db.read((snapshot) => snapshot.get(storage.selectItem, origin, mediaId));
  }

  /**
   * Gives a received file its place and, in one commit, its rows: `write` adds or fills the items that name it. When
   * `write` throws nothing of it stays. Takes the received file over.
   */
  async put<T>(received: Received, write: (tx: Tx) => T & (T extends PromiseLike<unknown> ? never : T)): Promise<T> {
    const { hash, size } = received;
    return this.inLane(hash, async () => {
      try {
        await this.#files.keep(received.path, this.#files.contentPath(hash));
        return await this.#db.write<T>((tx) => {
          const format = sniffFormat(received.head) ?? null;
          const { changes } = tx.run(storage.insertBlob, hash, size, format, this.#clock.now());
          if (changes > 0) tx.run(storage.addUsage, storage.everything, 1, size);
          return write(tx);
        });
      } catch (error) {
        await this.#files.remove(received.path);
        await this.#collect(hash);
        throw error;
      }
    });
  }

  /** Deletes items; what no other item names goes from the disk too. Returns how many there were. */
  async delete(ids: readonly MediaId[]): Promise<number> {
    const hashes = new Set<string>();
    const deleted = await this.#db.write((tx) => {
      let count = 0;
      for (const id of ids) {
        const row = tx.get(storage.selectItem, id.origin, id.mediaId);
        if (row === undefined) continue;
        count += 1;
        tx.run(storage.deleteItem, id.origin, id.mediaId);
        tx.touch(mediaKey(id));
        if (row.hash === null) continue;
        hashes.add(row.hash);
        if (row.uploader !== null) tx.run(storage.addUsage, row.uploader, -1, -(row.size ?? 0));
      }
      return count;
    });
    for (const hash of hashes) await this.collect(hash);
    for (const id of ids) this.#tell(mediaKey(id));
    return deleted;
  }

  /** Deletes a blob, its thumbnails and files when no item names it. */
  collect(hash: string): Promise<boolean> {
    return this.inLane(hash, () => this.#collect(hash));
  }

  /** Runs `task` while no other changes rows or files of this content. */
  inLane<T>(hash: string, task: () => Promise<T>): Promise<T> {
    return this.#lanes.run(hash, task);
  }

  /** Notes a download. */
  touch(item: ItemRow, id: MediaId): void {
    if (this.#clock.now() - item.accessed_at > accessStep) this.#accessed.set(mediaKey(id), id);
  }

  /** Writes down what was downloaded since the last time. */
  async flushAccess(): Promise<void> {
    if (this.#accessed.size === 0) return;
    const accessed = this.#accessed;
    this.#accessed = new Map();
    const now = this.#clock.now();
    await this.#db.write((tx) => {
      for (const { origin, mediaId } of accessed.values()) tx.run(storage.updateAccess, now, origin, mediaId, now);
    });
  }

  /** Tells who waits for this file that it has come, or never will. */
  arrived(id: MediaId): void {
    this.#tell(mediaKey(id));
  }

  /** Resolves when the file arrives, after `ms`, or on abort. Register first, then look again. */
  async arrival(id: MediaId, ms: number, signal: AbortSignal): Promise<void> {
    const key = mediaKey(id);
    const done = new AbortController();
    const wake = (): void => done.abort();
    const waiting = this.#arrivals.get(key) ?? new Set();
    this.#arrivals.set(key, waiting.add(wake));
    try {
      await this.#clock.sleep(ms, AbortSignal.any([signal, done.signal]));
    } finally {
      waiting.delete(wake);
      if (waiting.size === 0) this.#arrivals.delete(key);
    }
  }

  #tell(key: string): void {
    for (const wake of this.#arrivals.get(key) ?? []) wake();
  }

  async #collect(hash: string): Promise<boolean> {
    const thumbnails = await this.#db.write((tx): ThumbnailRow[] | undefined => {
      if (tx.get(storage.selectAnyItemOfBlob, hash) !== undefined) return undefined;
      const rows = tx.all(storage.selectThumbnails, hash);
      for (const row of rows) forgetThumbnail(tx, row);
      const blob = tx.get(storage.selectBlob, hash);
      if (blob !== undefined) {
        tx.run(storage.deleteBlob, hash);
        tx.run(storage.addUsage, storage.everything, -1, -blob.size);
      }
      return rows;
    });
    if (thumbnails === undefined) return false;
    for (const row of thumbnails) await this.#files.remove(this.#files.thumbnailPath(thumbnailName(row)));
    await this.#files.remove(this.#files.contentPath(hash));
    return true;
  }
}

/** Deletes a thumbnail's row; its file goes after the commit. */
export function forgetThumbnail(tx: Tx, row: ThumbnailRow): void {
  tx.run(storage.deleteThumbnail, row.hash, row.width, row.height, row.method, row.animated);
  tx.run(storage.addUsage, storage.everything, -1, -row.size);
}
