/** Folders for databases with the project's migrations and two tables more, for the tests of a file. */
import { afterAll, beforeAll } from '@jest/globals';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase, sql, type Database, type Snapshot, type Tx } from '../../src/storage/index.ts';

const repository = join(import.meta.dirname, '../..');
/** Runs a scenario on a folder, see there. */
export const storageChild = join(import.meta.dirname, 'storage-child.ts');

export interface StorageFolders {
  /** Holds the others; it goes with them after the tests. */
  readonly root: string;
  readonly migrations: string;
  /** A new folder with the migrations in it. */
  readonly newFolder: () => string;
  /** Opens the database of a folder, default: of a new one; a fault that ends a server is thrown. */
  readonly open: (folder?: string) => Database;
}

const insert = sql<[value: string]>('INSERT INTO test_rows (value) VALUES (?)');
const selectCount = sql<[], { n: number }>('SELECT count(*) AS n FROM test_rows');

export const rowsIn = (snapshot: Snapshot): number => snapshot.get(selectCount)?.n ?? -1;
export const rowsOf = (db: Database): number => db.read(rowsIn);

/** A row in the transaction of somebody else. */
export const insertRow = (tx: Tx, value: string): void => void tx.run(insert, value);

/** A row in a unit of its own; resolves with its Position. */
export const add = (db: Database, value = 'x'): Promise<number> =>
  db.write((tx) => {
    insertRow(tx, value);
    return tx.nextPosition();
  });

export function useStorageFolders(): StorageFolders {
  const root = mkdtempSync(join(tmpdir(), 'neurite-storage-'));
  const migrations = join(root, 'migrations');
  let folders = 0;
  beforeAll(() => {
    cpSync(join(repository, 'migrations'), migrations, { recursive: true });
    writeFileSync(
      join(migrations, '9999_test.sql'),
      `CREATE TABLE test_rows (id INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
       CREATE TABLE test_children (parent INTEGER REFERENCES test_rows (id) DEFERRABLE INITIALLY DEFERRED) STRICT;`,
    );
  });
  afterAll(() => rmSync(root, { recursive: true }));
  const newFolder = (): string => {
    const folder = join(root, `data${++folders}`);
    cpSync(migrations, join(folder, 'migrations'), { recursive: true });
    return folder;
  };
  const open = (folder = newFolder()): Database =>
    openDatabase({
      path: join(folder, 'test.db'),
      migrations,
      onFatal: (error) => {
        throw error;
      },
    });
  return { root, migrations, newFolder, open };
}

/** Runs a scenario of the child to its end. */
export const runChild = (scenario: string, folder: string, env: Record<string, string>): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [storageChild, scenario, folder], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  });
