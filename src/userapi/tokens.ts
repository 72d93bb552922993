/**
 * Access and refresh tokens (C-S API v1.19 §Using access tokens, §Refreshing access tokens). A refreshed pair replaces
 * its predecessor only when it is first used: a client that lost the answer repeats the refresh with the old token.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { sql, type Database, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';
import { newToken, tokenHash } from './secrets.ts';

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  /** Lifetime of the access token in ms; undefined: it does not expire. */
  readonly expiresIn: number | undefined;
}

/** An access token as it was found. */
export interface AccessToken {
  readonly id: number;
  readonly userId: UserId;
  /** '': an administrator acts as the user, without a device. */
  readonly deviceId: string;
  /** ms; undefined: never. */
  readonly expiresAt: number | undefined;
  /** The refresh token whose predecessor still lives: the first use of this pair ends it. */
  readonly unconfirmed: number | undefined;
}

interface AccessRow {
  id: number;
  user_id: UserId;
  device_id: string;
  expires_at: number | null;
  refresh_id: number | null;
  parent_id: number | null;
}

const insertAccess = sql<
  [hash: Uint8Array, userId: string, deviceId: string, now: number, expires: number | null, refresh: number | null]
>(
  `INSERT INTO userapi_access_tokens (hash, user_id, device_id, created_at, expires_at, refresh_id)
   VALUES (?, ?, ?, ?, ?, ?)`,
);
const insertPuppet = sql<[hash: Uint8Array, userId: string, now: number, expires: number | null, issuedBy: string]>(
  `INSERT INTO userapi_access_tokens (hash, user_id, device_id, created_at, expires_at, issued_by)
   VALUES (?, ?, '', ?, ?, ?)`,
);
const deleteIssuedBy = sql<[admin: string]>('DELETE FROM userapi_access_tokens WHERE issued_by = ?');
const deleteAccess = sql<[id: number]>('DELETE FROM userapi_access_tokens WHERE id = ?');
const insertRefresh = sql<[hash: Uint8Array, userId: string, deviceId: string, parent: number | null]>(
  'INSERT INTO userapi_refresh_tokens (hash, user_id, device_id, parent_id) VALUES (?, ?, ?, ?)',
);
const selectAccess = sql<[hash: Uint8Array], AccessRow>(
  `SELECT a.id, a.user_id, a.device_id, a.expires_at, a.refresh_id, r.parent_id
   FROM userapi_access_tokens a LEFT JOIN userapi_refresh_tokens r ON r.id = a.refresh_id WHERE a.hash = ?`,
);
const selectRefresh = sql<[hash: Uint8Array], { id: number; user_id: UserId; device_id: string }>(
  'SELECT id, user_id, device_id FROM userapi_refresh_tokens WHERE hash = ?',
);
const selectParent = sql<[id: number], { parent_id: number | null }>(
  'SELECT parent_id FROM userapi_refresh_tokens WHERE id = ?',
);
const selectSiblings = sql<[parent: number, id: number], { id: number }>(
  'SELECT id FROM userapi_refresh_tokens WHERE parent_id = ? AND id <> ?',
);
const clearParent = sql<[id: number]>('UPDATE userapi_refresh_tokens SET parent_id = NULL WHERE id = ?');
const deleteRefresh = sql<[id: number]>('DELETE FROM userapi_refresh_tokens WHERE id = ?');
const deleteAccessOfRefresh = sql<[refresh: number]>('DELETE FROM userapi_access_tokens WHERE refresh_id = ?');
const deleteAccessOfDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_access_tokens WHERE user_id = ? AND device_id = ?',
);
const deleteRefreshOfDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_refresh_tokens WHERE user_id = ? AND device_id = ?',
);

/** How many tokens are kept in memory. */
const cachedTokens = 20_000;

export class Tokens {
  readonly #clock: Clock;
  readonly #lifetime: number;
  readonly #cache = new LruCache<string, AccessToken>({ max: cachedTokens });

  /** @param lifetime of access tokens that can be refreshed, in ms. Others do not expire. */
  constructor(clock: Clock, lifetime: number) {
    this.#clock = clock;
    this.#lifetime = lifetime;
  }

