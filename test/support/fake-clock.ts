/** A clock that stands still until a test moves it. */
import type { Clock } from '../../src/util/clock.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

export class FakeClock implements Clock {
  #now: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true || ms <= 0) return resolve();
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper = { until: this.#now + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  /** Sleepers waiting for the clock. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Resolves when somebody sleeps who will wake in exactly `ms`. */
  async sleeper(ms: number): Promise<void> {
    const isThere = (): boolean => [...this.#sleepers].some(({ until }) => until === this.#now + ms);
    while (!isThere()) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves time on and wakes whoever slept until then, in order. */
  advance(ms: number): void {
    this.#now += ms;
    const due = [...this.#sleepers].filter(({ until }) => until <= this.#now);
    for (const { wake } of due.sort((a, b) => a.until - b.until)) wake();
  }
}
