/**
 * The data folder: it belongs to one server name for ever, and to one process at a time. The lock is SQLite's own on a
 * file of its own, which the operating system drops with the process however that ends.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { codeOf, messageOf } from '../util/error-text.ts';
import { type Result, err, ok } from '../util/result.ts';

export interface DataFolder {
  /** Absolute. */
  readonly path: string;
  /** Lets another process have it. */
  release(): void;
}

/** Why a folder cannot be had, as a sentence for the user. */
export interface DataFolderFault {
  readonly reason: 'in-use' | 'other-name' | 'unusable';
  readonly message: string;
}

/** Locks in force: one that nothing refers to would be closed, and so dropped, by the garbage collector. */
const held = new Set<SqliteDatabase.Database>();

const readIfPresent = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

/** The fault of a folder that belongs to another name; undefined: it is of this one, or of nobody yet. */
const otherName = (folder: string, serverName: string): DataFolderFault | undefined => {
  const owner = readIfPresent(join(folder, 'server_name'));
  if (owner === undefined || owner === serverName) return undefined;
  const message = `The data folder ${folder} belongs to the server name ${owner}, not ${serverName}.`;
  return { reason: 'other-name', message };
};

/**
 * A folder to look into without taking it: a server may run on it.
 *
 * @returns its absolute path
 */
export function readDataFolder(path: string, serverName: string): Result<string, DataFolderFault> {
  const folder = resolve(path);
  try {
    const fault = otherName(folder, serverName);
    return fault === undefined ? ok(folder) : err(fault);
  } catch (error) {
    return err({ reason: 'unusable', message: `The data folder ${folder} cannot be read: ${messageOf(error)}.` });
  }
}

/**
 * Makes the folder if need be, takes it for this process and binds it to the server name.
 *
 * @returns the folder, held until `release` or the end of the process
 */
export function openDataFolder(path: string, serverName: string): Result<DataFolder, DataFolderFault> {
  const folder = resolve(path);
  let lock: SqliteDatabase.Database | undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    lock = new SqliteDatabase(join(folder, 'lock'), { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    const fault = otherName(folder, serverName);
    if (fault !== undefined) {
      lock.close();
      return err(fault);
    }
    const nameFile = join(folder, 'server_name');
    if (readIfPresent(nameFile) === undefined) writeFileSync(nameFile, `${serverName}\n`, { mode: 0o600 });
  } catch (error) {
    lock?.close();
    if (codeOf(error)?.startsWith('SQLITE_BUSY') === true) {
      return err({ reason: 'in-use', message: `The data folder ${folder} is in use by another Neurite process.` });
    }
    return err({ reason: 'unusable', message: `The data folder ${folder} cannot be used: ${messageOf(error)}.` });
  }
  const taken = lock;
  held.add(taken);
  return ok({
    path: folder,
    release: () => {
      taken.close();
      held.delete(taken);
    },
  });
}
