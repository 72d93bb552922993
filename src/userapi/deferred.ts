/**
 * Writing what lives in memory with the next commit (DESIGN §4): a change only marks it; the rows go with whatever is
 * written next, or by a commit of their own when none comes in time.
 */
import type { Bus } from '../bus/index.ts';
import type { Database, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';

export interface DeferredOptions {
  readonly db: Database;
  readonly clock: Clock;
  /** Its entries carry the rows with them; without it every flush is a commit of its own. */
  readonly bus?: Bus;
  readonly name: string;
  /** How long a change waits at most, in ms. */
  readonly delay: number;
  /** Writes all that is marked. Called again with the same when the transaction fails. */
  readonly write: (tx: Tx) => void;
}

export class Deferred {
  readonly #options: DeferredOptions;
  readonly #stop = new AbortController();
  /** Counts changes; what was written up to which one says whether anything waits. */
  #changes = 0;
  #written = 0;
  #timer = false;

  constructor(options: DeferredOptions) {
    this.#options = options;
    options.bus?.addProjection({ name: options.name, apply: (tx) => this.#ride(tx) });
  }

  /** Something changed in memory. */
  mark(): void {
    this.#changes += 1;
    if (this.#timer || this.#stop.signal.aborted) return;
    this.#timer = true;
    void this.#later();
  }

  /** Writes what waits, now. */
  async flush(): Promise<void> {
    if (this.#written === this.#changes) return;
    await this.#options.db.write((tx) => this.#ride(tx));
  }

  /** Writes what waits and takes no more timers. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.flush();
  }

  async #later(): Promise<void> {
    await this.#options.clock.sleep(this.#options.delay, this.#stop.signal);
    this.#timer = false;
    if (this.#stop.signal.aborted) return;
    // A failed write is tried again with the next change or commit; the database says why it failed.
    await this.flush().catch(() => undefined);
  }

  #ride(tx: Tx): void {
    if (this.#written === this.#changes) return;
    const changes = this.#changes;
    this.#options.write(tx);
    tx.afterCommit(() => {
      this.#written = Math.max(this.#written, changes);
    });
  }
}
