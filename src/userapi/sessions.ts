/**
 * Sessions: a logged-in device with its tokens (C-S API v1.19 §Login, §Refreshing access tokens). Logging in by
 * password, by third-party identifier, or by a login token that another session or an identity provider got.
 */
import type { Requester } from '../http/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { sql, type Database, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Account, Accounts } from './accounts.ts';
import type { Devices } from './devices.ts';
import type { Passwords } from './passwords.ts';
import { newToken, tokenHash } from './secrets.ts';
import type { IssuedTokens, Tokens } from './tokens.ts';

/** What a client may wish for the session that it opens. */
export interface SessionWish {
  readonly deviceId?: string | undefined;
  readonly displayName?: string | undefined;
  /** The client knows refresh tokens. */
  readonly refreshable?: boolean | undefined;
}

export interface Session extends IssuedTokens {
  readonly userId: UserId;
  readonly deviceId: string;
}

/** Who wants to log in. */
export type Identifier =
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'threepid'; readonly medium: string; readonly address: string };

const insertLoginToken = sql<[hash: Uint8Array, userId: string, expiresAt: number]>(
  'INSERT INTO userapi_login_tokens (hash, user_id, expires_at) VALUES (?, ?, ?)',
);
const selectLoginToken = sql<[hash: Uint8Array], { user_id: UserId; expires_at: number }>(
  'SELECT user_id, expires_at FROM userapi_login_tokens WHERE hash = ?',
);
const deleteLoginToken = sql<[hash: Uint8Array]>('DELETE FROM userapi_login_tokens WHERE hash = ?');
const deleteOldLoginTokens = sql<[now: number]>('DELETE FROM userapi_login_tokens WHERE expires_at <= ?');

/** Life of a login token, in ms (C-S API §m.get_login_token: two minutes are recommended). */
export const loginTokenLifetime = 120_000;

export class Sessions {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #accounts: Accounts;
  readonly #devices: Devices;
  readonly #tokens: Tokens;
  readonly #passwords: Passwords;

  constructor(
    db: Database,
    clock: Clock,
    parts: { accounts: Accounts; devices: Devices; tokens: Tokens; passwords: Passwords },
  ) {
    this.#db = db;
    this.#clock = clock;
    this.#accounts = parts.accounts;
    this.#devices = parts.devices;
    this.#tokens = parts.tokens;
    this.#passwords = parts.passwords;
  }

  /** Opens a session of an account whose owner has shown himself. */
  open(tx: Tx, userId: UserId, wish: SessionWish): Session {
    const deviceId = this.#devices.open(tx, userId, wish.deviceId, wish.displayName);
    return { userId, deviceId, ...this.#tokens.issue(tx, userId, deviceId, wish.refreshable ?? false) };
  }

  /** An access token with which an administrator acts as a user, without a device of that user; undefined: for ever. */
  openAs(tx: Tx, userId: UserId, admin: UserId, expiresAt: number | undefined): string {
    return this.#tokens.issuePuppet(tx, userId, admin, expiresAt);
  }

  /** Ends the session of a request: its device, or the token alone where it has none. */
  end(tx: Tx, { userId, deviceId, tokenId }: Pick<Requester, 'userId' | 'deviceId' | 'tokenId'>): void {
    if (deviceId !== undefined) this.#devices.delete(tx, userId, deviceId);
    else this.#tokens.revoke(tx, tokenId);
  }

  /** The account whose password this is; wrong names and wrong passwords cost the same and look the same. */
  async checkPassword(identifier: Identifier, password: string): Promise<Account | undefined> {
    const account = this.#db.read((snapshot) =>
      identifier.kind === 'user'
        ? this.#accounts.find(snapshot, identifier.user)
        : this.#accounts.findByThreepid(snapshot, identifier.medium, identifier.address),
    );
    const valid = await this.#passwords.verify(password, account?.passwordHash);
    return valid ? account : undefined;
  }

  /** Whose access token this is. */
  owner(accessToken: string): Account | undefined {
    const token = this.#tokens.find(this.#db, accessToken);
    return token && this.#db.read((snapshot) => this.#accounts.get(snapshot, token.userId));
  }

  /** @throws M_FORBIDDEN, M_USER_LOCKED */
  async loginWithPassword(identifier: Identifier, password: string, wish: SessionWish): Promise<Session> {
    const account = await this.checkPassword(identifier, password);
    if (account === undefined) throw matrixError.forbidden('Wrong user name or password');
    return this.#db.write((tx) => this.#login(tx, account.userId, wish));
  }

  /** Logs in with a token of `issueLoginToken`, which ends by that. @throws M_FORBIDDEN, M_USER_LOCKED */
  loginWithToken(token: string, wish: SessionWish): Promise<Session> {
    return this.#db.write((tx) => {
      const row = tx.get(selectLoginToken, tokenHash(token));
      if (row === undefined || row.expires_at <= this.#clock.now()) {
        throw matrixError.forbidden('The login token is not valid');
      }
      tx.run(deleteLoginToken, tokenHash(token));
      return this.#login(tx, row.user_id, wish);
    });
  }

  /**
   * Logs in for an application service that `owns` the user.
   * @throws M_EXCLUSIVE for a user outside its namespaces, M_FORBIDDEN, M_USER_LOCKED
   */
  async loginForService(user: string, owns: (userId: string) => boolean, wish: SessionWish): Promise<Session> {
    const account = this.#db.read((snapshot) => this.#accounts.find(snapshot, user));
    if (account === undefined) throw matrixError.forbidden('There is no such user');
    if (!owns(account.userId)) throw matrixError.exclusive('The user is outside your namespaces');
    return this.#db.write((tx) => this.#login(tx, account.userId, wish));
  }

  /** A token with which a client can log in once as this user, within `lifetime` ms. */
  issueLoginToken(userId: UserId, lifetime = loginTokenLifetime): Promise<string> {
    const token = newToken('nlt');
    return this.#db.write((tx) => {
      tx.run(deleteOldLoginTokens, this.#clock.now());
      tx.run(insertLoginToken, tokenHash(token), userId, this.#clock.now() + lifetime);
      return token;
    });
  }

  /** @throws M_UNKNOWN_TOKEN */
  refresh(refreshToken: string): Promise<IssuedTokens> {
    return this.#db.write((tx) => this.#tokens.refresh(tx, refreshToken));
  }

  #login(tx: Tx, userId: UserId, wish: SessionWish): Session {
    const account = this.#accounts.get(tx, userId);
    if (account === undefined || account.deactivated) throw matrixError.userDeactivated();
    if (account.locked) throw matrixError.userLocked();
    return this.open(tx, userId, wish);
  }
}
