/**
 * State storage: bytes and time per state event in rooms of growing size with the state of every event kept, and the
 * times of a full read, of one key, and of a difference. Run: `node test/bench/state.ts [members …]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptySnapshot, StateStore } from '../../src/roomserver/state/snapshots.ts';
import { Counter } from '../../src/roomserver/storage/nids.ts';
import type { SnapshotNid } from '../../src/roomserver/types.ts';
import { openDatabase, sql } from '../../src/storage/index.ts';

const bytesOf = (table: string) =>
  sql<[], { bytes: number }>(`SELECT sum(pgsize) AS bytes FROM dbstat WHERE name LIKE '${table}%'`);
const tables = [bytesOf('room_blocks'), bytesOf('room_snapshots')];
const batch = 500;

const percentile = (values: number[], part: number): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length * part)] ?? 0;

function timed(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

async function measure(members: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-bench-'));
  const db = openDatabase({
    path: join(folder, 'bench.db'),
    migrations: new URL('../../migrations', import.meta.url).pathname,
    onFatal: (error) => {
      throw error;
    },
  });
  const states = new StateStore({ blockNids: new Counter(0), snapshotNids: new Counter(1) });
  const made: SnapshotNid[] = [];
  let state: SnapshotNid = emptySnapshot;
  let event = 0;
  let random = 1;
  const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
  const changes = Math.max(5_000, members / 10);
  let appendMs = 0;
  let lateMs = 0;
  while (event < members + changes) {
    const started = performance.now();
    const to = Math.min(members + changes, event + batch);
    await db.write((tx) => {
      for (; event < to;) {
        event += 1;
        // Members join one after another, then any of them changes the profile; a fifth of events are messages between.
        const key = event <= members ? event + 1 : next(members) + 2;
        state = states.append(tx, state, 2, key, event + Math.floor(event / 5));
        made.push(state);
      }
    });
    const elapsed = performance.now() - started;
    appendMs += elapsed;
    if (event > members) lateMs += elapsed;
  }
  const bytes = db.read((snapshot) => tables.reduce((sum, table) => sum + (snapshot.get(table)?.bytes ?? 0), 0));
  // Readers of their own start with empty caches.
  const cold = new StateStore({ blockNids: new Counter(0), snapshotNids: new Counter(1) });
  const times = db.read((snapshot) => {
    const first = timed(() => void cold.entries(snapshot, state));
    const full = Array.from({ length: 20 }, () => timed(() => void cold.entries(snapshot, state)));
    const single = Array.from({ length: 2_000 }, () =>
      timed(() => void cold.get(snapshot, state, 2, next(members) + 2)),
    );
    const difference = Array.from({ length: 500 }, () => {
      const at = 20 + next(made.length - 20);
      return timed(() => void cold.difference(snapshot, made[at - 20] ?? state, made[at] ?? state));
    });
    const longest = made.reduce((most, nid) => Math.max(most, states.blockList(snapshot, nid).length), 0);
    return { first, full, single, difference, longest };
  });
  const us = (ms: number): string => `${(ms * 1000).toFixed(1)} us`;
  console.log(
    [
      `${members} members:`,
      `${(bytes / event).toFixed(1)} B per state event,`,
      `append ${us(appendMs / event)} (last ${changes}: ${us(lateMs / changes)}),`,
      `full read first ${times.first.toFixed(2)} ms, again ${percentile(times.full, 0.5).toFixed(2)} ms,`,
      `one key ${us(percentile(times.single, 0.5))},`,
      `difference over 20 p50 ${us(percentile(times.difference, 0.5))} p99 ${us(percentile(times.difference, 0.99))},`,
      `at most ${times.longest} blocks`,
    ].join(' '),
  );
  await db.close();
  rmSync(folder, { recursive: true, force: true });
}

const sizes = process.argv.slice(2).map(Number);
for (const members of sizes.length > 0 ? sizes : [1_000, 10_000, 100_000]) await measure(members);
