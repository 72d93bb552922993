/** Tokens by which a user proves to third parties who he is (C-S API v1.19 §OpenID). They are good for nothing else. */
import type { UserId } from '../matrix/ids.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { newToken, tokenHash } from './secrets.ts';

const insertToken = sql<[hash: Uint8Array, userId: string, expiresAt: number]>(
  'INSERT INTO userapi_openid_tokens (hash, user_id, expires_at) VALUES (?, ?, ?)',
);
const selectUser = sql<[hash: Uint8Array, now: number], { user_id: UserId }>(
  `SELECT t.user_id FROM userapi_openid_tokens t JOIN userapi_accounts a ON a.user_id = t.user_id
   WHERE t.hash = ? AND t.expires_at > ? AND a.deactivated_at IS NULL`,
);
const deleteExpired = sql<[now: number]>('DELETE FROM userapi_openid_tokens WHERE expires_at <= ?');

const lifetimeMs = 3_600_000;

export class OpenIdTokens {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  issue(tx: Tx, userId: UserId): { readonly token: string; readonly lifetimeMs: number } {
    const token = newToken('not');
    tx.run(insertToken, tokenHash(token), userId, this.#clock.now() + lifetimeMs);
    return { token, lifetimeMs };
  }

  /** Whose token it is; undefined when it is unknown or has expired, or the account is gone. */
  userOf(snapshot: Snapshot, token: string): UserId | undefined {
    return snapshot.get(selectUser, tokenHash(token), this.#clock.now())?.user_id;
  }

  /** Deletes what has expired; a background task calls it. */
  async prune(db: Database): Promise<void> {
    await db.write((tx) => void tx.run(deleteExpired, this.#clock.now()));
  }
}