  /** Tokens held in memory. */
  get cached(): number {
    return this.#cache.size;
  }

  /** Gives out tokens for a device; a refresh token only to clients that said they know them. */
  issue(tx: Tx, userId: UserId, deviceId: string, refreshable: boolean): IssuedTokens {
    return this.#issue(tx, userId, deviceId, refreshable ? { parent: null } : undefined);
  }

  /** The token's row, from memory if it can be. */
  find(db: Database, token: string): AccessToken | undefined {
    const known = this.#cache.get(token);
    if (known !== undefined) return known;
    const row = db.read((snapshot) => snapshot.get(selectAccess, tokenHash(token)));
    if (row === undefined) return undefined;
    const found: AccessToken = {
      id: row.id,
      userId: row.user_id,
      deviceId: row.device_id,
      expiresAt: row.expires_at ?? undefined,
      unconfirmed: row.parent_id === null ? undefined : (row.refresh_id ?? undefined),
    };
    this.#cache.set(token, found);
    return found;
  }

  /**
   * A new pair for a refresh token. The old pair stays good until the new one is used.
   * @throws M_UNKNOWN_TOKEN
   */
  refresh(tx: Tx, refreshToken: string): IssuedTokens {
    const row = tx.get(selectRefresh, tokenHash(refreshToken));
    if (row === undefined) throw matrixError.unknownToken();
    this.confirm(tx, row.id);
    return this.#issue(tx, row.user_id, row.device_id, { parent: row.id });
  }

  /** The pair of this refresh token was used: its predecessor, and pairs from repeated refreshes, end. */
  confirm(tx: Tx, refreshId: number): void {
    const parent = tx.get(selectParent, refreshId)?.parent_id ?? null;
    if (parent === null) return;
    for (const { id } of [...tx.all(selectSiblings, parent, refreshId), { id: parent }]) {
      tx.run(deleteAccessOfRefresh, id);
      tx.run(deleteRefresh, id);
    }
    tx.run(clearParent, refreshId);
    this.#forget(tx);
  }

  /** A token with which an administrator acts as a user, without a device. `expiresAt` in ms, undefined: never. */
  issuePuppet(tx: Tx, userId: UserId, admin: UserId, expiresAt: number | undefined): string {
    const accessToken = newToken('nat');
    tx.run(insertPuppet, tokenHash(accessToken), userId, this.#clock.now(), expiresAt ?? null, admin);
    return accessToken;
  }

  /** Ends the tokens with which an administrator acts as others. */
  revokeIssuedBy(tx: Tx, admin: UserId): void {
    if (tx.run(deleteIssuedBy, admin).changes > 0) this.#forget(tx);
  }

  /** Ends one access token by its row id. */
  revoke(tx: Tx, id: number): void {
    tx.run(deleteAccess, id);
    this.#forget(tx);
  }

  /** Ends all tokens of a device. */
  revokeDevice(tx: Tx, userId: UserId, deviceId: string): void {
    tx.run(deleteAccessOfDevice, userId, deviceId);
    tx.run(deleteRefreshOfDevice, userId, deviceId);
    this.#forget(tx);
  }

  #issue(
    tx: Tx,
    userId: UserId,
    deviceId: string,
    refresh: { readonly parent: number | null } | undefined,
  ): IssuedTokens {
    const accessToken = newToken('nat');
    const refreshToken = refresh === undefined ? undefined : newToken('nrt');
    const now = this.#clock.now();
    const refreshId =
      refreshToken === undefined
        ? null
        : tx.run(insertRefresh, tokenHash(refreshToken), userId, deviceId, refresh?.parent ?? null).lastInsertRowid;
    const expiresIn = refreshToken === undefined ? undefined : this.#lifetime;
    const expiresAt = expiresIn === undefined ? null : now + expiresIn;
    tx.run(insertAccess, tokenHash(accessToken), userId, deviceId, now, expiresAt, refreshId);
    return { accessToken, refreshToken, expiresIn };
  }

  #forget(tx: Tx): void {
    tx.afterCommit(() => this.#cache.clear());
  }
}
