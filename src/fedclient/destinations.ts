/**
 * Which servers answer, and when those that don't are tried again. Only failing ones have an entry (and a row, so that a
 * long failing is known as such after our restart, when everyone is tried at once). Whoever contacts us is tried again
 * at once, too.
 */
import type { ServerName } from '../matrix/ids.ts';
import type { Database } from '../storage/index.ts';
import { nextPause, type BackoffPolicy } from '../util/backoff.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { deleteDestination, selectDestinations, upsertDestination } from './storage.ts';

/** A server that does not answer; times in ms since the epoch. */
export interface Failing {
  readonly since: number;
  readonly retryAt: number;
  /** The pause that ends with `retryAt`. */
  readonly pauseMs: number;
}

/** The first retry comes within 2 s, at most 30 s apart during the first 10 minutes, at most 1 h later. */
const policy: BackoffPolicy = { firstMs: 1500, youngMaxMs: 30_000, youngMs: 600_000, maxMs: 3_600_000 };
const mostEntries = 50_000;

export class Destinations {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;
  readonly #failing = new Map<ServerName, Failing>();
  readonly #listeners: ((server: ServerName) => void)[] = [];

  constructor(parts: {
    readonly db: Database;
    readonly clock: Clock;
    readonly log: Logger;
    readonly random?: () => number;
  }) {
    this.#db = parts.db;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#random = parts.random ?? Math.random;
    const rows = this.#db.read((snapshot) => snapshot.all(selectDestinations));
    for (const { server, failing_since: since, pause_ms: pauseMs } of rows)
      this.#failing.set(server as ServerName, { since, retryAt: 0, pauseMs });
  }

  /** Servers that do not answer. */
  get size(): number {
    return this.#failing.size;
  }

  /** Undefined for a server that answers, or was never asked. */
  failing(server: ServerName): Failing | undefined {
    return this.#failing.get(server);
  }

  /** When the server may be tried (ms since the epoch); 0: now. */
  retryAt(server: ServerName): number {
    const at = this.#failing.get(server)?.retryAt ?? 0;
    return at > this.#clock.now() ? at : 0;
  }

  /** Is told of every server that answers again or contacts us after it had failed: what waits for it may go now. */
  onReachable(listener: (server: ServerName) => void): void {
    this.#listeners.push(listener);
  }

  /** The server answered. */
  succeeded(server: ServerName): void {
    if (!this.#failing.delete(server)) return;
    this.#log.info({ server }, 'a server answers again');
    this.#persist(server, undefined);
    this.#tell(server);
  }

  /** The server did not answer. Failures while a pause lasts are of the same outage and do not lengthen it. */
  failed(server: ServerName, reason: string): void {
    const known = this.#failing.get(server);
    const now = this.#clock.now();
    if (known !== undefined && known.retryAt > now) return;
    const since = known?.since ?? now;
    const pauseMs = nextPause(policy, known?.pauseMs ?? 0, now - since, this.#random());
    const failing = { since, retryAt: now + pauseMs, pauseMs };
    this.#failing.delete(server);
    this.#failing.set(server, failing);
    this.#log[known === undefined ? 'info' : 'debug']({ server, reason, pauseMs }, 'a server does not answer');
    this.#persist(server, failing);
    this.#forgetOldest();
  }

  /** The server has sent us a request that it has signed: it may be tried at once. */
  contacted(server: ServerName): void {
    const known = this.#failing.get(server);
    if (known === undefined || known.retryAt <= this.#clock.now()) return;
    this.#failing.set(server, { ...known, retryAt: 0, pauseMs: 0 });
    this.#tell(server);
  }

  #tell(server: ServerName): void {
    for (const listener of this.#listeners) listener(server);
  }

  /** Names come from whoever writes an event: their number is bounded. */
  #forgetOldest(): void {
    if (this.#failing.size <= mostEntries) return;
    const [oldest] = this.#failing.keys();
    if (oldest === undefined) return;
    this.#failing.delete(oldest);
    this.#persist(oldest, undefined);
  }

  #persist(server: ServerName, failing: Failing | undefined): void {
    this.#db
      .write((tx) => {
        if (failing === undefined) tx.run(deleteDestination, server);
        else tx.run(upsertDestination, server, failing.since, failing.pauseMs);
      })
      .catch((error: unknown) => this.#log.debug({ server, err: error }, 'a back-off was not recorded'));
  }
}
