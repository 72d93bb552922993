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
import { CommitError, NotReady } from './errors.ts';
import { databaseMeasures, type Counters } from './measures.ts';
import type { Reader } from './read-only.ts';
import { Readers } from './readers.ts';
import { Sequence, type Position } from './sequence.ts';
import { sql } from './statement.ts';
import { GroupTx, updateReservation, type Tx } from './transaction.ts';

/** A unit of work may not be asynchronous: no `await` ever sits inside a transaction. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

interface Unit {
  readonly work: (tx: Tx) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** How often it was thrown back because something was not ready. */
  throwbacks: number;
}

interface Finished {
  readonly unit: Unit;
  readonly value: unknown;
}

export interface DatabaseOptions {
  readonly path: string;
  /** Page cache of the connection that writes, and reads between writes, in KiB. */
  readonly cacheKib?: number;
  /** Called when the disk can no longer be trusted (a failed fsync): the process must end. */
  readonly onFatal: (error: Error) => void;
  readonly log?: Logger;
}

/** Work done in one group before it commits and gives the loop a turn, in ms: what others wait for a quick answer. */
const groupBudgetMs = 4;
/** Times that a unit may be thrown back. */
const mostThrowbacks = 30;
const begin = sql('BEGIN IMMEDIATE');
const commit = sql('COMMIT');
const openUnit = sql('SAVEPOINT unit');
const keepUnit = sql('RELEASE unit');
const undoUnit = sql('ROLLBACK TO unit');
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
  #queue: Unit[] = [];
  #scheduled = false;
  #holds = 0;
  #closed = false;

  /** Opens an existing, migrated database file (see `openDatabase`). */
  constructor(writer: Connection, options: DatabaseOptions) {
    this.path = options.path;
    this.#onFatal = options.onFatal;
    this.#writer = writer;
    this.#sequence = new Sequence(writer.get(selectReservation)?.reserved ?? 0);
    this.#reserveNow();
    this.#readers = new Readers(options.path, writer);
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
    if (this.#closed) return Promise.reject(new Error('the database is closed'));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, resolve: resolve as (value: unknown) => void, reject, throwbacks: 0 });
      this.#schedule();
    });
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
    this.#holds += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds -= 1;
      this.#schedule();
    };
  }

  /** What is counted here, for the metrics. */
  get measures(): readonly Measure[] {
    return databaseMeasures(this, this.#counters, this.#durability, this.#checkpointer);
  }

  /** Commits what waits, puts it on disk, checkpoints and closes. */
  async close(): Promise<void> {
    await this.#checkpointer.close();
    while (this.#queue.length > 0) await this.write(() => undefined).catch(() => undefined);
    this.#closed = true;
    await this.flushed();
    await this.#durability.close();
    this.#readers.close();
    this.#writer.raw.pragma('wal_checkpoint(TRUNCATE)');
    this.#writer.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#holds > 0 || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#holds === 0) this.#runGroup();
      this.#schedule();
    });
  }

  #runGroup(): void {
    const [first] = this.#queue;
    if (first !== undefined && this.#queue.length === 1) return this.#runAlone(first);
    const started = performance.now();
    const tx = new GroupTx(this.#writer, this.#sequence);
    const finished: Finished[] = [];
    const taken: Unit[] = [];
    const reservedBefore = this.#sequence.reservedBound;
    try {
      this.#readers.writeBegins();
      this.#writer.run(begin);
      if (this.#sequence.low) tx.reserve();
      while (this.#queue.length > 0 && (taken.length === 0 || performance.now() - started < groupBudgetMs)) {
        const unit = this.#queue.shift();
        if (unit === undefined) break;
        taken.push(unit);
        this.#runUnit(tx, unit, finished);
      }
      this.#writer.run(commit);
    } catch (error) {
      this.#sequence.restore(reservedBefore);
      return this.#failGroup(taken, error);
    } finally {
      this.#readers.writeEnded();
    }
    this.#settleGroup(tx, finished);
  }

  /** A group of one: the transaction itself is what a failure takes back, without the cost of a savepoint. */
  #runAlone(unit: Unit): void {
    this.#queue = [];
    const tx = new GroupTx(this.#writer, this.#sequence);
    const reservedBefore = this.#sequence.reservedBound;
    let isDone = false;
    let value: unknown;
    try {
      this.#readers.writeBegins();
      this.#writer.run(begin);
      if (this.#sequence.low) tx.reserve();
      value = unit.work(tx);
      isDone = true;
      this.#writer.run(commit);
    } catch (error) {
      this.#sequence.restore(reservedBefore);
      // A full disk may have rolled it back already: that is a fault of the commit, not of the unit.
      if (isDone || !this.#writer.raw.inTransaction) return this.#failGroup([unit], error);
      this.#writer.exec('ROLLBACK');
      return this.#failUnit(unit, error);
    } finally {
      this.#readers.writeEnded();
    }
    this.#settleGroup(tx, [{ unit, value }]);
  }

  #runUnit(tx: GroupTx, unit: Unit, finished: Finished[]): void {
    const mark = tx.mark();
    this.#writer.run(openUnit);
    try {
      const value = unit.work(tx);
      this.#writer.run(keepUnit);
      finished.push({ unit, value });
    } catch (error) {
      // A full disk may have rolled the whole transaction back: then no unit of the group stands.
      if (!this.#writer.raw.inTransaction) throw error;
      this.#writer.run(undoUnit);
      this.#writer.run(keepUnit);
      tx.rollbackTo(mark);
      this.#failUnit(unit, error);
    }
  }

  /** Nothing of the unit stands: it is told, or runs again when what it lacked is there. */
  #failUnit(unit: Unit, error: unknown): void {
    if (error instanceof NotReady && unit.throwbacks < mostThrowbacks) return this.#throwBack(unit, error);
    this.#counters.failedUnits += 1;
    unit.reject(error);
  }

  /** The unit runs again, behind what waits by then. */
  #throwBack(unit: Unit, { ready }: NotReady): void {
    unit.throwbacks += 1;
    ready().then(() => {
      if (this.#closed) return unit.reject(new Error('the database is closed'));
      this.#queue.push(unit);
      this.#schedule();
    }, unit.reject);
  }

  /** Nothing of the group stands. Units that failed by themselves have their own error already. */
  #failGroup(taken: readonly Unit[], cause: unknown): void {
    if (this.#writer.raw.inTransaction) this.#writer.exec('ROLLBACK');
    this.#counters.failedCommits += 1;
    const error = new CommitError(cause);
    // Without a transaction to put them in, those that wait have no better chance.
    for (const unit of taken.length > 0 ? taken : this.#queue.splice(0)) unit.reject(error);
  }

  /** The group is committed: its effects in memory are due now, the others once it is on disk. */
  #settleGroup(tx: GroupTx, finished: readonly Finished[]): void {
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
