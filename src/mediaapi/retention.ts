/**
 * What happens to files without anyone asking: expired ids and old copies go, the storage budget is kept, and what a
 * crash left behind is swept up.
 */
import type { Config } from '../config/index.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import { sql, type Database, type Snapshot } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { Slice } from '../util/slice.ts';
import type { Task } from '../util/tasks.ts';
import type { MediaFiles } from './files.ts';
import type { Moderation } from './moderation.ts';
import type { MediaId } from './mxc.ts';
import { thumbnailName, type Repository } from './repository.ts';
import * as storage from './storage.ts';
import type { MediaKind } from './storage.ts';
import type { Uploads } from './uploads.ts';

const selectOld = sql<[kind: MediaKind, before: number, limit: number], { origin: string; media_id: string }>(
  `SELECT origin, media_id FROM media_items INDEXED BY media_items_by_access
   WHERE kind = ? AND accessed_at < ? AND hash IS NOT NULL AND protected = 0 ORDER BY accessed_at LIMIT ?`,
);
const selectOwners = sql<[except: string], { owner: string }>(
  'SELECT owner FROM media_usage WHERE owner != ? AND files > 0',
);
const deleteOldPreviews = sql<[now: number]>('DELETE FROM media_previews WHERE expires_at <= ?');
/** Preview images that nobody asked for in this time; the preview itself is gone by then. */
const previewImageMs = 7 * 86_400_000;
const flushMs = 60_000;
const roundMs = 600_000;
const batch = 100;

export interface RetentionParts {
  readonly db: Database;
  readonly files: MediaFiles;
  readonly repository: Repository;
  readonly uploads: Uploads;
  readonly moderation: Moderation;
  readonly isErased: (snapshot: Snapshot, user: string) => boolean;
  readonly config: Config['media']['retention'];
  readonly clock: Clock;
  readonly log: Logger;
}

export class Retention {
  readonly #parts: RetentionParts;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  /** The housekeeping: one sweep, then rounds and access times. */
  get tasks(): Task[] {
    const { repository } = this.#parts;
    return [
      { name: 'media sweep', run: async (signal) => void (await this.sweep(signal)) },
      { name: 'media access times', everyMs: flushMs, run: () => repository.flushAccess() },
      { name: 'media retention', everyMs: roundMs, run: () => this.round() },
    ];
  }

  /** One round: expired ids, uploads of erased users, old files, the budget. */
  async round(): Promise<void> {
    const { db, clock, config, uploads } = this.#parts;
    const now = clock.now();
    await uploads.expire();
    await this.#deleteErased();
    await db.write((tx) => void tx.run(deleteOldPreviews, now));
    await this.#deleteOld('preview', now - previewImageMs);
    await this.#deleteOld('remote', now - config.remote);
    if (config.local !== undefined) await this.#deleteOld('upload', now - config.local);
    if (config.budget !== undefined) await this.#keepBudget(config.budget, now);
  }

  /** Deletes files without a row and rows that nothing names. Returns how many went. */
  async sweep(signal?: AbortSignal): Promise<number> {
    const { db, files, repository, log } = this.#parts;
    const slice = new Slice();
    let swept = 0;
    for await (const names of files.stored('content')) {
      for (const name of names) {
        if (signal?.aborted === true) return swept;
        await slice.tick();
        if (db.read((snapshot) => snapshot.get(storage.selectBlob, name)) !== undefined) continue;
        if (await repository.collect(name)) swept += 1;
      }
    }
    for await (const names of files.stored('thumbnails')) {
      for (const name of names) {
        if (signal?.aborted === true) return swept;
        await slice.tick();
        if (await this.#sweepThumbnail(name)) swept += 1;
      }
    }
    for (;;) {
      const unused = db.read((snapshot) => snapshot.all(storage.selectUnusedBlobs, batch));
      for (const { hash } of unused) if (await repository.collect(hash)) swept += 1;
      if (unused.length < batch) break;
    }
    if (swept > 0) log.info({ files: swept }, 'deleted what an earlier end of the server had left unfinished');
    return swept;
  }

  async #sweepThumbnail(name: string): Promise<boolean> {
    const { files, repository } = this.#parts;
    const hash = name.split('-')[0] ?? '';
    if (this.#namesOfThumbnails(hash).has(name)) return false;
    return repository.inLane(hash, async () => {
      if (this.#namesOfThumbnails(hash).has(name)) return false;
      await files.remove(files.thumbnailPath(name));
      return true;
    });
  }

  #namesOfThumbnails(hash: string): Set<string> {
    const rows = this.#parts.db.read((snapshot) => snapshot.all(storage.selectThumbnails, hash));
    return new Set(rows.map(thumbnailName));
  }

  /** "The server should additionally erase any non-event data associated with the user" (C-S API §Deactivation). */
  async #deleteErased(): Promise<void> {
    const { db, moderation, isErased } = this.#parts;
    const erased = db.read((snapshot) => {
      const owners = snapshot.all(selectOwners, storage.everything).map(({ owner }) => owner as UserId);
      return owners.filter((owner) => isErased(snapshot, owner));
    });
    for (const user of erased) await moderation.deleteUser(user);
  }

  async #deleteOld(kind: MediaKind, before: number): Promise<void> {
    let ids: MediaId[];
    do {
      ids = this.#oldest(kind, before);
      await this.#parts.repository.delete(ids);
    } while (ids.length === batch);
  }

  async #keepBudget(budget: number, now: number): Promise<void> {
    const { db, repository, log } = this.#parts;
    const used = (): number => db.read((snapshot) => snapshot.get(storage.selectUsage, storage.everything))?.bytes ?? 0;
    let deleted = 0;
    for (const kind of ['preview', 'remote', 'upload'] as const) {
      while (used() > budget) {
        const [oldest] = this.#oldest(kind, now + 1, 1);
        if (oldest === undefined) break;
        deleted += await repository.delete([oldest]);
      }
    }
    if (deleted > 0) log.info({ files: deleted }, 'deleted files to keep the storage budget');
  }

  #oldest(kind: MediaKind, before: number, limit = batch): MediaId[] {
    const rows = this.#parts.db.read((snapshot) => snapshot.all(selectOld, kind, before, limit));
    return rows.map(({ origin, media_id }) => ({ origin: origin as ServerName, mediaId: media_id }));
  }
}
