/**
 * Transaction ids (C-S API v1.19 §Transaction identifiers; INVARIANTS 4). The kernel looks recorded answers up and joins
 * duplicates in flight; the record itself is inserted by the handler's own transaction, through the value handed down.
 */
import { setImmediate as immediate } from 'node:timers/promises';
import { sql, type Database, type Shown, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { JsonText, Reply, type Requester, type Route, type TransactionRecord } from './route.ts';

const selectTransaction = sql<[owner: string, path: string], { status: number; body: string }>(
  'SELECT status, body FROM http_transactions WHERE owner = ? AND path = ?',
);
const insertTransaction = sql<[owner: string, path: string, status: number, body: string, at: number]>(
  'INSERT INTO http_transactions (owner, path, status, body, created_at) VALUES (?, ?, ?, ?, ?)',
);
const deleteByOwner = sql<[owner: string]>('DELETE FROM http_transactions WHERE owner = ?');
const deleteByUser = sql<[from: string, to: string]>('DELETE FROM http_transactions WHERE owner >= ? AND owner < ?');
const selectNext = sql<
  [owner: string, path: string, limit: number],
  { owner: string; path: string; created_at: number }
>(`SELECT owner, path, created_at FROM http_transactions WHERE (owner, path) > (?, ?) ORDER BY owner, path LIMIT ?`);
const deleteTransaction = sql<[owner: string, path: string]>(
  'DELETE FROM http_transactions WHERE owner = ? AND path = ?',
);

/** A recorded answer is kept this long: no client repeats a request later. */
const keptMs = 30 * 86_400_000;
/** Records that are looked at in one turn of the event loop. */
const pruneSize = 500;

const ownerOf = (userId: string, deviceId: string | undefined): string => `${userId}\n${deviceId ?? ''}`;

/** Records die with their device; without a device id those of all the user's devices go. */
export function deleteTransactions(tx: Tx, userId: string, deviceId?: string): void {
  if (deviceId !== undefined) tx.run(deleteByOwner, ownerOf(userId, deviceId));
  // User ids hold no control characters: between line feed and vertical tab stand exactly this user's owners.
  else tx.run(deleteByUser, `${userId}\n`, `${userId}\v`);
}

/**
 * Forgets records that nobody will ask for again; a background task calls it once a day. It walks through all: an index by
 * age would cost every request a page of the disk.
 */
export async function pruneTransactions(db: Database, clock: Clock, signal?: AbortSignal): Promise<void> {
  const before = clock.now() - keptMs;
  let last = { owner: '', path: '' };
  for (;;) {
    const rows = db.read((snapshot) => snapshot.all(selectNext, last.owner, last.path, pruneSize));
    const end = rows.at(-1);
    if (end === undefined || signal?.aborted === true) return;
    last = end;
    const old = rows.filter((row) => row.created_at < before);
    if (old.length === 0) await immediate();
    else await db.write((tx) => old.forEach(({ owner, path }) => tx.run(deleteTransaction, owner, path)));
  }
}

/** The path of a request without what may differ between two spellings of it: API version, aliases, escapes. */
function canonicalPath(route: Route, params: Readonly<Record<string, string>>): string {
  const path = route.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
  return `${route.method} ${path}`;
}

/** Runs handlers of rows with a transaction id so that each request has its effect once. */
export class Idempotency {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #inFlight = new Map<string, Promise<unknown>>();

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** Requests under way whose repetition would wait for them. */
  get size(): number {
    return this.#inFlight.size;
  }

  /**
   * Answers from the record or from the same request in flight, else runs `handle`. A request whose forerunner failed
   * runs itself.
   */
  async run(
    route: Route,
    params: Readonly<Record<string, string>>,
    requester: Requester,
    shown: Shown,
    handle: (record: TransactionRecord) => Promise<unknown>,
  ): Promise<unknown> {
    const owner = ownerOf(requester.userId, requester.deviceId);
    const path = canonicalPath(route, params);
    const key = `${owner}\n${path}`;
    for (;;) {
      const running = this.#inFlight.get(key);
      if (running === undefined) break;
      const outcome = await running.then(
        (value) => ({ value }),
        () => undefined,
      );
      if (outcome !== undefined && isSuccess(outcome.value)) return outcome.value;
    }
    const recorded = this.#db.read((snapshot) => snapshot.get(selectTransaction, owner, path));
    if (recorded !== undefined) {
      shown.key(`transaction:${key}`);
      return new Reply(recorded.status, new JsonText([recorded.body]));
    }
    const id = params[route.transaction ?? ''] ?? '';
    const work = handle({ id, record: (tx, body) => this.#record(tx, owner, path, body) });
    this.#inFlight.set(key, work);
    try {
      return await work;
    } finally {
      this.#inFlight.delete(key);
    }
  }

  #record(tx: Tx, owner: string, path: string, body: unknown): void {
    tx.run(insertTransaction, owner, path, 200, JSON.stringify(body), this.#clock.now());
    tx.touch(`transaction:${owner}\n${path}`);
  }
}

const isSuccess = (value: unknown): boolean => !(value instanceof Reply) || (value.status >= 200 && value.status < 300);
