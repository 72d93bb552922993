import { describe, expect, test } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { breaches, layers } from './layers.ts';

const check = (files: Record<string, (string | { type: string })[]>): string[] =>
  breaches(
    new Map(
      Object.entries(files).map(([file, targets]) => [
        file,
        targets.map((target) =>
          typeof target === 'string'
            ? { target, line: 1, typeOnly: false }
            : { target: target.type, line: 1, typeOnly: true },
        ),
      ]),
    ),
    new Set(['better-sqlite3', 'express', 'pino']),
  );
const leaf = { 'src/util/log.ts': [], 'src/storage/index.ts': [], 'src/storage/rows.ts': [], 'src/app.ts': [] };

test('every module has its place in the order', () => {
  const folders = readdirSync(resolve(import.meta.dirname, '../../src'), { withFileTypes: true });
  const names = folders.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  // Parts of the program that joins the modules: they stand above all of them.
  expect(names.filter((name) => !layers.includes(name)).sort()).toEqual(['commands', 'modules']);
});

describe('the layer check', () => {
  test('lets a module import what stands before it, through its front door', () => {
    const allowed = ['src/util/log.ts', 'src/storage/index.ts', 'node:fs', 'pino'];
    expect(check({ ...leaf, 'src/bus/index.ts': allowed, 'src/cli.ts': [...allowed, 'src/app.ts'] })).toEqual([]);
  });

  test.each<[string, string, string | { type: string }, string]>([
    ['what stands after it', 'src/util/x.ts', 'src/storage/index.ts', 'util stands before storage'],
    ['a type of what stands after it', 'src/util/x.ts', { type: 'src/storage/index.ts' }, 'util stands before storage'],
    ['what stands above all modules', 'src/admin/x.ts', 'src/app.ts', 'admin stands before this'],
    ['past the front door', 'src/bus/x.ts', 'src/storage/rows.ts', 'storage is imported through its index.ts'],
    ['a package of another owner', 'src/bus/x.ts', 'better-sqlite3', 'only src/storage/ and src/workers/'],
    ['a package that users do not have', 'src/bus/x.ts', 'jest', 'not among the dependencies'],
    ['the tests', 'src/bus/x.ts', 'test/support/x.ts', 'only its own sources'],
    ['a file that is not there', 'src/bus/x.ts', 'src/bus/y.ts', 'no such file'],
    ['the world into specification logic', 'src/matrix/x.ts', 'node:fs', 'takes values and gives verdicts'],
  ])('refuses %s', (_, file, target, fault) => {
    expect(check({ ...leaf, [file]: [target] })).toEqual([expect.stringContaining(fault)]);
  });

  test('refuses modules that are to meet on the bus', () => {
    expect(check({ 'src/syncapi/index.ts': [], 'src/federation/x.ts': ['src/syncapi/index.ts'] })).toHaveLength(1);
  });

  test('refuses circles, but not those of types', () => {
    const circle = { 'src/bus/a.ts': ['src/bus/b.ts'], 'src/bus/b.ts': ['src/bus/c.ts'] };
    expect(check({ ...circle, 'src/bus/c.ts': ['src/bus/a.ts'] })).toEqual([
      'src/bus/a.ts → src/bus/b.ts → src/bus/c.ts → src/bus/a.ts: a circle',
    ]);
    expect(check({ ...circle, 'src/bus/c.ts': [{ type: 'src/bus/a.ts' }] })).toEqual([]);
  });
});
