/** What a verification works with: the stores, one snapshot of the database, and the list of differences found. */
import type { Snapshot } from '../../storage/index.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Room } from '../types.ts';

export interface Verification {
  readonly stores: Stores;
  readonly snapshot: Snapshot;
  readonly room: Room;
  /** All events of the room by NID, ascending. */
  readonly events: ReadonlyMap<EventNid, EventMeta>;
  /** Notes one difference. */
  readonly differs: (what: string) => void;
}

/** Notes every key in which two maps differ, as `what key: stored x, should be y`. */
export function compareMaps<K, V>(
  differs: (what: string) => void,
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
