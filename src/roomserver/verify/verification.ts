/**
 * What a look at one room works with: the stores, one consistent view of the database, the room's events, and whom to tell
 * of a difference. The same functions verify (differences become lines) and repair (derived rows are made right).
 */
import type { DerivedRow, DerivedTable, Snapshot, Tx } from '../../storage/index.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Room } from '../types.ts';

/** Takes note of a difference; `repair` makes what is stored right, where it is derived from what is not in doubt. */
export type Differs = (what: string, repair?: (tx: Tx) => void) => void;

export interface Verification {
  readonly stores: Stores;
  readonly snapshot: Snapshot;
  readonly room: Room;
  /** All events of the room by NID, ascending. */
  readonly events: ReadonlyMap<EventNid, EventMeta>;
  readonly differs: Differs;
}

export const isReal = ({ flags }: EventMeta): boolean => (flags & flag.outlier) === 0;
export const isAccepted = ({ flags }: EventMeta): boolean =>
  (flags & (flag.outlier | flag.rejected | flag.softFailed)) === 0;

/** Holds derived rows against what they should be. `label` names a row by other means than its key. */
export function compareRows(
  differs: Differs,
  table: DerivedTable,
  stored: Iterable<DerivedRow>,
  expected: Iterable<DerivedRow>,
  label?: (key: DerivedRow) => string,
): void {
  for (const difference of table.differences(stored, expected)) {
    differs(table.describe(difference, label), (tx) => table.repair(tx, difference));
  }
}

/** Notes every key in which two maps of facts differ. */
export function compareMaps<K, V>(
  differs: Differs,
  what: string,
  stored: ReadonlyMap<K, V>,
  expected: ReadonlyMap<K, V>,
): void {
  for (const key of new Set([...stored.keys(), ...expected.keys()])) {
    const [have, want] = [stored.get(key), expected.get(key)];
    if (have !== want) differs(`${what} ${String(key)}: stored ${text(have)}, should be ${text(want)}`);
  }
}

const text = (value: unknown): string => (value === undefined ? 'nothing' : String(value));
