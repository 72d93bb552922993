/** What becomes of writes when the disk is slow, full or broken. */
import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { diskShims } from '../support/shim.ts';
import { useStorageFolders, runChild } from '../support/storage-folders.ts';

const { root, newFolder } = useStorageFolders();

describe.each(diskShims(root))('the disk, with $by', ({ env: shim }) => {
  test('a write resolves after the fdatasync that covers it', () => {
    const folder = newFolder();
    const log = join(folder, 'calls');
    const child = runChild('acknowledge', folder, {
      ...shim,
      SHIM_LOG: log,
      SHIM_DELAY_US: '2000',
    });
    expect([child.status, child.stderr]).toEqual([0, '']);
    const lines = readFileSync(log, 'utf8').split('\n');
    for (let marker = 1000; marker < 1100; marker += 1) {
      const written = lines.indexOf(`W ${marker}`);
      const begun = lines.indexOf('S', written);
      const ended = lines.indexOf('E', begun);
      expect(written).toBeGreaterThan(-1);
      expect(begun).toBeGreaterThan(written);
      expect(lines.indexOf(`R ${marker}`)).toBeGreaterThan(ended);
    }
  });

  test('a full disk refuses writes, keeps reads, loses nothing', () => {
    const folder = newFolder();
    const env = { ...shim, SHIM_FULL: join(folder, 'full') };
    const child = runChild('full', folder, env);
    expect([child.status, child.stderr]).toEqual([0, '']);
    expect(JSON.parse(child.stdout)).toEqual(['stored', ['full'], 1, 'number', 'stored', 2]);
  });

  test('a failed fsync ends the process and acknowledges nothing', () => {
    const folder = newFolder();
    const env = { ...shim, SHIM_BROKEN: join(folder, 'broken') };
    const child = runChild('broken', folder, env);
    expect(child.status).toBe(3);
    expect(child.stdout).toContain('fatal');
    expect(child.stdout).not.toContain('acknowledged');
  });
});
