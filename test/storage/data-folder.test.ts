import { afterEach, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openDataFolder } from '../../src/storage/index.ts';

const folders: string[] = [];
const children: ChildProcess[] = [];
const temporary = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-folder-'));
  folders.push(folder);
  return join(folder, 'data');
};
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const opened = (path: string, name = 'example.org') => {
  const folder = openDataFolder(path, name);
  if (!folder.ok) throw new Error(folder.error.message);
  return folder.value;
};

test('a data folder is made when missing and can be had again after its release', () => {
  const path = temporary();
  opened(path).release();
  expect(existsSync(path)).toBe(true);
  opened(path).release();
});

test('a data folder belongs to one server name for ever', () => {
  const path = temporary();
  opened(path).release();
  expect(openDataFolder(path, 'other.org')).toMatchObject({
    ok: false,
    error: {
      reason: 'other-name',
      message: `The data folder ${path} belongs to the server name example.org, not other.org.`,
    },
  });
  opened(path).release();
});

test('a folder that cannot be made is refused in one sentence', () => {
  const path = temporary();
  writeFileSync(path, 'a file');
  expect(openDataFolder(join(path, 'data'), 'example.org')).toMatchObject({ ok: false, error: { reason: 'unusable' } });
});

test('a data folder belongs to one process, and the lock dies with it', async () => {
  const path = temporary();
  const source = resolve(import.meta.dirname, '../../src/storage/data-folder.ts');
  const script = `import { openDataFolder } from ${JSON.stringify(source)};
    console.log(openDataFolder(${JSON.stringify(path)}, 'example.org').ok); setInterval(() => {}, 1000);`;
  const other = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(other);
  const [first] = (await once(other.stdout, 'data')) as [Buffer];
  expect(first.toString().trim()).toBe('true');
  expect(openDataFolder(path, 'example.org')).toMatchObject({ ok: false, error: { reason: 'in-use' } });
  other.kill('SIGKILL');
  await once(other, 'exit');
  opened(path).release();
});
