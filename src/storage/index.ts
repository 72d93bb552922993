/** Storage: the SQLite kernel. No tables of its own but the kernel's; modules bring their SQL and own their tables. */
import { Connection } from './connection.ts';
import { Database, type DatabaseOptions } from './database.ts';
import { migrate } from './migrate.ts';

export type { Snapshot, RunResult } from './connection.ts';
export { type DataFolder, type DataFolderFault, openDataFolder, readDataFolder } from './data-folder.ts';
export { Database, type DatabaseOptions, type NotPromise } from './database.ts';
export { type DerivedRow, DerivedTable } from './derived.ts';
export { Shown } from './durability.ts';
export { CommitError, isStorageFull, NotReady } from './errors.ts';
export { openReadOnly, type ReadOnlyDatabase, type Reader } from './read-only.ts';
export type { Tx } from './transaction.ts';
export { asPosition, type Position } from './sequence.ts';
export { sql, type SqlStatement, type SqlValue } from './statement.ts';

/** Opens (or makes) the database file and brings it to the newest schema. @throws MigrationError */
export function openDatabase(options: DatabaseOptions & { readonly migrations: string }): Database {
  const writer = new Connection(options.path, { cacheKib: options.cacheKib ?? 16_384 });
  writer.raw.pragma('page_size = 4096');
  writer.raw.pragma('journal_mode = WAL');
  writer.raw.pragma('synchronous = NORMAL');
  // Checkpoints are made by a thread of their own; a WAL that a burst made long is cut back when it starts anew.
  writer.raw.pragma('wal_autocheckpoint = 0');
  writer.raw.pragma('journal_size_limit = 33554432');
  try {
    migrate(writer, options.migrations);
  } catch (error) {
    writer.close();
    throw error;
  }
  return new Database(writer, options);
}
