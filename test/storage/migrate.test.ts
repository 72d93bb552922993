import { afterEach, describe, expect, test } from '@jest/globals';
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase, sql, type Database } from '../../src/storage/index.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const setUp = (): { folder: string; open: () => Database } => {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-migrate-'));
  folders.push(folder);
  cpSync(join(import.meta.dirname, '../../migrations'), join(folder, 'migrations'), { recursive: true });
  const open = (): Database =>
    openDatabase({
      path: join(folder, 'test.db'),
      migrations: join(folder, 'migrations'),
      onFatal: (error) => {
        throw error;
      },
    });
  return { folder, open };
};

describe('migrations', () => {
  test('a new one is applied once to a database that has the others', async () => {
    const { folder, open } = setUp();
    await open().close();
    writeFileSync(join(folder, 'migrations/9000_more.sql'), 'CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;');
    await open().close();
    const db = open();
    expect(db.read((snapshot) => snapshot.all(sql<[], { id: number }>('SELECT id FROM more')))).toEqual([]);
    await db.close();
  });

  test('a database of a newer version is refused in one sentence and left as it is', async () => {
    const { folder, open } = setUp();
    const newer = join(folder, 'migrations/9000_more.sql');
    writeFileSync(newer, 'CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;');
    await open().close();
    rmSync(newer);
    expect(open).toThrow('this data folder was written by a newer version of Neurite (migration 9000_more.sql)');
    writeFileSync(newer, 'CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;');
    await open().close();
  });

  test('a migration that was changed after it was applied is refused', async () => {
    const { folder, open } = setUp();
    await open().close();
    appendFileSync(join(folder, 'migrations/0001_kernel.sql'), '-- changed\n');
    expect(open).toThrow('migration 0001_kernel.sql is not the one that this database was made with');
  });

  test('two with one number are refused before anything is done', async () => {
    const { folder, open } = setUp();
    writeFileSync(join(folder, 'migrations/0001_twin.sql'), '');
    expect(open).toThrow('two migrations have the number of 0001_kernel.sql');
  });

  test('one that fails leaves nothing behind', async () => {
    const { folder, open } = setUp();
    const broken = join(folder, 'migrations/9000_broken.sql');
    writeFileSync(broken, 'CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT; CREATE NONSENSE;');
    expect(open).toThrow('NONSENSE');
    writeFileSync(broken, 'CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT;');
    await open().close();
  });
});
