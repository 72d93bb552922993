/** From an access token to who is asking (C-S API v1.19 §Using access tokens, §Soft logout, §Account locking). */
import type { Requester } from '../http/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';
import { cacheMeasure, type Measure } from '../util/metrics.ts';
import type { Account, Accounts } from './accounts.ts';
import type { Devices } from './devices.ts';
import type { Tokens } from './tokens.ts';

/** What is looked at besides the token. */
export interface TokenRequest {
  readonly address: string;
  readonly userAgent: string;
  /** The endpoint stays open to locked accounts and expired tokens. */
  readonly whileLocked: boolean;
}

const cachedAccounts = 20_000;

export class TokenAuthenticator {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #accounts: Accounts;
  readonly #devices: Devices;
  readonly #tokens: Tokens;
  readonly #known = new LruCache<UserId, Account>({ max: cachedAccounts });
  /** Refresh tokens whose first use is being written. */
  readonly #confirming = new Set<number>();

  constructor(db: Database, clock: Clock, accounts: Accounts, devices: Devices, tokens: Tokens) {
    this.#db = db;
    this.#clock = clock;
    this.#accounts = accounts;
    this.#devices = devices;
    this.#tokens = tokens;
    accounts.onChange(() => this.#known.clear());
  }

  /** How full the caches are. */
  get measures(): readonly Measure[] {
    return [cacheMeasure('auth', 'entries', () => ({ tokens: this.#tokens.cached, accounts: this.#known.size }))];
  }

  /** @throws M_UNKNOWN_TOKEN (softly when it has expired), M_USER_LOCKED */
  authenticate(token: string, request: TokenRequest): Requester {
    const found = this.#tokens.find(this.#db, token);
    const account = found === undefined ? undefined : this.account(found.userId);
    if (found === undefined || account === undefined || account.deactivated) throw matrixError.unknownToken();
    if (account.locked && !request.whileLocked) throw matrixError.userLocked();
    const expired = found.expiresAt !== undefined && found.expiresAt <= this.#clock.now();
    if (expired && !request.whileLocked) {
      throw matrixError.unknownToken({ softLogout: true }, 'The access token has expired');
    }
    if (found.unconfirmed !== undefined) this.#confirm(found.unconfirmed);
    // An administrator who acts as the user leaves no trace there.
    const deviceId = found.deviceId === '' ? undefined : found.deviceId;
    if (deviceId !== undefined) this.#devices.saw(found.userId, deviceId, request.address, request.userAgent);
    return {
      userId: found.userId,
      deviceId,
      tokenId: found.id,
      isGuest: account.kind === 'guest',
      isAdmin: account.isAdmin,
      isSuspended: account.suspended,
      appserviceId: undefined,
    };
  }

  /** An account, remembered until one changes. */
  account(userId: UserId): Account | undefined {
    const known = this.#known.get(userId);
    if (known !== undefined) return known;
    const account = this.#db.read((snapshot) => this.#accounts.get(snapshot, userId));
    if (account !== undefined) this.#known.set(userId, account);
    return account;
  }

  /** The pair of a refresh is in use now: what it replaced ends (queued ahead of whatever this request writes). */
  #confirm(refreshId: number): void {
    if (this.#confirming.has(refreshId)) return;
    this.#confirming.add(refreshId);
    const done = (): void => void this.#confirming.delete(refreshId);
    this.#db.write((tx) => this.#tokens.confirm(tx, refreshId)).then(done, done);
  }
}
