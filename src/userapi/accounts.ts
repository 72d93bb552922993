/**
 * Accounts of this server: who exists, passwords, rights and states (C-S API v1.19 §Account registration, §Account
 * moderation). A deactivated account keeps its row, so that its id is never given to somebody else.
 */
import type { Bus } from '../bus/index.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import { formatUserId, isValidLocalpartForRegistration, parseUserId, serverNameOf } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { newLocalpart } from './secrets.ts';

export interface Account {
  readonly userId: UserId;
  readonly kind: 'user' | 'guest';
  readonly isAdmin: boolean;
  /** Absent: cannot log in by password. */
  readonly passwordHash: string | undefined;
  readonly userType: string | undefined;
  /** ms */
  readonly createdAt: number;
  readonly deactivated: boolean;
  readonly erased: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
}

export interface NewAccount {
  readonly userId: UserId;
  readonly kind?: 'user' | 'guest';
  readonly isAdmin?: boolean;
  readonly passwordHash?: string | undefined;
  readonly userType?: string | undefined;
}

interface AccountRow {
  kind: 'user' | 'guest';
  is_admin: number;
  password_hash: string | null;
  user_type: string | null;
  created_at: number;
  deactivated_at: number | null;
  erased: number;
  locked: number;
  suspended: number;
}

const selectAccount = sql<[userId: string], AccountRow>(
  `SELECT kind, is_admin, password_hash, user_type, created_at, deactivated_at, erased, locked, suspended
   FROM userapi_accounts WHERE user_id = ?`,
);
const selectPage = sql<[limit: number, offset: number], { user_id: UserId }>(
  'SELECT user_id FROM userapi_accounts ORDER BY user_id LIMIT ? OFFSET ?',
);
const selectErased = sql<[userId: string], { erased: number }>('SELECT erased FROM userapi_accounts WHERE user_id = ?');
const insertAccount = sql<
  [userId: string, kind: string, isAdmin: number, hash: string | null, userType: string | null, now: number]
