/**
 * The units of work that wait for the writer, and the transactions that they share: what arrives within one turn of the
 * event loop is one group, each unit in a savepoint of its own, so that one failing unit fails alone.
 */
import type { Connection } from './connection.ts';
import { CommitError, NotReady } from './errors.ts';
import type { Counters } from './measures.ts';
import type { Readers } from './readers.ts';
import type { Sequence } from './sequence.ts';
import { sql } from './statement.ts';
import { GroupTx, type Tx } from './transaction.ts';

interface Unit {
  readonly work: (tx: Tx) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** How often it was thrown back because something was not ready. */
  throwbacks: number;
}

/** A unit that stands, with its value. */
export interface Finished {
  readonly unit: Unit;
  readonly value: unknown;
}

export interface WriteQueueParts {
  readonly writer: Connection;
  readonly readers: Readers;
  readonly sequence: Sequence;
  readonly counters: Counters;
  /** A group is committed: to be made durable, and its units to be told. */
  readonly committed: (tx: GroupTx, finished: readonly Finished[]) => void;
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

export class WriteQueue {
  readonly #parts: WriteQueueParts;
  #units: Unit[] = [];
  #scheduled = false;
  #holds = 0;
  #closed = false;

  constructor(parts: WriteQueueParts) {
    this.#parts = parts;
  }

  /** Units that wait for their turn. */
  get length(): number {
    return this.#units.length;
  }

  /** Runs `work` in the next group; settles as `Database.write` says. */
  add<T>(work: (tx: Tx) => T): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the database is closed'));
    return new Promise<T>((resolve, reject) => {
      this.#units.push({ work, resolve: resolve as (value: unknown) => void, reject, throwbacks: 0 });
      this.#schedule();
    });
  }

  /** No group is begun until the returned function is called. */
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

  /** Runs what waits; nothing more is taken. */
  async close(): Promise<void> {
    while (this.#units.length > 0) await this.add(() => undefined).catch(() => undefined);
    this.#closed = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#holds > 0 || this.#units.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#holds === 0) this.#runGroup();
      this.#schedule();
    });
  }

  #runGroup(): void {
    const { writer, readers, sequence, committed } = this.#parts;
    const [first] = this.#units;
    if (first !== undefined && this.#units.length === 1) return this.#runAlone(first);
    const started = performance.now();
    const tx = new GroupTx(writer, sequence);
    const finished: Finished[] = [];
    const taken: Unit[] = [];
    const reservedBefore = sequence.reservedBound;
    try {
      readers.writeBegins();
      writer.run(begin);
      if (sequence.low) tx.reserve();
      while (this.#units.length > 0 && (taken.length === 0 || performance.now() - started < groupBudgetMs)) {
        const unit = this.#units.shift();
        if (unit === undefined) break;
        taken.push(unit);
        this.#runUnit(tx, unit, finished);
      }
      writer.run(commit);
    } catch (error) {
      sequence.restore(reservedBefore);
      return this.#failGroup(taken, error);
    } finally {
      readers.writeEnded();
    }
    committed(tx, finished);
  }

  /** A group of one: the transaction itself is what a failure takes back, without the cost of a savepoint. */
  #runAlone(unit: Unit): void {
    const { writer, readers, sequence, committed } = this.#parts;
    this.#units = [];
    const tx = new GroupTx(writer, sequence);
    const reservedBefore = sequence.reservedBound;
    let isDone = false;
    let value: unknown;
    try {
      readers.writeBegins();
      writer.run(begin);
      if (sequence.low) tx.reserve();
      value = unit.work(tx);
      isDone = true;
      writer.run(commit);
    } catch (error) {
      sequence.restore(reservedBefore);
      // A full disk may have rolled it back already: that is a fault of the commit, not of the unit.
      if (isDone || !writer.raw.inTransaction) return this.#failGroup([unit], error);
      writer.exec('ROLLBACK');
      return this.#failUnit(unit, error);
    } finally {
      readers.writeEnded();
    }
    committed(tx, [{ unit, value }]);
  }

  #runUnit(tx: GroupTx, unit: Unit, finished: Finished[]): void {
    const { writer } = this.#parts;
    const mark = tx.mark();
    writer.run(openUnit);
    try {
      const value = unit.work(tx);
      writer.run(keepUnit);
      finished.push({ unit, value });
    } catch (error) {
      // A full disk may have rolled the whole transaction back: then no unit of the group stands.
      if (!writer.raw.inTransaction) throw error;
      writer.run(undoUnit);
      writer.run(keepUnit);
      tx.rollbackTo(mark);
      this.#failUnit(unit, error);
    }
  }

  /** Nothing of the unit stands: it is told, or runs again when what it lacked is there. */
  #failUnit(unit: Unit, error: unknown): void {
    if (error instanceof NotReady && unit.throwbacks < mostThrowbacks) return this.#throwBack(unit, error);
    this.#parts.counters.failedUnits += 1;
    unit.reject(error);
  }

  /** The unit runs again, behind what waits by then. */
  #throwBack(unit: Unit, { ready }: NotReady): void {
    unit.throwbacks += 1;
    ready().then(() => {
      if (this.#closed) return unit.reject(new Error('the database is closed'));
      this.#units.push(unit);
      this.#schedule();
    }, unit.reject);
  }

  /** Nothing of the group stands. Units that failed by themselves have their own error already. */
  #failGroup(taken: readonly Unit[], cause: unknown): void {
    const { writer, counters } = this.#parts;
    if (writer.raw.inTransaction) writer.exec('ROLLBACK');
    counters.failedCommits += 1;
    const error = new CommitError(cause);
    // Without a transaction to put them in, those that wait have no better chance.
    for (const unit of taken.length > 0 ? taken : this.#units.splice(0)) unit.reject(error);
  }
}
