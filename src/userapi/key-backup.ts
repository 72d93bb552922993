/**
 * Server-side key backups (C-S API v1.19 §Server-side key backups): versions of a backup, room keys in the newest one,
 * and the rule by which one key replaces another.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonValue } from '../matrix/json.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';

export interface BackedUpKey {
  readonly first_message_index: number;
  readonly forwarded_count: number;
  readonly is_verified: boolean;
  readonly session_data: JsonValue;
}

export interface BackupInfo {
  readonly version: string;
  readonly algorithm: string;
  readonly auth_data: JsonValue;
  readonly count: number;
  readonly etag: string;
}

/** Which keys: all of a backup, of a room, or one. */
export interface KeyScope {
  readonly roomId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** Room id to session id to key. */
export type KeysByRoom = Record<string, { sessions: Record<string, BackedUpKey> }>;

interface BackupRow {
  version: number;
  algorithm: string;
  auth_data: string;
  etag: number;
}

interface KeyRow {
  room_id: string;
  session_id: string;
  first_message_index: number;
  forwarded_count: number;
  is_verified: number;
  session_data: string;
}

const selectNewest = sql<[userId: string], BackupRow>(
  `SELECT version, algorithm, auth_data, etag FROM userapi_key_backups WHERE user_id = ? AND deleted = 0
   ORDER BY version DESC LIMIT 1`,
);
const selectBackup = sql<[userId: string, version: number], BackupRow & { deleted: number }>(
  'SELECT version, algorithm, auth_data, etag, deleted FROM userapi_key_backups WHERE user_id = ? AND version = ?',
);
const insertBackup = sql<[userId: string, algorithm: string, authData: string, user: string]>(
  `INSERT INTO userapi_key_backups (user_id, version, algorithm, auth_data)
   SELECT ?, coalesce(max(version), 0) + 1, ?, ? FROM userapi_key_backups WHERE user_id = ?`,
);
const updateAuthData = sql<[authData: string, userId: string, version: number]>(
  'UPDATE userapi_key_backups SET auth_data = ? WHERE user_id = ? AND version = ?',
);
const updateEtag = sql<[userId: string, version: number]>(
  'UPDATE userapi_key_backups SET etag = etag + 1 WHERE user_id = ? AND version = ?',
);
const updateDeleted = sql<[userId: string, version: number]>(
  'UPDATE userapi_key_backups SET deleted = 1 WHERE user_id = ? AND version = ?',
);
const selectCount = sql<[userId: string, version: number], { count: number }>(
  'SELECT count(*) AS count FROM userapi_key_backup_sessions WHERE user_id = ? AND version = ?',
);
const keyColumns = 'room_id, session_id, first_message_index, forwarded_count, is_verified, session_data';
type ScopeParameters = [userId: string, version: number, roomId: string | null, sessionId: string | null];
const inScope =
  'user_id = ? AND version = ? AND room_id = coalesce(?, room_id) AND session_id = coalesce(?, session_id)';
const selectKeys = sql<ScopeParameters, KeyRow>(
  `SELECT ${keyColumns} FROM userapi_key_backup_sessions WHERE ${inScope}`,
);
const deleteKeys = sql<ScopeParameters>(`DELETE FROM userapi_key_backup_sessions WHERE ${inScope}`);
const selectKey = sql<[userId: string, version: number, roomId: string, sessionId: string], KeyRow>(
  `SELECT ${keyColumns} FROM userapi_key_backup_sessions
   WHERE user_id = ? AND version = ? AND room_id = ? AND session_id = ?`,
);
const upsertKey = sql<
  [
    userId: string,
    version: number,
    roomId: string,
    sessionId: string,
    index: number,
    forwarded: number,
    verified: number,
    data: string,
  ]
>(
  `INSERT INTO userapi_key_backup_sessions (user_id, version, ${keyColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
     first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
     is_verified = excluded.is_verified, session_data = excluded.session_data`,
);

const unknownVersion = 'There is no such key backup';

export class KeyBackups {
  /** Makes a new backup, which is the current one from now on; returns its version. */
  create(tx: Tx, userId: UserId, algorithm: string, authData: JsonValue): string {
    tx.run(insertBackup, userId, algorithm, JSON.stringify(authData), userId);
    tx.touch(`user:${userId}`);
    return String(tx.get(selectNewest, userId)?.version ?? 0);
  }

  /** A backup, the current one without a version. @throws M_NOT_FOUND */
  info(snapshot: Snapshot, userId: UserId, version?: string): BackupInfo {
    const row = version === undefined ? snapshot.get(selectNewest, userId) : this.#find(snapshot, userId, version);
    if (row === undefined) throw matrixError.notFound('There is no key backup');
    return {
      version: String(row.version),
      algorithm: row.algorithm,
      auth_data: JSON.parse(row.auth_data) as JsonValue,
      ...this.#state(snapshot, userId, row.version),
    };
  }

