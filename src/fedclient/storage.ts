/** SQL of the `fedclient_*` tables: keys of other servers, the documents that published them, servers that fail. */
import { sql } from '../storage/index.ts';

export interface KeyRow {
  readonly key_id: string;
  readonly public_key: Uint8Array;
  /** ms */
  readonly valid_until: number;
  /** ms; null: not an old key */
  readonly expired_at: number | null;
}

export const selectKeysByServer = sql<[server: string], KeyRow>(
  'SELECT key_id, public_key, valid_until, expired_at FROM fedclient_keys WHERE server = ?',
);

export const upsertKey = sql<
  [server: string, keyId: string, publicKey: Uint8Array, validUntil: number, expiredAt: number | null, document: number]
>(
  `INSERT INTO fedclient_keys (server, key_id, public_key, valid_until, expired_at, document)
   VALUES (?, ?, ?, ?, ?, ?)
   ON CONFLICT (server, key_id) DO UPDATE SET public_key = excluded.public_key, valid_until = excluded.valid_until,
     expired_at = excluded.expired_at, document = excluded.document`,
);

export interface DocumentRow {
  readonly id: number;
  readonly body: string;
  /** ms */
  readonly fetched_at: number;
  /** ms */
  readonly valid_until: number;
}

/** Newest first. */
export const selectDocumentsByServer = sql<[server: string], DocumentRow>(
  'SELECT id, body, fetched_at, valid_until FROM fedclient_key_documents WHERE server = ? ORDER BY id DESC',
);

export const insertDocument = sql<[server: string, body: string, fetchedAt: number, validUntil: number]>(
  'INSERT INTO fedclient_key_documents (server, body, fetched_at, valid_until) VALUES (?, ?, ?, ?)',
);

/** Documents whose keys all stand in newer ones. */
export const deleteSupersededDocuments = sql<[server: string, newest: number]>(
  `DELETE FROM fedclient_key_documents WHERE server = ? AND id <> ?
     AND NOT EXISTS (SELECT 1 FROM fedclient_keys k WHERE k.document = fedclient_key_documents.id)`,
);

export interface DestinationRow {
  readonly server: string;
  readonly failing_since: number;
  readonly pause_ms: number;
}

export const selectDestinations = sql<[], DestinationRow>(
  'SELECT server, failing_since, pause_ms FROM fedclient_destinations ORDER BY failing_since',
);

export const upsertDestination = sql<[server: string, failingSince: number, pauseMs: number]>(
  `INSERT INTO fedclient_destinations (server, failing_since, pause_ms) VALUES (?, ?, ?)
   ON CONFLICT (server) DO UPDATE SET failing_since = excluded.failing_since, pause_ms = excluded.pause_ms`,
);

export const deleteDestination = sql<[server: string]>('DELETE FROM fedclient_destinations WHERE server = ?');
