/** The rows that the event graph is walked by: edges, prev events that are missing, forward extremities (INVARIANTS 10). */
import { type DerivedRow, DerivedTable } from '../../storage/index.ts';
import { hasAcceptedDescendant } from '../input/extremities.ts';
import { storedId } from '../storage/nids.ts';
import { type Verification, compareRows, isAccepted, isReal } from './verification.ts';

const edgeRows = new DerivedTable({ table: 'room_edges', what: 'edge', key: ['parent', 'child'] });
const missingRows = new DerivedTable({
  table: 'room_missing',
  what: 'missing prev event',
  key: ['room', 'event_id', 'child'],
});
const extremityRows = new DerivedTable({
  table: 'room_extremities',
  what: 'forward extremity',
  key: ['room', 'event'],
});

export function verifyEdges({ stores, snapshot, room, events, differs }: Verification): void {
  const missing: DerivedRow[] = [];
  const expected: DerivedRow[] = [];
  for (const meta of events.values()) {
    if (!isReal(meta)) continue;
    for (const id of new Set(stores.events.parsed(snapshot, meta.nid, room.rules).prevEvents)) {
      const prev = events.get(stores.events.nidOf(snapshot, id));
      if (prev === undefined || prev.snapshot === 0) missing.push([room.nid, storedId(id), meta.nid]);
      else expected.push([prev.nid, meta.nid]);
    }
  }
  const stored = stores.graph.missing(snapshot, room.nid);
  compareRows(
    differs,
    missingRows,
    stored.map((row) => [room.nid, row.event_id, row.child]),
    missing,
  );
  const edges: DerivedRow[] = [];
  for (const nid of events.keys()) {
    for (const child of stores.graph.children(snapshot, nid)) edges.push([nid, child]);
  }
  compareRows(differs, edgeRows, edges, expected);
}

export function verifyExtremities({ stores, snapshot, room, events, differs }: Verification): void {
  const { begins } = stores.rooms.head(snapshot, room.nid);
  const expected: DerivedRow[] = [];
  for (const meta of events.values()) {
    if (!isAccepted(meta) || (meta.place?.live === 1 && meta.place.slot < begins)) continue;
    if (!hasAcceptedDescendant(stores, snapshot, meta.nid)) expected.push([room.nid, meta.nid]);
  }
  const stored = stores.graph.extremities(snapshot, room.nid);
  compareRows(
    differs,
    extremityRows,
    stored.map((nid) => [room.nid, nid]),
    expected,
  );
}
