/**
 * The database as a process of its own reads it, also while the server writes: a connection that cannot write, one
 * snapshot for each `read`. An open snapshot keeps the WAL from being reset, so a long job reads in pieces.
 */
import { existsSync } from 'node:fs';
import { Connection, type Snapshot } from './connection.ts';
import type { NotPromise } from './database.ts';
import { checkSchema, MigrationError } from './migrate.ts';
import { sql } from './statement.ts';

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
