/**
 * Lagging consumers (DESIGN §4): side projections that follow the log at their own pace, in batches, from a position of
 * their own. They go on from it after a restart. What cannot be applied is parked with its reason and holds up its key
 * alone (INVARIANTS 6). A consumer that is new, or whose tables have changed, makes them from the other tables first.
 */
import type { Database, Position, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { messageOf } from '../util/error-text.ts';
import type { Logger } from '../util/log.ts';
import type { Measure } from '../util/metrics.ts';
import type { Bus } from './bus.ts';
import {
  selectBatch,
  selectConsumer,
  updateCursor,
  updatePosition,
  upsertConsumer,
  type Consumer,
} from './consumer.ts';
import { ParkedKeys } from './parked-keys.ts';
import { loggedOf, type LogRow } from './parking.ts';

export interface LaggingConsumerOptions {
  readonly db: Database;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly consumer: Consumer;
  /** Time from an entry to the batch that applies it, when nobody asks for it sooner, in ms. */
  readonly lagMs: number;
}

const batchSize = 500;
/** Time after which a batch takes no further entry, in ms. */
const batchBudgetMs = 8;
const retryMs = 2000;
/** Entries that a consumer has no use for and lets pass before it moves its position. */
const idleEntries = 5000;

/** An entry that the consumer could not apply. */
class ApplyFault extends Error {
  readonly index: number;

  constructor(index: number, cause: unknown) {
    super('an entry could not be applied', { cause });
    this.index = index;
  }
}

export class LaggingConsumer {
  readonly #options: LaggingConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #parked: ParkedKeys;
  #position: Position;
  /** Positions above this one are of no use to the consumer, or applied. */
  #wanted: Position;
  #rebuilding: boolean;
  /** The last batch could not be written. */
  #failing = false;
  /** Who waits for the batch under way. */
  readonly #waiting: (() => void)[] = [];
  #applied = 0;
  #passed = 0;
  #timer = false;
  #running: Promise<void> | undefined;
  #building: Promise<void> | undefined;

  constructor(options: LaggingConsumerOptions) {
    this.#options = options;
    const { db, bus, consumer } = options;
    const row = db.read((snapshot) => snapshot.get(selectConsumer, consumer.name));
    this.#rebuilding = row === undefined || row.version !== consumer.version || row.cursor !== null;
    this.#position = row?.position ?? db.head;
    this.#wanted = db.head;
    this.#parked = db.read((snapshot) => new ParkedKeys(snapshot, consumer));
    bus.addListener((entries) => {
      for (const { position, entry } of entries) {
        if (entry.topic === 'room.typing' || entry.topic === 'user.presence') continue;
        if (consumer.keyOf(entry) === undefined) this.#passed += 1;
        else this.#wanted = position;
      }
      if (this.#wanted > this.#position || this.#passed >= idleEntries) this.#runLater();
    });
  }

  get name(): string {
    return this.#options.consumer.name;
  }

  /** Takes up what a crash left undone and what is parked; resolves when the consumer has caught up. To be repeated. */
  async start(): Promise<void> {
    if (this.#rebuilding) await this.#build(false);
    await this.#run();
    await this.#parked.retry(this.#options.db, this.#stopping.signal);
  }

  /**
   * Resolves when all that was logged by now is applied (or parked); at once while the tables are being made, or nothing
   * can be written.
   */
  async caughtUp(): Promise<void> {
    const target = this.#wanted;
    const isBehind = (): boolean => this.#position < target && this.#position < this.#wanted;
    // Not to the end of the run: under constant load that would be long after.
    while (!this.#rebuilding && !this.#failing && isBehind() && !this.#stopping.signal.aborted) {
      const batch = new Promise<void>((resolve) => this.#waiting.push(resolve));
      void this.#run();
      await batch;
    }
  }

  /** Makes the tables anew from the other ones. */
  async rebuild(): Promise<void> {
    await this.#building;
    await this.#running;
    await this.#build(true);
    await this.#run();
  }

  get measures(): readonly Measure[] {
    const { consumer, db } = this.#options;
    const measure = (name: string, help: string, kind: Measure['kind'], value: () => number): Measure => ({
      name: `neurite_consumer_${consumer.name}_${name}`,
      help,
      kind,
      read: value,
    });
    return [
      measure('lag', 'Positions that the consumer is behind', 'gauge', () =>
        this.#wanted > this.#position ? db.head - this.#position : 0,
      ),
      measure('applied_total', 'Entries applied', 'counter', () => this.#applied),
      measure('parked', 'Entries that could not be applied', 'gauge', () => this.#parked.size),
    ];
  }

  /** Ends after the batch under way. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#building?.catch(() => undefined);
  }

  /** Many entries that come one by one make one batch. */
  #runLater(): void {
    if (this.#timer || this.#rebuilding || this.#stopping.signal.aborted) return;
    this.#timer = true;
    const { clock, lagMs } = this.#options;
    void clock.sleep(lagMs, this.#stopping.signal).then(() => {
      this.#timer = false;
      return this.#run();
    });
  }

  /** Applies what there is; one run at a time. */
  #run(): Promise<void> {
    return (this.#running ??= this.#runBatches().finally(() => {
      this.#running = undefined;
      this.#wakeWaiting();
    }));
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #runBatches(): Promise<void> {
    const { clock, log, consumer } = this.#options;
    const { signal } = this.#stopping;
    let limit = batchSize;
    while (!signal.aborted) {
      try {
        const isMore = await this.#applyBatch(limit);
        this.#failing = false;
        if (!isMore) return;
        this.#wakeWaiting();
        limit = batchSize;
      } catch (error) {
        if (!(error instanceof ApplyFault)) {
          log.warn({ consumer: consumer.name, err: error }, 'a consumer of the log will try again');
          this.#failing = true;
          this.#wakeWaiting();
          await clock.sleep(retryMs, signal);
        } else if (error.index > 0) limit = error.index;
        else await this.#parkNext(error);
      }
    }
  }

  /** Applies the next entries; false when there were none. */
  async #applyBatch(limit: number): Promise<boolean> {
    const { db, consumer } = this.#options;
    const wanted = this.#wanted;
    const { last, applied, parked, more } = await db.write((tx) => {
      const started = performance.now();
      const keys: string[] = [];
      let done = 0;
      let end: LogRow | undefined;
      for (const [index, row] of tx.all(selectBatch, this.#position, limit).entries()) {
        done += this.#applyOne(tx, row, index, keys) ? 1 : 0;
        end = row;
        if (performance.now() - started > batchBudgetMs) break;
      }
      if (end !== undefined) tx.run(updatePosition, end.position, consumer.name);
      const more = end === undefined && consumer.continue?.(tx) === true;
      return { last: end?.position, applied: done, parked: keys, more };
    });
    if (last === undefined) {
      // Nothing in the log above the position: unless more came meanwhile, what was told of is applied.
      if (this.#wanted === wanted) this.#wanted = this.#position;
      return more || this.#wanted !== this.#position;
    }
    for (const key of parked) this.#parked.count(key, 1);
    this.#position = last as Position;
    this.#applied += applied;
    this.#passed = 0;
    return true;
  }

  /** True when the entry was applied; one whose key is held up is parked behind the others. */
  #applyOne(tx: Tx, row: LogRow, index: number, parked: string[]): boolean {
    const { consumer } = this.#options;
    const { entry, position } = loggedOf(row);
    const key = consumer.keyOf(entry);
    if (key === undefined) return false;
    if (this.#parked.has(key)) {
      this.#parked.parking.park(tx, key, row, '');
      parked.push(key);
      return false;
    }
    try {
      consumer.apply(tx, entry, position);
    } catch (error) {
      throw new ApplyFault(index, error);
    }
    return true;
  }

  async #parkNext({ cause }: ApplyFault): Promise<void> {
    const { db, consumer, log } = this.#options;
    const key = await db.write((tx) => {
      const [row] = tx.all(selectBatch, this.#position, 1);
      const found = row && consumer.keyOf(loggedOf(row).entry);
      if (row === undefined || found === undefined) return undefined;
      this.#parked.parking.park(tx, found, row, messageOf(cause));
      tx.run(updatePosition, row.position, consumer.name);
      return { name: found, position: row.position };
    });
    if (key === undefined) return;
    this.#position = key.position as Position;
    this.#parked.count(key.name, 1);
    log.error({ consumer: consumer.name, key: key.name, err: cause }, 'an entry of the log could not be applied');
  }

  #build(anew: boolean): Promise<void> {
    return (this.#building ??= this.#makeTables(anew).finally(() => (this.#building = undefined)));
  }

  /** Makes the tables, or goes on where that was broken off. Entries since its start are then applied over them. */
  async #makeTables(anew: boolean): Promise<void> {
    const { db, consumer } = this.#options;
    this.#rebuilding = true;
    let cursor = await db.write((tx) => {
      const row = tx.get(selectConsumer, consumer.name);
      if (!anew && row?.version === consumer.version) return row.cursor ?? undefined;
      consumer.clear(tx);
      this.#parked.parking.clear(tx);
      this.#parked.clear();
      this.#position = db.head;
      tx.run(upsertConsumer, consumer.name, this.#position, consumer.version, 0);
      return 0;
    });
    while (cursor !== undefined && !this.#stopping.signal.aborted) {
      const from = cursor;
      cursor = await db.write((tx) => {
        const next = consumer.rebuild(tx, from);
        tx.run(updateCursor, next ?? null, consumer.name);
        return next;
      });
    }
    this.#rebuilding = cursor !== undefined;
  }
}
