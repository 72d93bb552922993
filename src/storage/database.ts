/**
 * The one SQLite file: one writer connection with grouped commits, read-only snapshots, durability.
 *
 * What arrives within one turn of the event loop shares a transaction, each unit in a savepoint of its own, so that one
 * failing unit fails alone. COMMIT appends to the WAL; one `fdatasync` in libuv's pool covers all commits made
 * meanwhile, and `write` resolves after it. Three heads: committed (`head`), durable (`whenDurable`), visible (what a
 * reader sees: the committed one, while its reply waits for the disk as far as it shows something new).
 */
import { closeSync, fdatasync, openSync } from 'node:fs';
import { Connection, type RunResult, type Snapshot } from './connection.ts';
import { Sequence, type Position } from './sequence.ts';
import { sql, type SqlStatement, type SqlValue } from './statement.ts';

/** A write handle. Valid only inside the synchronous callback that received it. */
export interface Tx extends Snapshot {
  run<P extends readonly SqlValue[]>(statement: SqlStatement<P, unknown>, ...params: P): RunResult;
  /** The next Position; void when the unit fails. */
  nextPosition(): Position;
  /** In-memory effects: runs once the group has committed (visible to readers, maybe not yet on disk). */
  afterCommit(effect: () => void): void;
  /** Effects that leave the process (wake-ups, sends): runs once the commit is on disk. */
  afterDurable(effect: () => void): void;
  /**
   * Names something whose visible value this unit changes (`room:1`, `user:@a:b`): a reply that shows it waits until
   * this commit is on disk.
   */
  touch(key: string): void;
}

/** A unit of work may not be asynchronous: no `await` ever sits inside a transaction. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

interface Unit {
  readonly work: (tx: Tx) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Finished {
  readonly unit: Unit;
  readonly value: unknown;
}

export interface DatabaseOptions {
  readonly path: string;
  /** Page cache of the writer and of the shared reader, in KiB each. */
  readonly cacheKib?: number;
  /** Called when the disk can no longer be trusted (a failed fsync): the process must end. */
  readonly onFatal: (error: Error) => void;
}

/** Work done in one group before it commits and gives the loop a turn, in ms. */
const groupBudgetMs = 12;
const updateReservation = sql<[bound: number]>('UPDATE kernel_sequence SET reserved = ? WHERE id = 1');
const selectReservation = sql<[], { reserved: number }>('SELECT reserved FROM kernel_sequence WHERE id = 1');

export class Database {
  readonly path: string;
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #idleReaders: Connection[] = [];
  readonly #sequence: Sequence;
  readonly #durability: Durability;
  #queue: Unit[] = [];
  #scheduled = false;
  #holds = 0;
  #closed = false;

