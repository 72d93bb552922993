/** What a lagging consumer is, and where it stands in the log. */
import { sql, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import { Parking, loggedOf, type LogRow } from './parking.ts';
import type { StoredEntry } from './topics.ts';

/** What a consumer does with the log. All of it runs within a transaction that also keeps the position. */
export interface Consumer {
  readonly name: string;
  /** To be raised when the tables' content changes its meaning: they are then made anew. */
  readonly version: number;
  /** What an entry is about, for parking; undefined: the consumer has no use for it. */
  keyOf(entry: StoredEntry): string | undefined;
  /** Applies an entry; one that was applied before changes nothing. */
  apply(tx: Tx, entry: StoredEntry, position: Position): void;
  /** Does a part of what entries left over, which is too much for one transaction; true while there is more. */
  continue?(tx: Tx): boolean;
  /** What verification needs to hold the tables against a rebuild; without it they are not looked at. */
  readonly contents?: ConsumerContents;
  /** Empties the tables. */
  clear(tx: Tx): void;
  /** Makes a part of the tables from the other ones, from `cursor` (0: the start) on; returns where the next part begins. */
  rebuild(tx: Tx, cursor: number): number | undefined;
}

/** How to see whether two ways have led to the same tables. */
export interface ConsumerContents {
  /** All that the consumer keeps. */
  readonly tables: readonly string[];
  /** The full-text one among them. */
  readonly text: string;
  /**
   * A query for (what, value) over the tables of `schema`; `words` is the table of (doc, col, term, offset) of the text.
   * Numbers that depend on the order of arrival must not show in it.
   */
  readonly query: (schema: string, words: string) => string;
  /** More than the log must be got through before the tables are whole. */
  readonly isBehind?: (snapshot: Snapshot) => boolean;
}

export const selectConsumer = sql<[name: string], { position: Position; version: number; cursor: number | null }>(
  'SELECT position, version, cursor FROM bus_consumers WHERE name = ?',
);
export const upsertConsumer = sql<[name: string, position: number, version: number, cursor: number | null]>(
  `INSERT INTO bus_consumers (name, position, version, cursor) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET position = excluded.position, version = excluded.version, cursor = excluded.cursor`,
);
export const updatePosition = sql<[position: number, name: string]>(
  'UPDATE bus_consumers SET position = ? WHERE name = ?',
);
export const updateCursor = sql<[cursor: number | null, name: string]>(
  'UPDATE bus_consumers SET cursor = ? WHERE name = ?',
);
export const selectBatch = sql<[after: number, limit: number], LogRow>(
  'SELECT position, topic, body FROM bus_log WHERE position > ? ORDER BY position LIMIT ?',
);

/** Whether a consumer has something left to do: then its tables need not be what a rebuild would make of them. */
export function isBehind(snapshot: Snapshot, consumer: Consumer): boolean {
  const row = snapshot.get(selectConsumer, consumer.name);
  if (row === undefined || row.cursor !== null || row.version !== consumer.version) return true;
  if (new Parking(consumer.name).keys(snapshot).size > 0) return true;
  const unapplied = snapshot.all(selectBatch, row.position, Number.MAX_SAFE_INTEGER);
  return unapplied.some((each) => consumer.keyOf(loggedOf(each).entry) !== undefined);
}
