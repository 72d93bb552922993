/**
 * First in, first out per key: the only mutual exclusion in the house. Tasks of one key run one after another in the
 * order of their calls; different keys run side by side. A key without tasks takes no memory.
 */
export class KeyedQueue<K> {
  readonly #tails = new Map<K, Promise<unknown>>();

  /** Runs `task` when all earlier tasks of `key` have ended, well or not; settles as the task does. */
  run<T>(key: K, task: () => Promise<T> | T): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(task, task);
    const tail: Promise<void> = result.then(
      () => this.#end(key, tail),
      () => this.#end(key, tail),
    );
    this.#tails.set(key, tail);
    return result;
  }

  /** Number of keys with work under way. */
  get size(): number {
    return this.#tails.size;
  }

  /** Resolves when everything queued by now has ended. */
  async drain(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  #end(key: K, tail: Promise<unknown>): void {
    if (this.#tails.get(key) === tail) this.#tails.delete(key);
  }
}
