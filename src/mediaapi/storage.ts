/** Statements of the media tables. Times are ms since the epoch, flags 0 or 1. */
import { sql } from '../storage/index.ts';
import type { ImageFormat } from './content-type.ts';

export type MediaKind = 'upload' | 'remote' | 'preview';
export type ThumbnailMethod = 'crop' | 'scale';

/** An item with what is known of its content; the blob's columns are null while it has none. */
export interface ItemRow {
  readonly origin: string;
  readonly media_id: string;
  readonly kind: MediaKind;
  readonly hash: string | null;
  readonly content_type: string;
  readonly filename: string | null;
  readonly uploader: string | null;
  readonly created_at: number;
  readonly stored_at: number | null;
  readonly expires_at: number | null;
  readonly accessed_at: number;
  readonly authenticated: number;
  readonly quarantined_by: string | null;
  readonly protected: number;
  readonly size: number | null;
  readonly format: ImageFormat | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly frames: number | null;
  readonly quarantined: number | null;
}

export interface BlobRow {
  readonly hash: string;
  readonly size: number;
  readonly format: ImageFormat | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly frames: number | null;
}

export interface ThumbnailRow {
  readonly hash: string;
  readonly width: number;
  readonly height: number;
  readonly method: ThumbnailMethod;
  readonly animated: number;
  readonly content_type: string;
  readonly size: number;
}

export const itemColumns = `i.origin, i.media_id, i.kind, i.hash, i.content_type, i.filename, i.uploader, i.created_at, i.stored_at,
  i.expires_at, i.accessed_at, i.authenticated, i.quarantined_by, i.protected, b.size, b.format, b.width, b.height,
  b.frames, b.quarantined`;
export const itemTables = 'media_items i LEFT JOIN media_blobs b ON b.hash = i.hash';

export const selectItem = sql<[origin: string, mediaId: string], ItemRow>(
  `SELECT ${itemColumns} FROM ${itemTables} WHERE i.origin = ? AND i.media_id = ?`,
);
export const insertItem = sql<
  [
    origin: string,
    mediaId: string,
    kind: MediaKind,
    hash: string | null,
    contentType: string,
    filename: string | null,
    uploader: string | null,
    createdAt: number,
    storedAt: number | null,
    expiresAt: number | null,
    accessedAt: number,
    authenticated: number,
  ]
>(
  `INSERT INTO media_items (origin, media_id, kind, hash, content_type, filename, uploader, created_at, stored_at,
     expires_at, accessed_at, authenticated, protected)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
);
export const fillItem = sql<
  [
    hash: string,
    contentType: string,
    filename: string | null,
    now: number,
    now: number,
    authenticated: number,
    origin: string,
    mediaId: string,
  ]
>(
  `UPDATE media_items SET hash = ?, content_type = ?, filename = ?, stored_at = ?, accessed_at = ?, authenticated = ?,
     expires_at = NULL WHERE origin = ? AND media_id = ? AND hash IS NULL`,
);
export const deleteItem = sql<[origin: string, mediaId: string]>(
  'DELETE FROM media_items WHERE origin = ? AND media_id = ?',
);
export const selectAnyItemOfBlob = sql<[hash: string], { media_id: string }>(
  'SELECT media_id FROM media_items WHERE hash = ? LIMIT 1',
);
export const updateAccess = sql<[now: number, origin: string, mediaId: string, before: number]>(
  'UPDATE media_items SET accessed_at = ? WHERE origin = ? AND media_id = ? AND accessed_at < ?',
);

export const selectPending = sql<[uploader: string, now: number], { count: number; next: number | null }>(
  `SELECT count(*) AS count, min(expires_at) AS next FROM media_items
   WHERE uploader = ? AND hash IS NULL AND expires_at > ?`,
);
export const selectExpiredPending = sql<[now: number], { origin: string; media_id: string }>(
  'SELECT origin, media_id FROM media_items WHERE hash IS NULL AND expires_at <= ?',
);

export const selectBlob = sql<[hash: string], BlobRow>(
  'SELECT hash, size, format, width, height, frames FROM media_blobs WHERE hash = ?',
);
export const insertBlob = sql<[hash: string, size: number, format: string | null, createdAt: number]>(
  `INSERT INTO media_blobs (hash, size, format, quarantined, created_at) VALUES (?, ?, ?, 0, ?)
   ON CONFLICT DO NOTHING`,
);
export const updateBlobImage = sql<[width: number, height: number, frames: number, hash: string]>(
  'UPDATE media_blobs SET width = ?, height = ?, frames = ? WHERE hash = ?',
);
export const deleteBlob = sql<[hash: string]>('DELETE FROM media_blobs WHERE hash = ?');
export const selectBlobsAfter = sql<[hash: string, limit: number], BlobRow>(
  'SELECT hash, size, format, width, height, frames FROM media_blobs WHERE hash > ? ORDER BY hash LIMIT ?',
);
export const selectUnusedBlobs = sql<[limit: number], { hash: string }>(
  'SELECT hash FROM media_blobs b WHERE NOT EXISTS (SELECT 1 FROM media_items i WHERE i.hash = b.hash) LIMIT ?',
);

export const selectThumbnail = sql<
  [hash: string, width: number, height: number, method: string, animated: number],
  ThumbnailRow
>('SELECT * FROM media_thumbnails WHERE hash = ? AND width = ? AND height = ? AND method = ? AND animated = ?');
export const selectThumbnails = sql<[hash: string], ThumbnailRow>('SELECT * FROM media_thumbnails WHERE hash = ?');
export const insertThumbnail = sql<
  [hash: string, width: number, height: number, method: string, animated: number, contentType: string, size: number]
>(
  `INSERT INTO media_thumbnails (hash, width, height, method, animated, content_type, size) VALUES (?, ?, ?, ?, ?, ?, ?)`,
);
export const deleteThumbnail = sql<[hash: string, width: number, height: number, method: string, animated: number]>(
  'DELETE FROM media_thumbnails WHERE hash = ? AND width = ? AND height = ? AND method = ? AND animated = ?',
);

/** The owner under whom all files on disk are counted. */
export const everything = '';
export const selectUsage = sql<[owner: string], { files: number; bytes: number }>(
  'SELECT files, bytes FROM media_usage WHERE owner = ?',
);
export const addUsage = sql<[owner: string, files: number, bytes: number]>(
  `INSERT INTO media_usage (owner, files, bytes) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes`,
);