>(
  `INSERT INTO userapi_accounts (user_id, kind, is_admin, password_hash, user_type, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
);
const updateKind = sql<[hash: string, userId: string]>(
  `UPDATE userapi_accounts SET kind = 'user', password_hash = ? WHERE user_id = ? AND kind = 'guest'`,
);
const updatePassword = sql<[hash: string, userId: string]>(
  'UPDATE userapi_accounts SET password_hash = ? WHERE user_id = ?',
);
const updateDeactivated = sql<[now: number, erased: number, userId: string]>(
  `UPDATE userapi_accounts SET deactivated_at = coalesce(deactivated_at, ?), erased = max(erased, ?), password_hash = NULL
   WHERE user_id = ?`,
);
const updateLocked = sql<[value: number, userId: string]>('UPDATE userapi_accounts SET locked = ? WHERE user_id = ?');
const updateSuspended = sql<[value: number, userId: string]>(
  'UPDATE userapi_accounts SET suspended = ? WHERE user_id = ?',
);
const updateAdmin = sql<[value: number, userId: string]>('UPDATE userapi_accounts SET is_admin = ? WHERE user_id = ?');
const selectThreepid = sql<[medium: string, address: string], { user_id: string }>(
  'SELECT user_id FROM userapi_threepids WHERE medium = ? AND address = ?',
);
const selectThreepids = sql<
  [userId: string],
  { medium: string; address: string; validated_at: number; added_at: number }
>('SELECT medium, address, validated_at, added_at FROM userapi_threepids WHERE user_id = ? ORDER BY added_at');
const updateReactivated = sql<[userId: string]>(
  'UPDATE userapi_accounts SET deactivated_at = NULL WHERE user_id = ? AND erased = 0',
);
const updateType = sql<[userType: string | null, userId: string]>(
  'UPDATE userapi_accounts SET user_type = ? WHERE user_id = ?',
);
const deleteThreepids = sql<[userId: string]>('DELETE FROM userapi_threepids WHERE user_id = ?');

export class Accounts {
  readonly #bus: Pick<Bus, 'append'>;
  readonly #serverName: ServerName;
  readonly #clock: Clock;
  /** Names that nobody can register. */
  readonly #reserved = new Set<string>();
  readonly #onChange: (() => void)[] = [];
  readonly #onCreate: ((tx: Tx, account: Required<Pick<NewAccount, 'userId' | 'kind'>>) => void)[] = [];

  constructor(bus: Pick<Bus, 'append'>, serverName: ServerName, clock: Clock) {
    this.#bus = bus;
    this.#serverName = serverName;
    this.#clock = clock;
  }

  /** Calls `listener` after each commit that changed an account's rights or state (for caches of them). */
  onChange(listener: () => void): void {
    this.#onChange.push(listener);
  }

  /** Keeps a name from being registered. */
  reserve(userId: UserId): void {
    this.#reserved.add(userId);
  }

  /** Calls `listener` in the transaction that makes an account, and again when a guest becomes a user. */
  onCreate(listener: (tx: Tx, account: Required<Pick<NewAccount, 'userId' | 'kind'>>) => void): void {
    this.#onCreate.push(listener);
  }

  /** The account of a user of this server who can still log in. @throws M_NOT_FOUND */
  demandActive(snapshot: Snapshot, userId: string): Account {
    const account = this.get(snapshot, userId);
    if (account === undefined || account.deactivated) throw matrixError.notFound('There is no such user');
    return account;
  }

  /** The account of a user of this server. */
  get(snapshot: Snapshot, userId: string): Account | undefined {
    const row = snapshot.get(selectAccount, userId);
    if (row === undefined) return undefined;
    return {
      userId: userId as UserId,
      kind: row.kind,
      isAdmin: row.is_admin === 1,
      passwordHash: row.password_hash ?? undefined,
      userType: row.user_type ?? undefined,
      createdAt: row.created_at,
      deactivated: row.deactivated_at !== null,
      erased: row.erased === 1,
      locked: row.locked === 1,
      suspended: row.suspended === 1,
    };
  }

  /** Ids of all accounts in their order, deactivated ones included, behind the first `offset`. */
  page(snapshot: Snapshot, offset: number, limit: number): UserId[] {
    return snapshot.all(selectPage, limit, offset).map(({ user_id: userId }) => userId);
  }

  /** True for users of this server, whether or not they exist. */
  isLocal(userId: UserId): boolean {
    return serverNameOf(userId) === this.#serverName;
  }

  /** True when the user has asked for erasure (INVARIANTS 17). */
  isErased(snapshot: Snapshot, userId: string): boolean {
    return snapshot.get(selectErased, userId)?.erased === 1;
  }

  /**
   * The user id for a wished user name; capitals are lowered, no name gives a random one.
   * @throws M_INVALID_USERNAME, M_USER_IN_USE when the server keeps the name for itself
   */
  idForRegistration(username: string | undefined): UserId {
    const localpart = username === undefined ? newLocalpart() : username.toLowerCase();
    const userId = isValidLocalpartForRegistration(localpart) ? formatUserId(localpart, this.#serverName) : undefined;
    if (userId === undefined) {
      throw matrixError.invalidUsername('A user name has only the characters a-z, 0-9 and ._=/+- and fits 255 bytes');
    }
    if (this.#reserved.has(userId)) throw matrixError.userInUse();
    return userId;
  }

  /** The account that a login names: a full user id or a localpart, as it stands or in lower case. */
  find(snapshot: Snapshot, user: string): Account | undefined {
    const id = (name: string): UserId | undefined =>
      name.startsWith('@') ? parseUserId(name) : formatUserId(name, this.#serverName);
    for (const candidate of [id(user), id(user.toLowerCase())]) {
      const account = candidate === undefined ? undefined : this.get(snapshot, candidate);
      if (account !== undefined) return account;
    }
    return undefined;
  }

  /** The account that a third-party identifier is bound to. */
  findByThreepid(snapshot: Snapshot, medium: string, address: string): Account | undefined {
    const canonical = medium === 'email' ? address.toLowerCase() : address;
    const row = snapshot.get(selectThreepid, medium, canonical);
    return row === undefined ? undefined : this.get(snapshot, row.user_id);
  }

  /** The user's third-party identifiers, times in ms. */
  threepids(
    snapshot: Snapshot,
    userId: UserId,
  ): { medium: string; address: string; validated_at: number; added_at: number }[] {
    return snapshot.all(selectThreepids, userId);
  }

  /** @throws M_USER_IN_USE */
  create(tx: Tx, account: NewAccount): void {
    const { userId, kind = 'user', isAdmin = false, passwordHash, userType } = account;
    if (tx.get(selectAccount, userId) !== undefined) throw matrixError.userInUse();
    tx.run(insertAccount, userId, kind, isAdmin ? 1 : 0, passwordHash ?? null, userType ?? null, this.#clock.now());
    // Whoever keeps an eye on profiles learns of the user.
    this.#bus.append(tx, { topic: 'user.profile', user: userId });
    tx.touch(`user:${userId}`);
    for (const listener of this.#onCreate) listener(tx, { userId, kind });
  }

  /** Makes a user of a guest. @throws M_USER_IN_USE when he is none (any longer) */
  promote(tx: Tx, userId: UserId, passwordHash: string): void {
    if (tx.run(updateKind, passwordHash, userId).changes === 0) throw matrixError.userInUse();
    this.#changed(tx, userId);
    for (const listener of this.#onCreate) listener(tx, { userId, kind: 'user' });
  }

  setPassword(tx: Tx, userId: UserId, hash: string): void {
    tx.run(updatePassword, hash, userId);
  }

  setLocked(tx: Tx, userId: UserId, locked: boolean): void {
    tx.run(updateLocked, locked ? 1 : 0, userId);
    this.#changed(tx, userId);
  }

  setSuspended(tx: Tx, userId: UserId, suspended: boolean): void {
    tx.run(updateSuspended, suspended ? 1 : 0, userId);
    this.#changed(tx, userId);
  }

  setAdmin(tx: Tx, userId: UserId, isAdmin: boolean): void {
    tx.run(updateAdmin, isAdmin ? 1 : 0, userId);
    this.#changed(tx, userId);
  }

  /** The mark that the administrator gives (bot, support …); undefined: none. */
  setType(tx: Tx, userId: UserId, userType: string | undefined): void {
    tx.run(updateType, userType ?? null, userId);
    this.#changed(tx, userId);
  }

  /** Opens a closed account again, unless it was erased; its password stays gone until one is set. */
  reactivate(tx: Tx, userId: UserId): void {
    tx.run(updateReactivated, userId);
    this.#changed(tx, userId);
    this.#bus.append(tx, { topic: 'user.profile', user: userId });
  }

  /** Marks the account as closed for good; password and third-party identifiers go. */
  deactivate(tx: Tx, userId: UserId, erase: boolean): void {
    tx.run(updateDeactivated, this.#clock.now(), erase ? 1 : 0, userId);
    tx.run(deleteThreepids, userId);
    this.#changed(tx, userId);
    this.#bus.append(tx, { topic: 'user.profile', user: userId });
  }

  #changed(tx: Tx, userId: UserId): void {
    tx.touch(`user:${userId}`);
    tx.afterCommit(() => {
      for (const listener of this.#onChange) listener();
    });
  }
}
