/** Folders that go away when the tests of a file have run. */
import { afterAll } from '@jest/globals';
import { rmSync } from 'node:fs';
import { temporaryFolder } from './server-process.ts';

/** The function makes one. */
export function useFolders(): () => string {
  const folders: string[] = [];
  afterAll(() => {
    for (const each of folders) rmSync(each, { recursive: true, force: true });
  });
  return () => {
    const made = temporaryFolder();
    folders.push(made);
    return made;
  };
}
