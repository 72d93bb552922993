/** The keys of a consumer that are held up by an entry it could not apply, and the new attempts at them (INVARIANTS 6). */
import type { Database, Snapshot } from '../storage/index.ts';
import { messageOf } from '../util/error-text.ts';
import type { Consumer } from './consumer.ts';
import { Parking } from './parking.ts';

export class ParkedKeys {
  readonly parking: Parking;
  readonly #consumer: Consumer;
  /** Key → how many of its entries wait. */
  readonly #waiting: Map<string, number>;

  constructor(snapshot: Snapshot, consumer: Consumer) {
    this.parking = new Parking(consumer.name);
    this.#consumer = consumer;
    this.#waiting = this.parking.keys(snapshot);
  }

  /** How many entries wait, of all keys. */
  get size(): number {
    return [...this.#waiting.values()].reduce((sum, count) => sum + count, 0);
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  count(key: string, change: number): void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + change);
  }

  clear(): void {
    this.#waiting.clear();
  }

  /** Tries the entries of each key, in their order, until one fails again. */
  async retry(db: Database, signal: AbortSignal): Promise<void> {
    for (const key of [...this.#waiting.keys()]) {
      let isApplied = true;
      while (isApplied && !signal.aborted) isApplied = await this.#retryFirst(db, key);
    }
  }

  /** True when the first entry of a key was applied and another may wait. */
  async #retryFirst(db: Database, key: string): Promise<boolean> {
    const parked = db.read((snapshot) => this.parking.first(snapshot, key));
    if (parked === undefined) {
      this.#waiting.delete(key);
      return false;
    }
    const { entry, position } = parked;
    try {
      await db.write((tx) => {
        this.#consumer.apply(tx, entry, position);
        this.parking.remove(tx, key, position);
      });
    } catch (error) {
      await db.write((tx) => this.parking.failedAgain(tx, key, position, messageOf(error)));
      return false;
    }
    this.count(key, -1);
    return true;
  }
}
