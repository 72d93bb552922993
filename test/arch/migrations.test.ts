import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { sql } from '../../src/storage/index.ts';
import { openTestDatabase } from '../support/http.ts';

const folder = join(import.meta.dirname, '../../migrations');
const golden = join(import.meta.dirname, '../golden/schema.sql');

test('every migration has a number of its own', () => {
  const files = readdirSync(folder);
  const numbers = files.map((name) => /^(\d{4})_[a-z_]+\.sql$/.exec(name)?.[1]);
  expect(numbers).not.toContain(undefined);
  expect(new Set(numbers).size).toBe(numbers.length);
});

const selectSchema = sql<[], { sql: string; tbl_name: string }>(
  `SELECT sql, tbl_name FROM sqlite_schema WHERE sql IS NOT NULL
   AND tbl_name NOT IN (SELECT shadow.name FROM pragma_table_list AS shadow WHERE shadow.type = 'shadow')
   ORDER BY tbl_name, type = 'index', name`,
);

test('all migrations together make the schema of test/golden/schema.sql', async () => {
  await using database = await openTestDatabase();
  const rows = database.db.read((snapshot) => snapshot.all(selectSchema));
  const schema = `${rows.map(({ sql: text }) => `${text.trimEnd()};`).join('\n\n')}\n`;
  if (process.env['NEURITE_GOLDEN'] === 'write') writeFileSync(golden, schema);
  if (schema !== readFileSync(golden, 'utf8')) {
    throw new Error('a migration has changed the schema: run this test with NEURITE_GOLDEN=write and look at the diff');
  }
});

test('tables are strict, and each column has a comment or names its values', () => {
  const texts = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  const tables = texts.flatMap((text) => text.match(/^CREATE TABLE [^]*?^\).*;/gm) ?? []);
  expect(tables.length).toBeGreaterThan(80);
  expect(tables.filter((text) => !/^\) STRICT(, WITHOUT ROWID)?;$/m.test(text))).toEqual([]);
  const columns = tables.flatMap((text) => text.match(/^ {2}[a-z_]+ (TEXT|INTEGER|BLOB|REAL|ANY)\b.*$/gm) ?? []);
  expect(columns.length).toBeGreaterThan(300);
  expect(columns.filter((line) => !line.includes('--') && !line.includes('CHECK'))).toEqual([]);
});
