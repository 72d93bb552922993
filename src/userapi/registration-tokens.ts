/**
 * Registration tokens (C-S API v1.19 §Token-authenticated registration): the one of the configuration, or else one made
 * at the first start and kept; others may be added by the operator.
 */
import type { Config } from '../config/index.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { newOpaqueId } from './secrets.ts';

/** A stored token with its limits. */
export interface RegistrationToken {
  readonly token: string;
  /** How many accounts may be made with it; null: any number. */
  readonly usesAllowed: number | null;
  readonly uses: number;
  /** ms; null: never. */
  readonly expiresAt: number | null;
  readonly isValid: boolean;
}

/** What may be changed about a token; null lifts the limit. */
export interface TokenLimits {
  readonly usesAllowed: number | null;
  readonly expiresAt: number | null;
}

interface Row {
  token: string;
  uses_allowed: number | null;
  uses: number;
  expires_at: number | null;
  is_default: number;
}

const columns = 'token, uses_allowed, uses, expires_at, is_default';
const selectToken = sql<[token: string], Row>(`SELECT ${columns} FROM userapi_registration_tokens WHERE token = ?`);
const selectTokens = sql<[], Row>(`SELECT ${columns} FROM userapi_registration_tokens ORDER BY token`);
const deleteToken = sql<[token: string]>('DELETE FROM userapi_registration_tokens WHERE token = ?');
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
    return row !== undefined && this.#isRowValid(row);
  }

  #isRowValid(row: Row): boolean {
    // The one made at the first start ends when the configuration names another.
    if (row.is_default === 1 && this.#configured !== undefined) return false;
    const expired = row.expires_at !== null && row.expires_at <= this.#clock.now();
    return !expired && (row.uses_allowed === null || row.uses < row.uses_allowed);
  }

  /** Counts a use; false when the token has ended meanwhile. */
  use(tx: Tx, token: string): boolean {
    if (!this.isValid(tx, token)) return false;
    tx.run(updateUses, token);
    return true;
  }

  /** Adds a token, or changes its limits. */
  put(tx: Tx, token: string, limits: TokenLimits): void {
    tx.run(insertToken, token, limits.usesAllowed, limits.expiresAt, 0);
  }

  /** A stored token (not that of the configuration). */
  get(snapshot: Snapshot, token: string): RegistrationToken | undefined {
    const row = snapshot.get(selectToken, token);
    return row === undefined ? undefined : this.#describe(row);
  }

  /** All stored tokens by their text. */
  list(snapshot: Snapshot): RegistrationToken[] {
    return snapshot.all(selectTokens).map((row) => this.#describe(row));
  }

  /** Forgets a token; false when there was none. */
  delete(tx: Tx, token: string): boolean {
    return tx.run(deleteToken, token).changes > 0;
  }

  #describe(row: Row): RegistrationToken {
    const { token, uses, uses_allowed: usesAllowed, expires_at: expiresAt } = row;
    return { token, usesAllowed, uses, expiresAt, isValid: this.#isRowValid(row) };
  }
}
