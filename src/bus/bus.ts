/**
 * The output log and its voice (DESIGN §4). `append` writes an entry in the transaction of what it describes and runs
 * the inline projections there; once the commit is visible the entry joins the in-memory tail, and once it is on disk
 * the listeners are told, in Position order.
 */
import { asPosition, sql, type Database, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import type { EphemeralEntry, Entry, StoredEntry } from './topics.ts';

export interface Logged {
  readonly position: Position;
  readonly entry: Entry;
}

/** An essential projection: applied in the entry's own transaction, fails its unit when it throws. */
export interface Projection {
  readonly name: string;
  apply(tx: Tx, entry: StoredEntry, position: Position): void;
}

/** How many entries the in-memory tail holds. */
const tailSize = 20_000;
/** How many entries the log table keeps behind the newest one. */
const keptRows = 20_000;
const insertEntry = sql<[position: number, topic: string, body: string]>(
  'INSERT INTO bus_log (position, topic, body) VALUES (?, ?, ?)',
);
const selectTail = sql<[limit: number], { position: number; topic: string; body: string }>(
  'SELECT position, topic, body FROM bus_log ORDER BY position DESC LIMIT ?',
);
/** Rows deleted in one unit of work, so that a long backlog never makes a long commit. */
const trimmedRows = 2000;
const selectTrimBound = sql<[kept: number], { bound: number | null }>(
  `SELECT min((SELECT position FROM bus_log ORDER BY position DESC LIMIT 1 OFFSET ?),
   coalesce((SELECT min(position) FROM bus_consumers), 9007199254740991)) AS bound`,
);
const deleteOld = sql<[bound: number, limit: number]>(
  'DELETE FROM bus_log WHERE position IN (SELECT position FROM bus_log WHERE position <= ? ORDER BY position LIMIT ?)',
);

export class Bus {
  readonly #db: Database;
  readonly #projections: Projection[] = [];
  readonly #listeners: ((entries: readonly Logged[]) => void)[] = [];
  readonly #tail: Logged[] = [];
  /** Positions up to this one are not in the tail (dropped, or from before this process). */
  #tailStart: Position;

  constructor(db: Database) {
    this.#db = db;
    const rows = db.read((snapshot: Snapshot) => snapshot.all(selectTail, tailSize)).reverse();
    for (const { position, topic, body } of rows) {
      this.#tail.push({ position: asPosition(position), entry: { topic, ...JSON.parse(body) } as StoredEntry });
    }
    // Ephemeral entries of an earlier process are gone; what they told is sent anew as last values (INVARIANTS 1).
    this.#tailStart = asPosition(rows.length < tailSize ? 0 : (rows[0]?.position ?? 0));
  }

  /** Adds a projection; they run in the order in which they were added, which is the order of the modules. */
  addProjection(projection: Projection): void {
    this.#projections.push(projection);
  }

  /** Calls `listener` with every batch of entries that has reached the disk (or lives in memory only). */
  addListener(listener: (entries: readonly Logged[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Writes an entry within the transaction of what it describes. `position`: one taken from `tx` before. */
  append(tx: Tx, entry: StoredEntry, position: Position = tx.nextPosition()): Position {
    const { topic, ...body } = entry;
    tx.run(insertEntry, position, topic, JSON.stringify(body));
    touchKeys(tx, entry);
    for (const projection of this.#projections) projection.apply(tx, entry, position);
    const logged: Logged = { position, entry };
    tx.afterCommit(() => this.#push(logged));
    tx.afterDurable(() => this.#tell(logged));
    return position;
  }

  /** Announces something that lives in memory: the caller has changed its memory in this same turn. */
  publish(entry: EphemeralEntry): Position {
    const logged: Logged = { position: this.#db.nextEphemeralPosition(), entry };
    this.#push(logged);
    this.#tell(logged);
    return logged.position;
  }

  /** The entries after `since` up to `head`, oldest first; undefined when the tail does not reach back that far. */
  between(since: Position, head: Position): Logged[] | undefined {
    if (since < this.#tailStart) return undefined;
    let start = this.#tail.length;
    while (start > 0) {
      const entry = this.#tail[start - 1];
      if (entry === undefined || entry.position <= since) break;
      start -= 1;
    }
    const entries = this.#tail.slice(start);
    while ((entries.at(-1)?.position ?? 0) > head) entries.pop();
    return entries;
  }

  /** Deletes log rows that neither the window nor a lagging consumer needs; a background task calls it. */
  async trim(signal?: AbortSignal): Promise<void> {
    const bound = this.#db.read((snapshot) => snapshot.get(selectTrimBound, keptRows)?.bound) ?? 0;
    let deleted = trimmedRows;
    while (deleted === trimmedRows && signal?.aborted !== true) {
      deleted = await this.#db.write((tx) => tx.run(deleteOld, bound, trimmedRows).changes);
    }
  }

  #push(logged: Logged): void {
    this.#tail.push(logged);
    if (this.#tail.length > tailSize * 1.25) {
      const dropped = this.#tail.splice(0, this.#tail.length - tailSize);
      this.#tailStart = dropped.at(-1)?.position ?? this.#tailStart;
    }
  }

  #batch: Logged[] = [];

  /** Entries of one commit are told together: wakes are coalesced. */
  #tell(logged: Logged): void {
    if (this.#batch.push(logged) > 1) return;
    queueMicrotask(() => {
      const batch = this.#batch;
      this.#batch = [];
      for (const listener of this.#listeners) listener(batch);
    });
  }
}

/** The names under which a reader may be shown what this entry tells of (`Shown.key`). */
function touchKeys(tx: Tx, entry: StoredEntry): void {
  if ('room' in entry) tx.touch(`room:${entry.room}`);
  if ('user' in entry) tx.touch(`user:${entry.user}`);
}
