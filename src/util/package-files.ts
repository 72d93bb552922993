/**
 * Where the files that come with the server lie. The same code runs from the sources and from the few files that are made of
 * them (`dist`), so nothing is looked for beside the module that wants it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The nearest folder above this file that holds a package.json: the project's, or the installed package's. */
const folder = ((): string => {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json'))) at = dirname(at);
  return at;
})();

/** SQL files, by name in the order in which they apply. */
export const migrationsFolder = join(folder, 'migrations');

/** A program that runs beside the server, by its path in src without the ending. */
export const programUrl = (program: string): URL => {
  const path = import.meta.filename.endsWith('.ts') ? `src/${program}.ts` : `dist/${program}.js`;
  return pathToFileURL(join(folder, path));
};

/** The version of this server. */
export const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
  readonly version: string;
};
