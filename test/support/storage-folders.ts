/** Folders for databases with the project's migrations and two tables more, for the tests of a file. */
import { afterAll, beforeAll } from '@jest/globals';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '../..');
/** Runs a scenario on a folder, see there. */
export const storageChild = join(import.meta.dirname, 'storage-child.ts');

export interface StorageFolders {
  /** Holds the others; it goes with them after the tests. */
  readonly root: string;
  readonly migrations: string;
  /** A new folder with the migrations in it. */
  readonly newFolder: () => string;
}

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
  return { root, migrations, newFolder };
}

/** Runs a scenario of the child to its end. */
export const runChild = (scenario: string, folder: string, env: Record<string, string>): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [storageChild, scenario, folder], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  });
