/** One SQLite connection with its prepared statements. Only this folder knows better-sqlite3. */
import SqliteDatabase from 'better-sqlite3';
import { planOnce, type SqlStatement, type SqlValue } from './statement.ts';

export interface ConnectionOptions {
  readonly readonly?: boolean;
  /** Page cache in KiB. */
  readonly cacheKib?: number;
}

/** A consistent view of the database; valid within the turn (or the callback) that it was handed to. */
export interface Snapshot {
  /**
   * Only a write transaction has one: it stands for all that the transaction has read and written, so that a store may
   * remember rows under it. After a unit was taken back it is another one.
   */
  readonly epoch?: object;
  get<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R | undefined;
  all<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R[];
  /** Rows one by one; the iterator must be run to its end or returned before anything else is asked of the handle. */
  iterate<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): IterableIterator<R>;
}

export interface RunResult {
  readonly changes: number;
  readonly lastInsertRowid: number;
}

export class Connection implements Snapshot {
  readonly raw: SqliteDatabase.Database;
  readonly #prepared = new Map<SqlStatement<readonly SqlValue[], unknown>, SqliteDatabase.Statement>();

  constructor(path: string, options: ConnectionOptions = {}) {
    this.raw = new SqliteDatabase(path, { readonly: options.readonly ?? false });
    this.raw.pragma(`cache_size = -${options.cacheKib ?? 2048}`);
    this.raw.pragma('foreign_keys = ON');
    this.raw.pragma('temp_store = MEMORY');
    this.raw.pragma('busy_timeout = 5000');
  }

  get<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R | undefined {
    return this.#prepare(statement).get(...params) as R | undefined;
  }

  all<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R[] {
    return this.#prepare(statement).all(...params) as R[];
  }

  iterate<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): IterableIterator<R> {
    return this.#prepare(statement).iterate(...params) as IterableIterator<R>;
  }

  run<P extends readonly SqlValue[]>(statement: SqlStatement<P, unknown>, ...params: P): RunResult {
    const result = this.#prepare(statement).run(...params);
    return { changes: result.changes, lastInsertRowid: Number(result.lastInsertRowid) };
  }

  exec(text: string): void {
    this.raw.exec(text);
  }

  close(): void {
    this.#prepared.clear();
    this.raw.close();
  }

  #prepare(statement: SqlStatement<readonly SqlValue[], unknown>): SqliteDatabase.Statement {
    let prepared = this.#prepared.get(statement);
    if (prepared === undefined) {
      prepared = this.raw.prepare(planOnce(statement.text));
      this.#prepared.set(statement, prepared);
    }
    return prepared;
  }
}
