/**
 * Garbage collection of state (INVARIANTS 14): a snapshot or block goes when two passes, ten minutes apart, found nothing
 * that names it. A pass reads in slices from a snapshot of the database; what is named anew meanwhile is noted by the
 * store and spared.
 */
import { type Database, type Snapshot, sql, type Tx } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import { unpackList } from '../../util/varint.ts';
import type { Stores } from '../stores.ts';
import { emptySnapshot } from './snapshots.ts';

/** Time between the pass that first finds something unreferenced and the one that deletes it, in ms. */
const graceMs = 10 * 60_000;
const pageSize = 2_000;
/** Rows deleted in one transaction. */
const deletedAtOnce = 1_000;

const garbage = { block: 0, snapshot: 1 } as const;
type Kind = keyof typeof garbage;

const selectEventStates = sql<[after: number, limit: number], { nid: number; snapshot: number; state_after: number }>(
  'SELECT nid, snapshot, state_after FROM room_events WHERE nid > ? ORDER BY nid LIMIT ?',
);
const selectRoomStates = sql<[], { snapshot: number }>('SELECT snapshot FROM room_rooms');
const selectPartialStates = sql<[], { snapshot: number; state_after: number }>(
  'SELECT snapshot, state_after FROM room_partial_results',
);
const selectHistoryStates = sql<[room: number, position: number, limit: number], HistoryRow>(
  `SELECT room, position, snapshot FROM room_state_history WHERE (room, position) > (?, ?)
   ORDER BY room, position LIMIT ?`,
);
const selectSnapshots = sql<[after: number, limit: number], { nid: number; blocks: Uint8Array }>(
  'SELECT nid, blocks FROM room_snapshots WHERE nid > ? ORDER BY nid LIMIT ?',
);
const selectBlocks = sql<[after: number, limit: number], { nid: number }>(
  'SELECT nid FROM room_blocks WHERE nid > ? ORDER BY nid LIMIT ?',
);
const selectGarbage = sql<[kind: number], { nid: number; seen_at: number }>(
  'SELECT nid, seen_at FROM room_garbage WHERE kind = ?',
);
const insertGarbage = sql<[kind: number, nid: number, at: number]>(
  'INSERT OR IGNORE INTO room_garbage (kind, nid, seen_at) VALUES (?, ?, ?)',
);
const deleteGarbage = sql<[kind: number, nid: number]>('DELETE FROM room_garbage WHERE kind = ? AND nid = ?');
const deleteSnapshot = sql<[nid: number]>('DELETE FROM room_snapshots WHERE nid = ?');
const deleteBlock = sql<[nid: number]>('DELETE FROM room_blocks WHERE nid = ?');

interface HistoryRow {
  readonly room: number;
  readonly position: number;
  readonly snapshot: number;
}

/** One bit per number. */
class Bits {
  #bytes = new Uint8Array(1024);

  add(nid: number): void {
    const index = nid >>> 3;
    if (index >= this.#bytes.length) {
      const grown = new Uint8Array(Math.max(index + 1, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[index] = (this.#bytes[index] ?? 0) | (1 << (nid & 7));
  }

  has(nid: number): boolean {
    return ((this.#bytes[nid >>> 3] ?? 0) & (1 << (nid & 7))) !== 0;
  }
}

/** How many rows a pass deleted. */
export interface Collected {
  readonly snapshots: number;
  readonly blocks: number;
}

/** One pass over all state. @param now ms */
export async function collectState(db: Database, stores: Stores, now: number): Promise<Collected> {
  const used = stores.states.noteUses();
  try {
    const found = await db.snapshot((snapshot) => findUnreferenced(snapshot));
    return {
      snapshots: await sweep(db, stores, 'snapshot', found.snapshots, used.snapshots, now),
      blocks: await sweep(db, stores, 'block', found.blocks, used.blocks, now),
    };
  } finally {
    used.end();
  }
}

async function findUnreferenced(snapshot: Snapshot): Promise<{ snapshots: number[]; blocks: number[] }> {
  const slice = new Slice();
  const named = await namedSnapshots(snapshot, slice);
  const namedBlocks = new Bits();
  const snapshots: number[] = [];
  await pages(slice, selectSnapshots, snapshot, ({ nid, blocks }) => {
    if (!named.has(nid)) snapshots.push(nid);
    // A snapshot that still has its row keeps its blocks; they go at a later pass.
    for (const block of unpackList(blocks)) namedBlocks.add(block);
  });
  const blocks: number[] = [];
  await pages(slice, selectBlocks, snapshot, ({ nid }) => {
    if (!namedBlocks.has(nid)) blocks.push(nid);
  });
  return { snapshots, blocks };
}

async function namedSnapshots(snapshot: Snapshot, slice: Slice): Promise<Bits> {
  const named = new Bits();
  named.add(emptySnapshot);
  for (const row of snapshot.all(selectRoomStates)) named.add(row.snapshot);
  await pages(slice, selectEventStates, snapshot, (row) => {
    named.add(row.snapshot);
    named.add(row.state_after);
  });
  for (const row of snapshot.all(selectPartialStates)) {
    named.add(row.snapshot);
    named.add(row.state_after);
  }
  let last: HistoryRow | undefined;
  do {
    const rows = snapshot.all(selectHistoryStates, last?.room ?? 0, last?.position ?? 0, pageSize);
    for (const row of rows) named.add(row.snapshot);
    last = rows.at(-1);
    await slice.tick();
  } while (last !== undefined);
  return named;
}

async function pages<R extends { readonly nid: number }>(
  slice: Slice,
  statement: ReturnType<typeof sql<[after: number, limit: number], R>>,
  snapshot: Snapshot,
  visit: (row: R) => void,
): Promise<void> {
  let after = 0;
  for (;;) {
    const rows = snapshot.all(statement, after, pageSize);
    for (const row of rows) visit(row);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.nid;
    await slice.tick();
  }
}

/** Deletes what was found before and is found again, notes what is found for the first time, forgets what is in use. */
async function sweep(
  db: Database,
  stores: Stores,
  kind: Kind,
  found: readonly number[],
  used: ReadonlySet<number>,
  now: number,
): Promise<number> {
  const code = garbage[kind];
  const before = new Map(db.read((snapshot) => snapshot.all(selectGarbage, code)).map((row) => [row.nid, row.seen_at]));
  const unreferenced = new Set(found);
  const again = [...before.keys()].filter((nid) => !unreferenced.has(nid));
  let deleted = 0;
  const work = [...unreferenced, ...again];
  for (let at = 0; at < work.length; at += deletedAtOnce) {
    const page = work.slice(at, at + deletedAtOnce);
    deleted += await db.write((tx) => {
      const gone = page.filter((nid) => {
        const isFree = unreferenced.has(nid) && !used.has(nid);
        const seenAt = before.get(nid);
        if (!isFree) tx.run(deleteGarbage, code, nid);
        else if (seenAt === undefined) tx.run(insertGarbage, code, nid, now);
        return isFree && seenAt !== undefined && seenAt <= now - graceMs;
      });
      deleteRows(tx, stores, kind, gone);
      return gone.length;
    });
  }
  return deleted;
}

function deleteRows(tx: Tx, stores: Stores, kind: Kind, nids: readonly number[]): void {
  for (const nid of nids) {
    tx.run(kind === 'snapshot' ? deleteSnapshot : deleteBlock, nid);
    tx.run(deleteGarbage, garbage[kind], nid);
  }
  if (kind === 'snapshot') stores.states.forget([], nids);
  else stores.states.forget(nids, []);
}
