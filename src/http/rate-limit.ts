/**
 * Token buckets by rate class, per user and per address (C-S API v1.19 §Rate limiting). Memory is bounded: a class keeps
 * the buckets used last; one that is forgotten begins full again.
 */
import type { Config } from '../config/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { Clock } from '../util/clock.ts';
import { limitedAddress } from './address.ts';
import type { RateClass, Requester } from './route.ts';

interface Bucket {
  tokens: number;
  /** ms; when `tokens` was right. */
  at: number;
}

/** Per second: what nobody waits for in earnest, so that there is always a number to tell. */
const slowest = 0.001;

interface Limit {
  readonly perSecond: number;
  readonly burst: number;
}

const bucketsPerClass = 20_000;

export class RateLimiter {
  readonly #limits: Config['rateLimits'];
  readonly #clock: Clock;
  readonly #overrides = new Map<string, Limit>();
  readonly #classes = new Map<RateClass, Map<string, Bucket>>();

  constructor(limits: Config['rateLimits'], clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Gives a user a limit of his own for messages, both 0: none for anything; undefined takes it back. */
  override(userId: string, limit: Limit | undefined): void {
    if (limit === undefined) this.#overrides.delete(`user:${userId}`);
    else this.#overrides.set(`user:${userId}`, limit);
  }

  /**
   * Takes one request's token of `key` (`user:@a:b`, `address:192.0.2.1`, or whatever else the caller limits by).
   * Returns 0, or the milliseconds to wait when none is left.
   */
  take(rate: RateClass, key: string): number {
    if (rate === 'none' || !this.#limits.enabled) return 0;
    const own = this.#overrides.size === 0 ? undefined : this.#overrides.get(key);
    if (own?.perSecond === 0 && own.burst === 0) return 0;
    const { perSecond, burst } = own !== undefined && rate === 'message' ? own : this.#limits[rate];
    const buckets = this.#bucketsOf(rate);
    const now = this.#clock.now();
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: burst, at: now };
    } else {
      buckets.delete(key);
      bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
    }
    // Insertion order is the order of last use: the first key is the one to forget.
    buckets.set(key, bucket);
    if (buckets.size > bucketsPerClass) {
      const [oldest] = buckets.keys();
      if (oldest !== undefined) buckets.delete(oldest);
    }
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.max(1, Math.ceil(((1 - bucket.tokens) / Math.max(perSecond, slowest)) * 1000));
  }

  /** Takes a token or refuses. @throws MatrixError M_LIMIT_EXCEEDED */
  demand(rate: RateClass, key: string): void {
    const wait = this.take(rate, key);
    if (wait > 0) throw matrixError.limitExceeded(wait);
  }

  /**
   * The limit of a request: who has a token is limited by account, everyone else by address. Administrators are not
   * limited, nor application services that need not be. @throws MatrixError M_LIMIT_EXCEEDED
   */
  demandFor(rate: RateClass, requester: Requester | undefined, address: string): void {
    if (rate === 'none' || !this.#limits.enabled) return;
    if (requester === undefined) return this.demand(rate, `address:${limitedAddress(address)}`);
    if (requester.isAdmin || requester.isUnlimited === true) return;
    this.demand(rate, `user:${requester.userId}`);
  }

  /** Buckets in memory, for the metrics. */
  get size(): number {
    let size = 0;
    for (const buckets of this.#classes.values()) size += buckets.size;
    return size;
  }

  #bucketsOf(rate: RateClass): Map<string, Bucket> {
    let buckets = this.#classes.get(rate);
    if (buckets === undefined) this.#classes.set(rate, (buckets = new Map<string, Bucket>()));
    return buckets;
  }
}
