/** Entries of the log that a consumer could not apply, in order per key, with the reason (INVARIANTS 6). */
import { asPosition, sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { Logged } from './bus.ts';
import type { StoredEntry } from './topics.ts';

/** A row of the log as it is stored. */
export interface LogRow {
  readonly position: number;
  readonly topic: string;
  readonly body: string;
}

const insertParked = sql<
  [consumer: string, key: string, position: number, topic: string, body: string, reason: string]
>(
  `INSERT INTO bus_parked (consumer, key, position, topic, body, reason) VALUES (?, ?, ?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET reason = excluded.reason`,
);
const selectKeys = sql<[consumer: string], { key: string; parked: number }>(
  'SELECT key, count(*) AS parked FROM bus_parked WHERE consumer = ? GROUP BY key',
);
const selectFirst = sql<[consumer: string, key: string], LogRow>(
  'SELECT position, topic, body FROM bus_parked WHERE consumer = ? AND key = ? ORDER BY position LIMIT 1',
);
const updateReason = sql<[reason: string, consumer: string, key: string, position: number]>(
  'UPDATE bus_parked SET reason = ? WHERE consumer = ? AND key = ? AND position = ?',
);
const deleteParked = sql<[consumer: string, key: string, position: number]>(
  'DELETE FROM bus_parked WHERE consumer = ? AND key = ? AND position = ?',
);
const deleteAll = sql<[consumer: string]>('DELETE FROM bus_parked WHERE consumer = ?');

export class Parking {
  readonly #consumer: string;

  constructor(consumer: string) {
    this.#consumer = consumer;
  }

  /** How many entries of each key wait. */
  keys(snapshot: Snapshot): Map<string, number> {
    return new Map(snapshot.all(selectKeys, this.#consumer).map(({ key, parked }) => [key, parked]));
  }

  /** @param reason empty when the entry waits behind another */
  park(tx: Tx, key: string, { position, topic, body }: LogRow, reason: string): void {
    tx.run(insertParked, this.#consumer, key, position, topic, body, reason);
  }

  /** The entry of a key that comes first. */
  first(snapshot: Snapshot, key: string): (Logged & { readonly entry: StoredEntry }) | undefined {
    const row = snapshot.get(selectFirst, this.#consumer, key);
    return row === undefined ? undefined : loggedOf(row);
  }

  failedAgain(tx: Tx, key: string, position: number, reason: string): void {
    tx.run(updateReason, reason, this.#consumer, key, position);
  }

  remove(tx: Tx, key: string, position: number): void {
    tx.run(deleteParked, this.#consumer, key, position);
  }

  clear(tx: Tx): void {
    tx.run(deleteAll, this.#consumer);
  }
}

export const loggedOf = ({ position, topic, body }: LogRow): Logged & { readonly entry: StoredEntry } => ({
  position: asPosition(position),
  entry: { topic, ...JSON.parse(body) } as StoredEntry,
});