  /** Opens an existing, migrated database file (see `openDatabase`). */
  constructor(writer: Connection, options: DatabaseOptions) {
    this.path = options.path;
    this.#writer = writer;
    this.#sequence = new Sequence(writer.get(selectReservation)?.reserved ?? 0);
    this.#reserveNow();
    this.#reader = new Connection(options.path, { readonly: true, cacheKib: options.cacheKib ?? 8192 });
    this.#durability = new Durability(`${options.path}-wal`, options.onFatal);
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
   * unit alone and rejects with the same error; a failed COMMIT rejects every unit of the group.
   */
  write<T>(work: (tx: Tx) => NotPromise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the database is closed'));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Reads within this turn, from the last commit. The handle is not valid after the callback. */
  read<T>(work: (snapshot: Snapshot) => NotPromise<T>): T {
    return work(this.#reader);
  }

  /** A snapshot that stays the same across turns, for at most a few seconds: an open one keeps the WAL from shrinking. */
  async snapshot<T>(work: (snapshot: Snapshot, head: Position) => Promise<T>): Promise<T> {
    const connection = this.#idleReaders.pop() ?? new Connection(this.path, { readonly: true, cacheKib: 2048 });
    connection.exec('BEGIN');
    // The first read fixes the snapshot: it must happen in the same turn in which the head is noted.
    connection.get(selectReservation);
    const head = this.head;
    try {
      return await work(connection, head);
    } finally {
      connection.exec('COMMIT');
      if (this.#closed || this.#idleReaders.length >= 3) connection.close();
      else this.#idleReaders.push(connection);
    }
  }

  /** A Position for something that lives in memory only (typing, presence). */
  nextEphemeralPosition(): Position {
    if (this.#sequence.low) void this.write(() => undefined).catch(() => undefined);
    return this.#sequence.next();
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

  /** Commits what waits, puts it on disk, checkpoints and closes. */
  async close(): Promise<void> {
    while (this.#queue.length > 0) await this.write(() => undefined);
    this.#closed = true;
    await this.flushed();
    await this.#durability.close();
    for (const connection of this.#idleReaders) connection.close();
    this.#reader.close();
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
    const started = performance.now();
    const tx = new GroupTx(this.#writer, this.#sequence);
    const finished: Finished[] = [];
    const taken: Unit[] = [];
    const reservedBefore = this.#sequence.reservedBound;
    try {
      this.#writer.exec('BEGIN IMMEDIATE');
      if (this.#sequence.low) tx.reserve();
      while (this.#queue.length > 0 && (taken.length === 0 || performance.now() - started < groupBudgetMs)) {
        const unit = this.#queue.shift();
        if (unit === undefined) break;
        taken.push(unit);
        this.#runUnit(tx, unit, finished);
      }
      this.#writer.exec('COMMIT');
    } catch (error) {
      if (this.#writer.raw.inTransaction) this.#writer.exec('ROLLBACK');
      this.#sequence.restore(reservedBefore);
      for (const { unit } of finished) unit.reject(error);
      const last = taken.at(-1);
      if (last !== undefined && !finished.some(({ unit }) => unit === last)) last.reject(error);
      return;
    }
    const commit = this.#durability.commit(this.head, tx.touched);
    for (const effect of tx.committed) effect();
    void this.#durability.wait(commit).then(() => {
      for (const effect of tx.durable) effect();
      for (const { unit, value } of finished) unit.resolve(value);
    });
  }

  #runUnit(tx: GroupTx, unit: Unit, finished: Finished[]): void {
    const mark = tx.mark();
    this.#writer.exec('SAVEPOINT unit');
    try {
      const value = unit.work(tx);
      this.#writer.exec('RELEASE unit');
      finished.push({ unit, value });
    } catch (error) {
      // A full disk may have rolled the whole transaction back: then no unit of the group stands.
      if (!this.#writer.raw.inTransaction) throw error;
      this.#writer.exec('ROLLBACK TO unit');
      this.#writer.exec('RELEASE unit');
      tx.rollbackTo(mark);
      unit.reject(error);
    }
  }

  #reserveNow(): void {
    const bound = this.#sequence.nextReservation;
    this.#writer.run(updateReservation, bound);
    // One fsync at start: the block must be on disk before the first Position of it is shown to anyone.
    this.#writer.raw.pragma('wal_checkpoint(FULL)');
    this.#sequence.reserve(bound);
  }
}

interface Mark {
  readonly committed: number;
  readonly durable: number;
}

class GroupTx implements Tx {
  readonly #connection: Connection;
  readonly #sequence: Sequence;
  readonly committed: (() => void)[] = [];
  readonly durable: (() => void)[] = [];
  readonly touched = new Set<string>();

  constructor(connection: Connection, sequence: Sequence) {
    this.#connection = connection;
    this.#sequence = sequence;
  }

  get<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R | undefined {
    return this.#connection.get(statement, ...params);
  }

  all<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R[] {
    return this.#connection.all(statement, ...params);
  }

  iterate<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): IterableIterator<R> {
    return this.#connection.iterate(statement, ...params);
  }

  run<P extends readonly SqlValue[]>(statement: SqlStatement<P, unknown>, ...params: P): RunResult {
    return this.#connection.run(statement, ...params);
  }

  nextPosition(): Position {
    if (this.#sequence.exhausted) this.reserve();
    return this.#sequence.next();
  }

  reserve(): void {
    const bound = this.#sequence.nextReservation;
    this.#connection.run(updateReservation, bound);
    this.#sequence.reserve(bound);
  }

  afterCommit(effect: () => void): void {
    this.committed.push(effect);
  }

  afterDurable(effect: () => void): void {
    this.durable.push(effect);
  }

  touch(key: string): void {
    this.touched.add(key);
  }

  mark(): Mark {
    return { committed: this.committed.length, durable: this.durable.length };
  }

  rollbackTo(mark: Mark): void {
    this.committed.length = mark.committed;
    this.durable.length = mark.durable;
  }
}

/** Which commits are on disk, and who waits for that. Commits are numbered 1, 2, … in this process. */
class Durability {
  readonly #walPath: string;
  readonly #onFatal: (error: Error) => void;
  readonly #waiters: { readonly commit: number; readonly resolve: () => void }[] = [];
  readonly #dirty = new Map<string, number>();
  /** Commits not yet on disk, with the sequence head of each. */
  #pending: { readonly commit: number; readonly head: number }[] = [];
  #descriptor: number | undefined;
  #syncing = false;
  #committed = 0;
  #durable = 0;

  constructor(walPath: string, onFatal: (error: Error) => void) {
    this.#walPath = walPath;
    this.#onFatal = onFatal;
  }

  get committed(): number {
    return this.#committed;
  }

  commit(head: number, touched: ReadonlySet<string>): number {
    this.#committed += 1;
    this.#pending.push({ commit: this.#committed, head });
    for (const key of touched) this.#dirty.set(key, this.#committed);
    this.#sync();
    return this.#committed;
  }

  wait(commit: number): Promise<void> {
    if (commit <= this.#durable) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ commit, resolve }));
  }

  /** The commit that must be on disk before `position` may be shown; 0: it is already. */
  commitOfPosition(position: number): number {
    return this.#pending.find((entry) => entry.head >= position)?.commit ?? 0;
  }

  commitOfKey(key: string): number {
    return this.#dirty.get(key) ?? 0;
  }

  async close(): Promise<void> {
    await this.wait(this.#committed);
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  #sync(): void {
    if (this.#syncing) return;
    this.#syncing = true;
    this.#descriptor ??= openSync(this.#walPath, 'r+');
    const covered = this.#committed;
    fdatasync(this.#descriptor, (error) => {
      this.#syncing = false;
      // After a failed fsync the kernel may have dropped the pages: nothing that follows could be trusted.
      if (error !== null) return this.#onFatal(error);
      this.#advance(covered);
      if (this.#committed > covered) this.#sync();
    });
  }

  #advance(commit: number): void {
    this.#durable = commit;
    this.#pending = this.#pending.filter((entry) => entry.commit > commit);
    if (this.#pending.length === 0) this.#dirty.clear();
    else for (const [key, at] of this.#dirty) if (at <= commit) this.#dirty.delete(key);
    let settled = 0;
    for (const waiter of this.#waiters) {
      if (waiter.commit > commit) break;
      waiter.resolve();
      settled += 1;
    }
    this.#waiters.splice(0, settled);
  }
}

/** Collects what one reply shows, so that it leaves only when all of that is on disk, and at once if it already is. */
export class Shown {
  readonly #durability: Durability;
  #commit = 0;

  constructor(durability: Durability) {
    this.#durability = durability;
  }

  /** The reply shows something whose entry has this Position. */
  position(position: number): void {
    this.#commit = Math.max(this.#commit, this.#durability.commitOfPosition(position));
  }

  /** The reply shows the current value of something named as in `Tx.touch`. */
  key(key: string): void {
    this.#commit = Math.max(this.#commit, this.#durability.commitOfKey(key));
  }

  /** Resolves once all that was noted is on disk. */
  async durable(): Promise<void> {
    if (this.#commit > 0) await this.#durability.wait(this.#commit);
  }
}
