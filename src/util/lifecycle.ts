/**
 * What the composition root has started, to be stopped in reverse order. A part that fails to stop is logged and does
 * not keep the others running.
 */
import type { Logger } from './log.ts';

interface Part {
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

export class Lifecycle implements AsyncDisposable {
  readonly #parts: Part[] = [];
  readonly #log: Logger;
  #stopped: Promise<void> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Notes how to stop what was just started. */
  onStop(name: string, stop: () => Promise<void> | void): void {
    this.#parts.push({ name, stop });
  }

  /** Takes over something disposable and gives it back. */
  use<T extends AsyncDisposable | Disposable>(name: string, part: T): T {
    this.onStop(name, () =>
      Symbol.asyncDispose in part ? Promise.resolve(part[Symbol.asyncDispose]()) : part[Symbol.dispose](),
    );
    return part;
  }

  /** Stops everything, last started first. A second call waits for the first. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stopAll(): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      const started = performance.now();
      try {
        await part.stop();
        this.#log.debug({ part: part.name, ms: Math.round(performance.now() - started) }, 'stopped');
      } catch (error) {
        this.#log.error({ part: part.name, err: error }, 'a part did not stop well');
      }
    }
  }
}
