/**
 * Who composes when. One message may wake hundreds of waiters: their short passes run one after another and give the
 * loop its turn when the budget of a turn is used up. Long ones, which hold a snapshot over many turns, are few at a time.
 */
import { Gate } from '../util/gate.ts';
import { Slice } from '../util/slice.ts';

/** How many long passes may be under way side by side. */
const longPasses = 2;

export class Pacer {
  readonly #short: (() => void)[] = [];
  readonly #long = new Gate(longPasses);
  readonly #onIdle: () => void;
  #scheduled = false;

  /** @param onIdle called when no short task is left. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** Passes that wait for their turn. */
  get waiting(): Record<'short' | 'long', number> {
    return { short: this.#short.length, long: this.#long.waiting };
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
  long<T>(task: () => Promise<T>): Promise<T> {
    return this.#long.run(task);
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