  /** Changes the auth data. @throws M_NOT_FOUND, M_INVALID_PARAM when algorithm or version differ */
  update(
    tx: Tx,
    userId: UserId,
    version: string,
    body: { algorithm: string; authData: JsonValue; version?: unknown },
  ): void {
    const row = this.#find(tx, userId, version);
    if (body.version !== undefined && body.version !== version)
      throw matrixError.invalidParam('version does not match');
    if (body.algorithm !== row.algorithm) throw matrixError.invalidParam('Algorithm does not match');
    tx.run(updateAuthData, JSON.stringify(body.authData), userId, row.version);
    tx.touch(`user:${userId}`);
  }

  /** Deletes a backup with its keys; deleting it again changes nothing. @throws M_NOT_FOUND */
  delete(tx: Tx, userId: UserId, version: string): void {
    const number = versionNumber(version);
    if (tx.get(selectBackup, userId, number) === undefined) throw matrixError.notFound(unknownVersion);
    tx.run(updateDeleted, userId, number);
    tx.run(deleteKeys, userId, number, null, null);
    tx.touch(`user:${userId}`);
  }

  /**
   * Adds keys to the current backup; of two for one session the better one stays.
   * @throws M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION naming the current version
   */
  put(tx: Tx, userId: UserId, version: string, keys: KeysByRoom): { count: number; etag: string } {
    const current = tx.get(selectNewest, userId);
    if (current === undefined) throw matrixError.notFound(unknownVersion);
    if (String(current.version) !== version) {
      throw matrixError.wrongRoomKeysVersion({ current_version: String(current.version) });
    }
    let changed = false;
    for (const [roomId, { sessions }] of Object.entries(keys)) {
      for (const [sessionId, key] of Object.entries(sessions)) {
        const stored = tx.get(selectKey, userId, current.version, roomId, sessionId);
        if (stored !== undefined && !isBetter(key, stored)) continue;
        const { first_message_index: index, forwarded_count: forwarded, is_verified: verified } = key;
        const data = JSON.stringify(key.session_data);
        tx.run(upsertKey, userId, current.version, roomId, sessionId, index, forwarded, verified ? 1 : 0, data);
        changed = true;
      }
    }
    if (changed) this.#changed(tx, userId, current.version);
    return this.#state(tx, userId, current.version);
  }

  /** Keys of a backup, by room and session. @throws M_NOT_FOUND */
  get(snapshot: Snapshot, userId: UserId, version: string, scope: KeyScope): KeysByRoom {
    const { version: number } = this.#find(snapshot, userId, version);
    const rooms: KeysByRoom = {};
    const { roomId, sessionId } = scope;
    const rows =
      roomId !== undefined && sessionId !== undefined
        ? snapshot.all(selectKey, userId, number, roomId, sessionId)
        : snapshot.all(selectKeys, userId, number, roomId ?? null, sessionId ?? null);
    for (const row of rows) {
      const room = (rooms[row.room_id] ??= { sessions: {} });
      room.sessions[row.session_id] = {
        first_message_index: row.first_message_index,
        forwarded_count: row.forwarded_count,
        is_verified: row.is_verified === 1,
        session_data: JSON.parse(row.session_data) as JsonValue,
      };
    }
    return rooms;
  }

  /** Deletes keys. @throws M_NOT_FOUND */
  deleteKeys(tx: Tx, userId: UserId, version: string, scope: KeyScope): { count: number; etag: string } {
    const { version: number } = this.#find(tx, userId, version);
    const { changes } = tx.run(deleteKeys, userId, number, scope.roomId ?? null, scope.sessionId ?? null);
    if (changes > 0) this.#changed(tx, userId, number);
    return this.#state(tx, userId, number);
  }

  #changed(tx: Tx, userId: UserId, version: number): void {
    tx.run(updateEtag, userId, version);
    tx.touch(`user:${userId}`);
  }

  #state(snapshot: Snapshot, userId: UserId, version: number): { count: number; etag: string } {
    return {
      count: snapshot.get(selectCount, userId, version)?.count ?? 0,
      etag: String(snapshot.get(selectBackup, userId, version)?.etag ?? 0),
    };
  }

  #find(snapshot: Snapshot, userId: UserId, version: string): BackupRow {
    const row = snapshot.get(selectBackup, userId, versionNumber(version));
    if (row === undefined || row.deleted === 1) throw matrixError.notFound(unknownVersion);
    return row;
  }
}

/** Versions are positive integers; whatever else is asked for does not exist. */
const versionNumber = (version: string): number => (/^[1-9]\d{0,14}$/.test(version) ? Number(version) : 0);

/** "…the server decides whether to keep the existing key or replace it" (§Backup key, PUT room_keys/keys). */
function isBetter(key: BackedUpKey, stored: KeyRow): boolean {
  if (key.is_verified !== (stored.is_verified === 1)) return key.is_verified;
  if (key.first_message_index !== stored.first_message_index) {
    return key.first_message_index < stored.first_message_index;
  }
  return key.forwarded_count < stored.forwarded_count;
}
