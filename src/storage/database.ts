/**
 * The one SQLite file: one writer connection with grouped commits, read-only snapshots, durability.
 *
 * What arrives within one turn of the event loop shares a transaction, each unit in a savepoint of its own, so that one
 * failing unit fails alone. COMMIT appends to the WAL; one `fdatasync` in libuv's pool covers all commits made
 * meanwhile, and `write` resolves after it. Three heads: committed (`head`), durable (`whenDurable`), visible (what a
 * reader sees: the committed one, while its reply waits for the disk as far as it shows something new).
 */
import type { Logger } from '../util/log.ts';
import type { Measure } from '../util/metrics.ts';
import { Checkpointer } from './checkpoint.ts';
import type { Connection, Snapshot } from './connection.ts';
import { Durability, Shown } from './durability.ts';
import { databaseMeasures, type Counters } from './measures.ts';
import type { Reader } from './read-only.ts';
import { Readers } from './readers.ts';
import { Sequence, type Position } from './sequence.ts';
import { sql } from './statement.ts';
import { type GroupTx, updateReservation, type Tx } from './transaction.ts';
import { type Finished, WriteQueue } from './write-queue.ts';

/** A unit of work may not be asynchronous: no `await` ever sits inside a transaction. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

export interface DatabaseOptions {
  readonly path: string;
  /** Page cache of the connection that writes, and reads between writes, in KiB. */
  readonly cacheKib?: number;
  /** Called when the disk can no longer be trusted (a failed fsync): the process must end. */
  readonly onFatal: (error: Error) => void;
  readonly log?: Logger;
}

const selectReservation = sql<[], { reserved: number }>('SELECT reserved FROM kernel_sequence WHERE id = 1');

export class Database implements Reader {
  readonly path: string;
  readonly #onFatal: (error: Error) => void;
  readonly #writer: Connection;
  readonly #readers: Readers;
  readonly #sequence: Sequence;
  readonly #durability: Durability;
  readonly #checkpointer: Checkpointer;
  readonly #counters: Counters = { commits: 0, units: 0, failedUnits: 0, failedCommits: 0, largestGroup: 0 };
  readonly #queue: WriteQueue;

  /** Opens an existing, migrated database file (see `openDatabase`). */
  constructor(writer: Connection, options: DatabaseOptions) {
    this.path = options.path;
    this.#onFatal = options.onFatal;
    this.#writer = writer;
    this.#sequence = new Sequence(writer.get(selectReservation)?.reserved ?? 0);
    this.#reserveNow();
    this.#readers = new Readers(options.path, writer);
    this.#queue = new WriteQueue({
      writer,
      readers: this.#readers,
      sequence: this.#sequence,
      counters: this.#counters,
      committed: (tx, finished) => this.#settle(tx, finished),
    });
    this.#durability = new Durability(`${options.path}-wal`, this.head, options.onFatal);
    this.#checkpointer = new Checkpointer(options.path, () => this.hold(), options.log);
  }

  /** The highest Position given out: every Position up to it is committed or void whenever no callback is running. */
  get head(): Position {
    return this.#sequence.last;
  }

  /** Number of units waiting for their turn. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Runs `work` in the next group commit and resolves with its value once it is on disk. A throw inside rolls back this
   * unit alone and rejects with the same error, but for NotReady, which has it run again; a failed COMMIT rejects every
   * unit of the group.
   */
  write<T>(work: (tx: Tx) => NotPromise<T>): Promise<T> {
    return this.#queue.add(work);
  }

  /**
   * As `write`, for whoever need not wait for the disk between two steps: `committed` has the value when other work may
   * build on it, `written` resolves when it is on disk. Nobody may be told of it before that, or before a later write is.
   */
  begin<T>(work: (tx: Tx) => NotPromise<T>): { readonly committed: Promise<T>; readonly written: Promise<void> } {
    const { promise: committed, resolve, reject } = Promise.withResolvers<T>();
    const written = this.write((tx): void => {
      const value = work(tx);
      tx.afterCommit(() => resolve(value));
    });
    // Who waits for the commit only hears of its failure there.
    written.catch(reject);
    return { committed, written };
  }

  /** Reads within this turn, from the last commit. The handle is not valid after the callback. */
  read<T>(work: (snapshot: Snapshot) => NotPromise<T>): T {
    return this.#readers.read(work);
  }

  /** A snapshot that stays the same across turns, for at most a few seconds: an open one keeps the WAL from shrinking. */
  snapshot<T>(work: (snapshot: Snapshot, head: Position) => Promise<T>): Promise<T> {
    // The head is noted in the turn that fixes what is seen.
    return this.#readers.snapshot((snapshot) => work(snapshot, this.head));
  }

  /**
   * A Position for something that lives in memory only (typing, presence); visible at once.
   * @throws Error when the disk has been full for so long that no Position is left
   */
  nextEphemeralPosition(): Position {
    if (this.#sequence.low && this.#queue.length === 0) void this.write(() => undefined).catch(() => undefined);
    return this.#sequence.nextVisible();
  }

  /** What a reply shows, to be noted while it is composed. */
  shown(): Shown {
    return new Shown(this.#durability);
  }

  /** Resolves once everything committed by now is on disk. */
  async flushed(): Promise<void> {
    await this.#durability.wait(this.#durability.committed);
  }

  /** Keeps writes in their queue (for the last short pass of a checkpoint) until the returned function is called. */
  hold(): () => void {
    return this.#queue.hold();
  }

  /** What is counted here, for the metrics. */
  get measures(): readonly Measure[] {
    return databaseMeasures(this, this.#counters, this.#durability, this.#checkpointer);
  }

  /** Commits what waits, puts it on disk, checkpoints and closes. */
  async close(): Promise<void> {
    await this.#checkpointer.close();
    await this.#queue.close();
    await this.flushed();
    await this.#durability.close();
    this.#readers.close();
    this.#writer.raw.pragma('wal_checkpoint(TRUNCATE)');
    this.#writer.close();
  }

  /** The group is committed: its effects in memory are due now, the others once it is on disk. */
  #settle(tx: GroupTx, finished: readonly Finished[]): void {
    this.#counters.commits += 1;
    this.#counters.units += finished.length;
    this.#counters.largestGroup = Math.max(this.#counters.largestGroup, finished.length);
    const bound = this.#sequence.reservedBound;
    const number = this.#durability.commit(this.head, tx.touched);
    // A group so large that it used up the reservation on disk: nobody may see its Positions before its own is there.
    if (this.#sequence.unsettled) this.#durability.syncNow();
    // The disk works meanwhile.
    this.#durability.sync();
    this.#effects(tx.committed);
    void this.#durability.wait(number).then(() => {
      this.#sequence.settle(bound);
      this.#effects(tx.durable);
      for (const { unit, value } of finished) unit.resolve(value);
      this.#checkpointer.committed(finished.length, this.#durability.walBytes);
    });
  }

  /** An effect that throws leaves memory and disk apart: only a restart brings them together. */
  #effects(effects: readonly (() => void)[]): void {
    try {
      for (const effect of effects) effect();
    } catch (error) {
      this.#onFatal(new Error('an effect of a commit failed', { cause: error }));
    }
  }

  #reserveNow(): void {
    const bound = this.#sequence.nextReservation;
    this.#writer.run(updateReservation, bound);
    // One fsync at start: the block must be on disk before the first Position of it is shown to anyone.
    this.#writer.raw.pragma('wal_checkpoint(FULL)');
    this.#sequence.reserve(bound);
    this.#sequence.settle(bound);
  }
}
