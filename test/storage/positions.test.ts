/** Positions, each given out once, and checkpoints. */
import { describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { useStorageFolders, storageChild, add, rowsOf } from '../support/storage-folders.ts';

const { newFolder, open } = useStorageFolders();

describe('no Position is ever given out twice', () => {
  test('after a unit that took more than was reserved has failed', async () => {
    const folder = newFolder();
    const db = open(folder);
    let highest = 0;
    const greedy = db.write((tx) => {
      for (let count = 0; count < 150_000; count += 1) highest = tx.nextPosition();
      throw new Error('no');
    });
    await expect(greedy).rejects.toThrow('no');
    const next = await add(db);
    expect(next).toBeGreaterThan(highest);
    expect(db.nextEphemeralPosition()).toBe(next + 1);
    await db.close();
    const again = open(folder);
    expect(again.head).toBeGreaterThan(next);
    await again.close();
  });

  test('within one unit that takes more than was reserved', async () => {
    const db = open();
    const last = await db.write((tx) => {
      let position = 0;
      for (let count = 0; count < 150_000; count += 1) position = tx.nextPosition();
      return position;
    });
    expect(db.nextEphemeralPosition()).toBe(last + 1);
    await db.close();
  });

  test('after SIGKILL', async () => {
    const folder = newFolder();
    let highest = 0;
    let rows = 0;
    for (let round = 0; round < 5; round += 1) {
      const child = spawn(process.execPath, [storageChild, 'positions', folder]);
      const lines = createInterface({ input: child.stdout });
      const limit = 20 + round * 37;
      let told = 0;
      for await (const line of lines) {
        const { stored, visible, rows: kept } = JSON.parse(line) as Record<'stored' | 'visible' | 'rows', number>;
        expect(stored).toBeGreaterThan(highest);
        expect(visible).toBe(stored + 1);
        if (told === 0) expect(kept).toBeGreaterThan(rows);
        highest = visible;
        rows = kept;
        if (++told === limit) child.kill('SIGKILL');
      }
    }
    const db = open(folder);
    expect(rowsOf(db)).toBeGreaterThanOrEqual(rows);
    expect(db.head).toBeGreaterThanOrEqual(highest);
    await db.close();
  }, 30_000);
});

describe('checkpoints', () => {
  test('the WAL stays bounded under constant load, and nothing is lost', async () => {
    const folder = newFolder();
    const db = open(folder);
    const value = 'x'.repeat(8000);
    let largest = 0;
    const writer = async (): Promise<void> => {
      for (let count = 0; count < 400; count += 1) {
        await add(db, value);
        if (count % 20 === 0) largest = Math.max(largest, statSync(join(folder, 'test.db-wal')).size);
      }
    };
    await Promise.all(Array.from({ length: 32 }, writer));
    // 12,800 rows of 8,000 bytes make 105 MB in all: the file starts anew on the way.
    expect(largest).toBeLessThan(96 * 1024 * 1024);
    expect(rowsOf(db)).toBe(12_800);
    const completed = db.measures.find(({ name }) => name === 'neurite_checkpoints_total');
    expect(completed?.read()).toBeGreaterThanOrEqual(1);
    await db.close();
    expect(existsSync(join(folder, 'test.db-wal'))).toBe(false);
    const again = open(folder);
    expect(rowsOf(again)).toBe(12_800);
    await again.close();
  }, 60_000);
});
