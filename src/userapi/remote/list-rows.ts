/** The rows of remote users' device lists: SQL and its values, nothing decided here. */
import type { ServerName, UserId } from '../../matrix/ids.ts';
import { sql } from '../../storage/index.ts';
import type { SharedUsage } from './key-checks.ts';

export interface ListRow {
  readonly user_id: UserId;
  readonly server: ServerName;
  readonly fresh: number;
  readonly base_stream: number;
  readonly seen: string;
  readonly announce: number;
  readonly retry_at: number;
  readonly pause_ms: number;
  readonly failing_since: number | null;
}

export const selectList = sql<[userId: string], ListRow>('SELECT * FROM userapi_remote_lists WHERE user_id = ?');
export const selectAny = sql<[], { user_id: UserId }>('SELECT user_id FROM userapi_remote_lists LIMIT 1');
export const selectListed = sql<[], { user_id: UserId }>('SELECT user_id FROM userapi_remote_lists');
/** Whoever tells of a change answers, and is asked at once; otherwise a pause after a failure stays. */
export const upsertStale = sql<[userId: string, server: string, announce: number]>(
  `INSERT INTO userapi_remote_lists (user_id, server, fresh, base_stream, seen, announce, retry_at, pause_ms)
   VALUES (?, ?, 0, 0, '[]', ?, 0, 0)
   ON CONFLICT DO UPDATE SET
     retry_at = CASE WHEN fresh = 1 OR excluded.announce = 1 THEN 0 ELSE retry_at END,
     fresh = 0, announce = max(announce, excluded.announce)`,
);
export const upsertFresh = sql<[userId: string, server: string, base: number, announce: number]>(
  `INSERT INTO userapi_remote_lists (user_id, server, fresh, base_stream, seen, announce, retry_at, pause_ms)
   VALUES (?, ?, 1, ?, '[]', ?, 0, 0)
   ON CONFLICT DO UPDATE SET fresh = 1, base_stream = excluded.base_stream, seen = '[]', announce = excluded.announce,
     retry_at = 0, pause_ms = 0, failing_since = NULL`,
);
export const selectNews = sql<[limit: number], { user_id: UserId }>(
  'SELECT user_id FROM userapi_remote_lists WHERE fresh = 1 AND announce = 1 ORDER BY user_id LIMIT ?',
);
export const updateAnnounced = sql<[userId: string]>('UPDATE userapi_remote_lists SET announce = 0 WHERE user_id = ?');
export const updateSeen = sql<[seen: string, userId: string]>(
  'UPDATE userapi_remote_lists SET seen = ? WHERE user_id = ?',
);
export const updateFailed = sql<[retryAt: number, pauseMs: number, failingSince: number, userId: string]>(
  'UPDATE userapi_remote_lists SET retry_at = ?, pause_ms = ?, failing_since = ? WHERE user_id = ? AND fresh = 0',
);
export const updateRetry = sql<[server: string]>(
  'UPDATE userapi_remote_lists SET retry_at = 0 WHERE server = ? AND fresh = 0',
);
export const deleteList = sql<[userId: string]>('DELETE FROM userapi_remote_lists WHERE user_id = ?');
export const selectDue = sql<[now: number, limit: number], { user_id: UserId }>(
  'SELECT user_id FROM userapi_remote_lists WHERE fresh = 0 AND retry_at <= ? ORDER BY retry_at LIMIT ?',
);
export const selectNextDue = sql<[now: number], { at: number | null }>(
  'SELECT min(retry_at) AS at FROM userapi_remote_lists WHERE fresh = 0 AND retry_at > ?',
);

export const selectDevices = sql<
  [userId: string],
  { device_id: string; display_name: string | null; keys: string | null }
>('SELECT device_id, display_name, keys FROM userapi_remote_devices WHERE user_id = ? ORDER BY device_id');
export const upsertDevice = sql<[userId: string, deviceId: string, name: string | null, keys: string | null]>(
  `INSERT INTO userapi_remote_devices (user_id, device_id, display_name, keys) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys`,
);
export const deleteDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_remote_devices WHERE user_id = ? AND device_id = ?',
);
export const deleteDevices = sql<[userId: string]>('DELETE FROM userapi_remote_devices WHERE user_id = ?');

export const selectSigningKey = sql<[userId: string, usage: SharedUsage], { public_key: string; key: string }>(
  'SELECT public_key, key FROM userapi_remote_signing_keys WHERE user_id = ? AND usage = ?',
);
export const upsertSigningKey = sql<[userId: string, usage: SharedUsage, publicKey: string, key: string]>(
  `INSERT INTO userapi_remote_signing_keys (user_id, usage, public_key, key) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET public_key = excluded.public_key, key = excluded.key`,
);
export const deleteSigningKey = sql<[userId: string, usage: SharedUsage]>(
  'DELETE FROM userapi_remote_signing_keys WHERE user_id = ? AND usage = ?',
);
export const deleteSigningKeys = sql<[userId: string]>('DELETE FROM userapi_remote_signing_keys WHERE user_id = ?');

export const insertHeld = sql<[userId: string, most: number]>(
  `INSERT OR IGNORE INTO userapi_held_lists (user_id)
   SELECT ? WHERE (SELECT count(*) FROM userapi_held_lists) < ?`,
);
export const selectHeld = sql<[], { user_id: UserId }>('SELECT user_id FROM userapi_held_lists ORDER BY user_id');
export const deleteHeld = sql<[userId: string]>('DELETE FROM userapi_held_lists WHERE user_id = ?');
