/**
 * What `fsync-shim.c` and `disk-shim.c` do, without a C compiler: for `node --import`. It wraps the calls of Node that put
 * the WAL on disk (libuv's fdatasync), the writes of sockets and the database driver, and obeys the same variables:
 * SHIM_LOG, SHIM_DELAY_US, SHIM_BROKEN and SHIM_FULL. What was written to the WAL is read from the file when its fdatasync
 * begins, so its `W` lines stand right before an `S`; a full disk is a database that may not grow.
 */
import SqliteDatabase from 'better-sqlite3';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';

const { SHIM_LOG: logPath, SHIM_BROKEN: broken, SHIM_FULL: full } = process.env;
const delayMs = Number(process.env['SHIM_DELAY_US'] ?? 0) / 1000;
const real = { fdatasync: fs.fdatasync, fdatasyncSync: fs.fdatasyncSync };

const log = logPath === undefined ? undefined : fs.openSync(logPath, 'a', 0o600);
const note = (line: string): void => {
  if (log !== undefined) fs.writeSync(log, `${line}\n`);
};

const pathOf = (file: number): string => fs.readlinkSync(`/proc/self/fd/${file}`);
const isWal = (file: number): boolean => process.platform !== 'linux' || pathOf(file).endsWith('-wal');

const noted = new Set<string>();
function noteMarkers(file: number): void {
  if (log === undefined) return;
  const bytes = Buffer.alloc(fs.fstatSync(file).size);
  fs.readSync(file, bytes, 0, bytes.length, 0);
  for (const [, marker = ''] of bytes.toString('latin1').matchAll(/marker-(\d+);/g)) {
    if (!noted.has(marker)) note(`W ${marker}`);
    noted.add(marker);
  }
}

const failure = (): NodeJS.ErrnoException | undefined =>
  broken !== undefined && fs.existsSync(broken)
    ? Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', errno: -5, syscall: 'fdatasync' })
    : undefined;

function fdatasync(file: number, callback: fs.NoParamCallback): void {
  if (!isWal(file)) return real.fdatasync(file, callback);
  noteMarkers(file);
  note('S');
  const ended: fs.NoParamCallback = (error) => {
    note('E');
    callback(error);
  };
  const begin = (): void => {
    const error = failure();
    if (error === undefined) real.fdatasync(file, ended);
    else ended(error);
  };
  if (delayMs > 0) setTimeout(begin, delayMs);
  else begin();
}

function fdatasyncSync(file: number): void {
  if (!isWal(file)) return real.fdatasyncSync(file);
  noteMarkers(file);
  note('S');
  if (delayMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
  const error = failure();
  if (error === undefined) real.fdatasyncSync(file);
  note('E');
  if (error !== undefined) throw error;
}

// The types of `fs` know of a form with promises that nobody calls here.
Object.assign(fs, { fdatasync, fdatasyncSync });
syncBuiltinESMExports();

/** Has `look` see each call of a method before it happens. */
function watch(object: object, name: string, look: (self: unknown, args: readonly unknown[]) => void): void {
  const method: unknown = Reflect.get(object, name);
  if (typeof method !== 'function') throw new Error(`${name} is no method`);
  const apply = (target: typeof method, self: unknown, args: readonly unknown[]): unknown => {
    look(self, args);
    return Reflect.apply(target, self, args);
  };
  Reflect.set(object, name, new Proxy(method, { apply }));
}

type Chunk = Buffer | string;

function noteAnswer(chunks: readonly Chunk[]): void {
  const text = chunks.map((chunk) => chunk.toString('latin1')).join('');
  const event = text.startsWith('HTTP/1.1 200 OK') ? /"event_id":"([^"]*)"/.exec(text)?.[1] : undefined;
  if (event !== undefined) note(`R ${event}`);
}

if (log !== undefined) {
  watch(Socket.prototype, '_write', (_socket, [chunk]) => noteAnswer([chunk as Chunk]));
  watch(Socket.prototype, '_writev', (_socket, [chunks]) =>
    noteAnswer((chunks as readonly { chunk: Chunk }[]).map(({ chunk }) => chunk)),
  );
}

if (full !== undefined) {
  const mostPages = 0xff_ff_ff_fe;
  const statements = Object.getPrototypeOf(new SqliteDatabase(':memory:').prepare('SELECT 1')) as object;
  watch(statements, 'run', (self) => {
    const { source, database } = self as SqliteDatabase.Statement;
    // Fewer pages than there are means: no more than there are.
    if (source === 'BEGIN IMMEDIATE') database.pragma(`max_page_count = ${fs.existsSync(full) ? 1 : mostPages}`);
  });
}
