/**
 * Registration tokens (C-S API v1.19 §Token-authenticated registration): the one of the configuration, or else one made
 * at the first start and kept; others may be added by the operator.
 */
import type { Config } from '../config/index.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { newOpaqueId } from './secrets.ts';

const selectToken = sql<
  [token: string],
  { uses_allowed: number | null; uses: number; expires_at: number | null; is_default: number }
>('SELECT uses_allowed, uses, expires_at, is_default FROM userapi_registration_tokens WHERE token = ?');
const selectDefault = sql<[], { token: string }>('SELECT token FROM userapi_registration_tokens WHERE is_default = 1');
const insertToken = sql<[token: string, usesAllowed: number | null, expires: number | null, isDefault: number]>(
  `INSERT INTO userapi_registration_tokens (token, uses_allowed, expires_at, is_default) VALUES (?, ?, ?, ?)
   ON CONFLICT (token) DO UPDATE SET uses_allowed = excluded.uses_allowed, expires_at = excluded.expires_at`,
);
const updateUses = sql<[token: string]>('UPDATE userapi_registration_tokens SET uses = uses + 1 WHERE token = ?');

export class RegistrationTokens {
  readonly #clock: Clock;
  readonly #configured: string | undefined;

  constructor(clock: Clock, registration: Config['registration']) {
    this.#clock = clock;
    this.#configured = registration.token;
  }

  /** The token to tell people: that of the configuration, else a random one that is made now if it wasn't before. */
  async current(db: Database): Promise<string> {
    if (this.#configured !== undefined) return this.#configured;
    const kept = db.read((snapshot) => snapshot.get(selectDefault));
    if (kept !== undefined) return kept.token;
    const token = newOpaqueId();
    await db.write((tx) => void tx.run(insertToken, token, null, null, 1));
    return token;
  }

  /** True when an account can be made with the token now. */
  isValid(snapshot: Snapshot, token: string): boolean {
    if (token === this.#configured) return true;
    const row = snapshot.get(selectToken, token);
    // The one made at the first start ends when the configuration names another.
    if (row === undefined || (row.is_default === 1 && this.#configured !== undefined)) return false;
    const expired = row.expires_at !== null && row.expires_at <= this.#clock.now();
    return !expired && (row.uses_allowed === null || row.uses < row.uses_allowed);
  }

  /** Counts a use; false when the token has ended meanwhile. */
  use(tx: Tx, token: string): boolean {
    if (!this.isValid(tx, token)) return false;
    tx.run(updateUses, token);
    return true;
  }

  /** Adds a token, or changes its limits. `expiresAt` in ms. */
  add(tx: Tx, token: string, limits: { readonly uses?: number; readonly expiresAt?: number } = {}): void {
    tx.run(insertToken, token, limits.uses ?? null, limits.expiresAt ?? null, 0);
  }
}
