/** Derived rows that hang on no room or event at all. */
import { type Snapshot, type SqlStatement, sql } from '../../storage/index.ts';
import type { Differs } from './verification.ts';

const strays: readonly { readonly what: string; readonly select: Select; readonly remove: Remove | undefined }[] = [
  stray('edges', 'room_edges', 'parent NOT IN (SELECT nid FROM room_events)'),
  stray('edges', 'room_edges', 'child NOT IN (SELECT nid FROM room_events)'),
  stray('redaction marks', 'room_redactions', 'redaction NOT IN (SELECT nid FROM room_events)'),
  stray('missing prev events', 'room_missing', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('forward extremities', 'room_extremities', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('rows of current states', 'room_state', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('members', 'room_members', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('servers', 'room_servers', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('hosts', 'room_hosts', 'room NOT IN (SELECT nid FROM room_rooms)'),
  stray('verdicts', 'room_verdicts', 'event NOT IN (SELECT nid FROM room_events)'),
  // What an event says is no derived row: it is named and left.
  { ...stray('texts', 'room_event_json', 'nid NOT IN (SELECT nid FROM room_events)'), remove: undefined },
];

type Select = SqlStatement<[], { count: number }>;
type Remove = SqlStatement<[], never>;

function stray(what: string, table: string, condition: string): (typeof strays)[number] {
  return {
    what,
    select: sql(`SELECT count(*) AS count FROM ${table} WHERE ${condition}`),
    remove: sql(`DELETE FROM ${table} WHERE ${condition}`),
  };
}

export function verifyStrays(snapshot: Snapshot, differs: Differs): void {
  for (const { what, select, remove } of strays) {
    const count = snapshot.get(select)?.count ?? 0;
    if (count > 0) differs(`${count} ${what} hang on nothing`, remove && ((tx) => void tx.run(remove)));
  }
}
