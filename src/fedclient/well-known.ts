/**
 * The file `https://<hostname>/.well-known/matrix/server` of other servers (S-S API v1.19 §Resolving server names, step
 * 3): fetched with bounds in size, time and redirects, and remembered as its cache headers say, in memory. What is
 * missing or wrong is remembered too, longer with each failure.
 */
import type { Dispatcher } from 'undici';
import { delegatedName, wellKnownErrorLifetime, wellKnownLifetime } from '../matrix/discovery.ts';
import type { ServerName } from '../matrix/ids.ts';
import { readUpTo } from '../util/bounded.ts';
import type { Clock } from '../util/clock.ts';
import { LruCache } from '../util/lru.ts';
import type { Connector } from './connector.ts';
import { httpsGet, RedirectError } from './https-get.ts';

interface Entry {
  readonly delegated: ServerName | undefined;
  /** ms */
  readonly fetchedAt: number;
  readonly goodUntil: number;
  /** In a row. */
  readonly failures: number;
}

type Fetched =
  | { readonly kind: 'valid'; readonly delegated: ServerName; readonly lifetimeMs: number }
  /** `lasting`: the host answered, and has no such file. */
  | { readonly kind: 'failed'; readonly lasting: boolean };

const mostBytes = 64 * 1024;
const fetchMs = 10_000;
/** A valid answer survives failures of its host for as long as it might have been cached. */
const longestUseMs = 48 * 3_600_000;
/** A file that was fetched this recently is not suspected when its server does not answer. */
const youngMs = 5 * 60_000;

export class WellKnown {
  readonly #connector: Connector;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #entries = new LruCache<string, Entry>({ max: 20_000 });
  readonly #fetching = new Map<string, Promise<ServerName | undefined>>();

  constructor(connector: Connector, clock: Clock, userAgent: string) {
    this.#connector = connector;
    this.#userAgent = userAgent;
    this.#clock = clock;
  }

  /** The name that a host delegates to; undefined when it has no valid file. */
  delegated(hostname: string): Promise<ServerName | undefined> {
    const key = hostname.toLowerCase();
    const known = this.#entries.get(key);
    if (known !== undefined && known.goodUntil > this.#clock.now()) return Promise.resolve(known.delegated);
    let fetching = this.#fetching.get(key);
    if (fetching === undefined) {
      fetching = this.#refresh(key, known).finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    return fetching;
  }

  /** Asks again at the next use, because what the file led to does not answer. */
  suspect(hostname: string): void {
    const known = this.#entries.get(hostname.toLowerCase());
    if (known?.delegated === undefined || this.#clock.now() - known.fetchedAt < youngMs) return;
    this.#entries.set(hostname.toLowerCase(), { ...known, goodUntil: 0 });
  }

  async #refresh(hostname: string, known: Entry | undefined): Promise<ServerName | undefined> {
    const fetched = await this.#fetch(hostname);
    const now = this.#clock.now();
    if (fetched.kind === 'valid') {
      const { delegated, lifetimeMs } = fetched;
      this.#entries.set(hostname, { delegated, fetchedAt: now, goodUntil: now + lifetimeMs, failures: 0 });
      return delegated;
    }
    const failures = (known?.failures ?? 0) + 1;
    const survives = !fetched.lasting && known !== undefined && now - known.fetchedAt < longestUseMs;
    const delegated = survives ? known.delegated : undefined;
    const fetchedAt = survives ? known.fetchedAt : now;
    this.#entries.set(hostname, { delegated, fetchedAt, goodUntil: now + wellKnownErrorLifetime(failures), failures });
    return delegated;
  }

  async #fetch(hostname: string): Promise<Fetched> {
    const url = new URL(`https://${hostname}/.well-known/matrix/server`);
    const options = { signal: AbortSignal.timeout(fetchMs), userAgent: this.#userAgent, idleMs: fetchMs };
    try {
      return await httpsGet(this.#connector, url, options, (answer) => this.#read(answer));
    } catch (error) {
      return { kind: 'failed', lasting: error instanceof RedirectError };
    }
  }

  async #read({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Fetched> {
    if (statusCode !== 200) return { kind: 'failed', lasting: statusCode < 500 && statusCode !== 429 };
    const { bytes, cut } = await readUpTo(body, mostBytes);
    // What is cut is no valid file.
    const delegated = cut ? undefined : delegatedName(bytes.toString('utf8'));
    if (delegated === undefined) return { kind: 'failed', lasting: true };
    const cache = {
      cacheControl: one(headers['cache-control']),
      expires: one(headers['expires']),
      age: one(headers['age']),
    };
    return { kind: 'valid', delegated, lifetimeMs: wellKnownLifetime(cache, this.#clock.now()) };
  }
}

const one = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' ? header : header?.join(', ');
