/**
 * Who composes when. One message may wake hundreds of waiters: their short passes run one after another and give the
 * loop its turn when the budget of a turn is used up. Long ones, which hold a snapshot over many turns, are few at a time.
 */
import { Slice } from '../util/slice.ts';

/** How many long passes may be under way side by side. */
const longPasses = 2;

export class Pacer {
  readonly #short: (() => void)[] = [];
  readonly #long: (() => void)[] = [];
  readonly #onIdle: () => void;
  #running = 0;
  #scheduled = false;

  /** @param onIdle called when no short task is left. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** Passes that wait for their turn. */
  get waiting(): Record<'short' | 'long', number> {
    return { short: this.#short.length, long: this.#long.length };
  }

  /** Runs a short task soon, in the order of the calls. */
  short<T>(task: () => T): Promise<T> {
    return new Promise((resolve) => {
      // The function runs at once; being asynchronous, it turns a throw into a rejection.
      this.#short.push(() => resolve((async () => task())()));
      if (this.#scheduled) return;
      this.#scheduled = true;
      queueMicrotask(() => this.#drain());
    });
  }

  /** Runs a long task as soon as few enough others are under way. */
  async long<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= longPasses) await new Promise<void>((resolve) => this.#long.push(resolve));
    else this.#running += 1;
    try {
      return await task();
    } finally {
      // The place is handed on, or given back.
      const next = this.#long.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #drain(): void {
    const slice = new Slice();
    for (let task = this.#short.shift(); task !== undefined; task = this.#short.shift()) {
      task();
      if (slice.spent && this.#short.length > 0) {
        setImmediate(() => this.#drain());
        return;
      }
    }
    this.#scheduled = false;
    this.#onIdle();
  }
}
