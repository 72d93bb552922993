/**
 * Forward-only migrations: numbered SQL files, applied once each in one transaction, recorded by number and checksum in
 * SQLite's `user_version` and `kernel_migrations`.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from './connection.ts';
import { sql } from './statement.ts';

const selectApplied = sql<[], { number: number; name: string; checksum: string }>(
  'SELECT number, name, checksum FROM kernel_migrations ORDER BY number',
);
const selectLedger = sql<[], { name: string }>("SELECT name FROM sqlite_schema WHERE name = 'kernel_migrations'");
const insertApplied = sql<[number: number, name: string, checksum: string]>(
  'INSERT INTO kernel_migrations (number, name, checksum) VALUES (?, ?, ?)',
);

export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/**
 * Brings the database to the newest schema in `folder`.
 * @throws MigrationError when the file was written by a newer version, or an applied migration has changed since.
 */
export function migrate(connection: Connection, folder: string): void {
  connection.exec(
    'CREATE TABLE IF NOT EXISTS kernel_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT',
  );
  for (const { number, name, text, checksum } of missingMigrations(connection, folder)) {
    connection.exec('BEGIN IMMEDIATE');
    connection.exec(text);
    connection.run(insertApplied, number, name, checksum);
    connection.exec('COMMIT');
  }
}

/**
 * Demands exactly the schema in `folder`, for who may not change it.
 * @throws MigrationError when the database was written by a newer version, or needs a migration
 */
export function checkSchema(connection: Connection, folder: string): void {
  if (connection.get(selectLedger) === undefined) throw new MigrationError('there is nothing in the database yet');
  const [missing] = missingMigrations(connection, folder);
  if (missing === undefined) return;
  const cause = `migration ${missing.name} is missing`;
  throw new MigrationError(
    `this data folder was written by an older version of Neurite, start the server once (${cause})`,
  );
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

/** The migrations of `folder` that the database has not had. @throws MigrationError when it has had others */
function missingMigrations(connection: Connection, folder: string): Migration[] {
  const files = readdirSync(folder)
    .filter((name) => /^\d{4}_.+\.sql$/.test(name))
    .sort();
  const twin = files.find((name, index) => name.slice(0, 4) === files[index + 1]?.slice(0, 4));
  if (twin !== undefined) throw new MigrationError(`two migrations have the number of ${twin}`);
  const applied = new Map(connection.all(selectApplied).map((row) => [row.number, row]));
  const missing: Migration[] = [];
  for (const name of files) {
    const number = Number(name.slice(0, 4));
    const text = readFileSync(join(folder, name), 'utf8');
    const checksum = createHash('sha256').update(text).digest('hex');
    const row = applied.get(number);
    applied.delete(number);
    if (row === undefined) missing.push({ number, name, text, checksum });
    else if (row.checksum !== checksum) {
      throw new MigrationError(`migration ${name} is not the one that this database was made with`);
    }
  }
  const [unknown] = applied.values();
  if (unknown !== undefined) {
    throw new MigrationError(`this data folder was written by a newer version of Neurite (migration ${unknown.name})`);
  }
  return missing;
}
