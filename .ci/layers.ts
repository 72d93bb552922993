// The layer check: reads the imports of all sources and holds them against test/arch/layers.ts. Part of `npm run check`.
import { globSync, readFileSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { parseSync } from 'oxc-parser';
import { type Graph, type Import, breaches } from '../test/arch/layers.ts';

const root = resolve(import.meta.dirname, '..');

const importsOf = (file: string): Import[] => {
  const source = readFileSync(resolve(root, file), 'utf8');
  const { staticImports, staticExports, dynamicImports } = parseSync(file, source).module;
  const made = (specifier: string, start: number, typeOnly: boolean): Import => ({
    target: specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : specifier,
    line: source.slice(0, start).split('\n').length,
    typeOnly,
  });
  return [
    ...staticImports.map(({ moduleRequest, start, entries }) =>
      made(moduleRequest.value, start, entries.length > 0 && entries.every(({ isType }) => isType)),
    ),
    ...staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, start, isType }) =>
        moduleRequest === null ? [] : [made(moduleRequest.value, start, isType)],
      ),
    ),
    // What is computed cannot be checked, and only a quoted name is taken for one.
    ...dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
      const specifier = /^(['"])(.+)\1$/.exec(source.slice(start, end))?.[2];
      return specifier === undefined ? [] : [made(specifier, start, false)];
    }),
  ];
};

const { dependencies } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as { dependencies: object };
const files = globSync('src/**/*.ts', { cwd: root }).map((file) => file.replaceAll('\\', '/'));
const graph: Graph = new Map(files.sort().map((file) => [file, importsOf(file)]));
const found = breaches(graph, new Set(Object.keys(dependencies)));
for (const line of found) console.log(line);
process.exit(found.length === 0 ? 0 : 1);
