/**
 * What operators and moderators do with files: look, forbid (quarantine), protect, delete. A quarantine also forbids the
 * same content under every other URI, now and later, so that uploading it again changes nothing.
 */
import type { ServerName, UserId } from '../matrix/ids.ts';
import { sql, type Database, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { mediaKey, type MediaId } from './mxc.ts';
import type { Repository } from './repository.ts';
import * as storage from './storage.ts';
import { itemColumns, itemTables, type ItemRow } from './storage.ts';

/** Orders of a user's files by the names that administrators' tools use, as columns. */
const orders = {
  media_id: 'i.media_id',
  upload_name: 'i.filename',
  created_ts: 'i.created_at',
  last_access_ts: 'i.accessed_at',
  media_length: 'b.size',
  media_type: 'i.content_type',
  quarantined_by: 'i.quarantined_by',
  safe_from_quarantine: 'i.protected',
} as const;
export type MediaOrder = keyof typeof orders;
export const mediaOrders = Object.keys(orders) as MediaOrder[];

const byUser = (order: MediaOrder, direction: 'ASC' | 'DESC') =>
  sql<[user: string, limit: number, offset: number], ItemRow>(
    `SELECT ${itemColumns} FROM ${itemTables} WHERE i.uploader = ?
     ORDER BY ${orders[order]} ${direction}, i.media_id LIMIT ? OFFSET ?`,
  );
const selectByUser = new Map(
  mediaOrders.map((order) => [order, [byUser(order, 'ASC'), byUser(order, 'DESC')] as const]),
);
const countByUser = sql<[user: string], { count: number }>(
  'SELECT count(*) AS count FROM media_items WHERE uploader = ?',
);
const selectUsages = sql<[limit: number, offset: number], { owner: string; files: number; bytes: number }>(
  `SELECT owner, files, bytes FROM media_usage WHERE owner != '' ORDER BY bytes DESC, owner LIMIT ? OFFSET ?`,
);
const countUsages = sql<[], { count: number }>(`SELECT count(*) AS count FROM media_usage WHERE owner != ''`);
const selectOldUploads = sql<[before: number, larger: number, limit: number, offset: number], ItemRow>(
  `SELECT ${itemColumns} FROM ${itemTables}
   WHERE i.kind = 'upload' AND i.hash IS NOT NULL AND i.accessed_at < ? AND b.size > ? AND i.protected = 0
   ORDER BY i.accessed_at, i.media_id LIMIT ? OFFSET ?`,
);
const selectOldCopies = sql<[before: number, limit: number], ItemRow>(
  `SELECT ${itemColumns} FROM ${itemTables}
   WHERE i.kind = 'remote' AND i.hash IS NOT NULL AND i.accessed_at < ? ORDER BY i.accessed_at LIMIT ?`,
);
const updateQuarantine = sql<[by: string | null, origin: string, mediaId: string]>(
  'UPDATE media_items SET quarantined_by = ? WHERE origin = ? AND media_id = ?',
);
const updateBlobQuarantine = sql<[quarantined: number, hash: string]>(
  'UPDATE media_blobs SET quarantined = ? WHERE hash = ?',
);
const updateProtection = sql<[on: number, origin: string, mediaId: string]>(
  'UPDATE media_items SET protected = ? WHERE origin = ? AND media_id = ?',
);
const insertForbidden = sql<[origin: string, mediaId: string, by: string, now: number, now: number]>(
  `INSERT INTO media_items (origin, media_id, kind, content_type, quarantined_by, created_at, accessed_at,
     authenticated, protected) VALUES (?, ?, 'remote', 'application/octet-stream', ?, ?, ?, 1, 0)`,
);
const batch = 200;

export interface ModerationParts {
  readonly db: Database;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly serverName: ServerName;
}

export interface Page {
  readonly from: number;
  readonly limit: number;
}

const idOf = (row: ItemRow): MediaId => ({ origin: row.origin as ServerName, mediaId: row.media_id });

export class Moderation {
  readonly #parts: ModerationParts;

  constructor(parts: ModerationParts) {
    this.#parts = parts;
  }

  /** What is known of a file; undefined when nothing. */
  describe(id: MediaId): ItemRow | undefined {
    return this.#parts.repository.item(id);
  }

  /** A user's uploads; the newest first unless another order is asked for. */
  ofUser(
    user: UserId,
    { from, limit }: Page,
    order: { readonly by: MediaOrder; readonly descending: boolean } = { by: 'created_ts', descending: true },
  ): { readonly items: ItemRow[]; readonly total: number } {
    const statement = selectByUser.get(order.by)?.[order.descending ? 1 : 0];
    if (statement === undefined) throw new Error(`no order by ${order.by}`);
    return this.#parts.db.read((snapshot) => ({
      items: snapshot.all(statement, user, limit, from),
      total: snapshot.get(countByUser, user)?.count ?? 0,
    }));
  }

  /** What users have uploaded, those with most bytes first, and how many users there are. */
  usage({ from, limit }: Page): {
    readonly usages: { readonly owner: string; readonly files: number; readonly bytes: number }[];
    readonly total: number;
  } {
    return this.#parts.db.read((snapshot) => ({
      usages: snapshot.all(selectUsages, limit, from),
      total: snapshot.get(countUsages)?.count ?? 0,
    }));
  }

  /** Forbids files, also those of other servers that were never fetched. Protected ones are left. Returns how many. */
  async quarantine(ids: readonly MediaId[], by: UserId): Promise<number> {
    const { db, clock, serverName } = this.#parts;
    const now = clock.now();
    return db.write((tx) => {
      let count = 0;
      for (const id of ids) {
        const row = tx.get(storage.selectItem, id.origin, id.mediaId);
        if (row?.protected === 1 || (row === undefined && id.origin === serverName)) continue;
        count += 1;
        if (row === undefined) tx.run(insertForbidden, id.origin, id.mediaId, by, now, now);
        else this.#mark(tx, row, by);
      }
      return count;
    });
  }

  /** Allows files again, and their content everywhere. Returns how many. */
  async unquarantine(ids: readonly MediaId[]): Promise<number> {
    return this.#parts.db.write((tx) => {
      let count = 0;
      for (const id of ids) {
        const row = tx.get(storage.selectItem, id.origin, id.mediaId);
        if (row === undefined) continue;
        count += 1;
        // A copy that was never fetched is known for its quarantine only.
        if (row.hash === null && row.kind === 'remote') tx.run(storage.deleteItem, row.origin, row.media_id);
        else this.#mark(tx, row, null);
      }
      return count;
    });
  }

  /** Forbids all that a user has uploaded. Returns how many files. */
  async quarantineUser(user: UserId, by: UserId): Promise<number> {
    let count = 0;
    for (let from = 0; ; from += batch) {
      const { items } = this.ofUser(user, { from, limit: batch });
      count += await this.quarantine(items.map(idOf), by);
      if (items.length < batch) return count;
    }
  }

  /** Protects a file from quarantine and retention, or ends that. Returns whether there is such a file. */
  async protect(id: MediaId, on: boolean): Promise<boolean> {
    return this.#parts.db.write((tx) => tx.run(updateProtection, on ? 1 : 0, id.origin, id.mediaId).changes > 0);
  }

  /** Deletes files. Returns how many there were. */
  delete(ids: readonly MediaId[]): Promise<number> {
    return this.#parts.repository.delete(ids);
  }

  /** Deletes listed files. Returns the URIs' parts. */
  async deleteItems(items: readonly ItemRow[]): Promise<MediaId[]> {
    const ids = items.map(idOf);
    await this.#parts.repository.delete(ids);
    return ids;
  }

  /** Deletes all that a user has uploaded (erasure, GDPR). Returns the URIs' parts. */
  async deleteUser(user: UserId): Promise<MediaId[]> {
    const deleted: MediaId[] = [];
    for (;;) {
      const ids = this.ofUser(user, { from: 0, limit: batch }).items.map(idOf);
      if (ids.length === 0) return deleted;
      await this.#parts.repository.delete(ids);
      deleted.push(...ids);
    }
  }

  /** Deletes uploads larger than `larger` bytes that nobody asked for since `before` (ms), save those to be kept. */
  async deleteUploads(before: number, larger: number, keep: (id: MediaId) => boolean): Promise<MediaId[]> {
    const deleted: MediaId[] = [];
    for (let kept = 0; ;) {
      const rows = this.#parts.db.read((snapshot) => snapshot.all(selectOldUploads, before, larger, batch, kept));
      const ids = rows.map(idOf).filter((id) => !keep(id));
      kept += rows.length - ids.length;
      await this.#parts.repository.delete(ids);
      deleted.push(...ids);
      if (rows.length < batch) return deleted;
    }
  }

  /** Deletes copies of remote files that nobody asked for since `before` (ms). Returns how many. */
  async deleteCopies(before: number): Promise<number> {
    let deleted = 0;
    for (;;) {
      const rows = this.#parts.db.read((snapshot) => snapshot.all(selectOldCopies, before, batch));
      deleted += await this.#parts.repository.delete(rows.map(idOf));
      if (rows.length < batch) return deleted;
    }
  }

  #mark(tx: Tx, row: ItemRow, by: UserId | null): void {
    tx.run(updateQuarantine, by, row.origin, row.media_id);
    if (row.hash !== null) tx.run(updateBlobQuarantine, by === null ? 0 : 1, row.hash);
    tx.touch(mediaKey(idOf(row)));
  }
}
