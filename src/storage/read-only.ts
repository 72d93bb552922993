/**
 * The database as a process of its own reads it, also while the server writes: a connection that cannot write, one
 * snapshot for each `read`. An open snapshot keeps the WAL from being reset, so a long job reads in pieces; what looks at
 * whole tables (`faults`, a rebuild in `shadow`) does not, and the WAL grows by what is written meanwhile.
 */
import { existsSync } from 'node:fs';
import { Connection, type Snapshot } from './connection.ts';
import type { NotPromise } from './database.ts';
import { checkSchema, MigrationError } from './migrate.ts';
import { sql } from './statement.ts';
import type { Tx } from './transaction.ts';

const selectSchema = sql<[table: string], { sql: string }>(
  "SELECT sql FROM main.sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type = 'index'",
);
const inTemp = (text: string): string =>
  text.replace(/^CREATE (VIRTUAL TABLE|TABLE|UNIQUE INDEX|INDEX) /, 'CREATE $1 temp.');

/** What a projection may do with its shadow: no Position, nothing to tell anyone. */
class ShadowTx implements Tx {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get: Tx['get'] = (statement, ...params) => this.#connection.get(statement, ...params);
  all: Tx['all'] = (statement, ...params) => this.#connection.all(statement, ...params);
  iterate: Tx['iterate'] = (statement, ...params) => this.#connection.iterate(statement, ...params);
  run: Tx['run'] = (statement, ...params) => this.#connection.run(statement, ...params);

  nextPosition(): never {
    throw new Error('a rebuild takes no Position');
  }

  afterCommit(): void {}
  afterDurable(): void {}
  touch(): void {}
}

/** Whatever gives consistent views of the database. */
export interface Reader {
  /** Reads within this turn, from the last commit. The handle is not valid after the callback. */
  read<T>(work: (snapshot: Snapshot) => NotPromise<T>): T;
}

const begin = sql('BEGIN');
const end = sql('COMMIT');
const quickCheck = sql<[], { quick_check: string }>('PRAGMA quick_check(100)');
const foreignKeys = sql<[], { table: string; rowid: number | null; parent: string }>('PRAGMA foreign_key_check');

export class ReadOnlyDatabase implements Reader {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  read<T>(work: (snapshot: Snapshot) => NotPromise<T>): T {
    this.#connection.run(begin);
    try {
      return work(this.#connection);
    } finally {
      this.#connection.run(end);
    }
  }

  /**
   * Runs `work` in one view of the database in which the named tables are empty: writes to them go to copies that this
   * connection alone has, and that are gone afterwards. `work` may still ask for `main.<table>`, the stored one.
   */
  shadow<T>(tables: readonly string[], work: (tx: Tx) => NotPromise<T>): T {
    return this.read((snapshot) => {
      const made: string[] = [];
      try {
        for (const table of tables) {
          for (const { sql: text } of snapshot.all(selectSchema, table)) this.#connection.exec(inTemp(text));
          made.push(table);
        }
        return work(new ShadowTx(this.#connection));
      } finally {
        for (const table of made) this.#connection.exec(`DROP TABLE temp.${table}`);
      }
    });
  }

  /** What SQLite itself finds wrong with the file: damaged pages, broken constraints. */
  faults(): string[] {
    return this.read((snapshot) => [
      ...snapshot.all(quickCheck).flatMap(({ quick_check: line }) => (line === 'ok' ? [] : `database: ${line}`)),
      ...snapshot
        .all(foreignKeys)
        .map(({ table, rowid, parent }) => `database: row ${rowid ?? ''} of ${table} names nothing in ${parent}`),
    ]);
  }

  close(): void {
    this.#connection.close();
  }
}

/**
 * Opens an existing database of exactly this version's schema.
 * @throws MigrationError when there is none, or its schema is older or newer
 */
export function openReadOnly(options: { readonly path: string; readonly migrations: string }): ReadOnlyDatabase {
  if (!existsSync(options.path)) throw new MigrationError(`there is no database ${options.path} yet`);
  const connection = new Connection(options.path, { readonly: true, cacheKib: 32_768 });
  try {
    checkSchema(connection, options.migrations);
  } catch (error) {
    connection.close();
    throw error;
  }
  return new ReadOnlyDatabase(connection);
}
