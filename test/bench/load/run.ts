/**
 * `npm run bench [-- --peer URL [--peer-pid PID] [--peer-data PATH]] [--only TEXT] [--rounds N] [--rooms N] …`
 *
 * Runs every scenario on this server and, with a peer, the very same load on it in turns A B A B; prints a table of
 * medians with the ratio of each pair (above 1: this server is better) and its range, and the same as JSON (`--json`).
 * `--grow`, `--cold-start EVENTS`, `--memory` and `--slow-fsync` run what is for this server alone in place of that;
 * `--scale` makes the big sizes of the first and third smaller.
 */
import { parseArgs } from 'node:util';
import { measureColdStart } from './cold-start.ts';
import { growthSizes, measureGrowth } from './grow.ts';
import { measureMemory } from './memory.ts';
import { line, ownRow, table, type Row } from './rows.ts';
import { scenarios } from './scenarios.ts';
import { type Measure, type Scenario, type Size } from './scenario.ts';
import { measureSlowFsync } from './slow-fsync.ts';
import { account, peer, residentMb, startOwn, type OwnTarget, type Target } from './target.ts';

const { values: options } = parseArgs({
  options: {
    peer: { type: 'string' },
    'peer-pid': { type: 'string' },
    'peer-data': { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    rooms: { type: 'string', default: '300' },
    members: { type: 'string', default: '200' },
    parked: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '3' },
    grow: { type: 'boolean', default: false },
    'cold-start': { type: 'string' },
    memory: { type: 'boolean', default: false },
    'slow-fsync': { type: 'boolean', default: false },
    scale: { type: 'string', default: '1' },
  },
});
const size: Size = {
  rooms: Number(options.rooms),
  members: Number(options.members),
  parked: Number(options.parked),
  seconds: Number(options.seconds),
};
const rounds = Number(options.rounds);
const scale = Number(options.scale);

const rows: Row[] = [];
const onRow = (row: Row): void => {
  rows.push(row);
  process.stderr.write(`${line(row)}\n`);
};

async function measure(scenario: Scenario, targets: readonly Target[]): Promise<Row> {
  const measures: Measure[] = [];
  for (const target of targets) measures.push(await scenario.prepare(target, size));
  const figures: number[][] = targets.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, take] of measures.entries()) {
      const figure = await take();
      if (figure !== undefined) figures[index]?.push(figure);
    }
  }
  const [own = [], other = []] = figures;
  const ratios = own.flatMap((figure, index) => {
    const against = other[index];
    if (against === undefined) return [];
    return [scenario.unit === '1/s' ? figure / against : against / figure];
  });
  return { name: scenario.name, unit: scenario.unit, own, peer: other, ratios };
}

/** Every scenario, on the peer too. */
async function compare(own: OwnTarget): Promise<void> {
  const targets: Target[] = [own];
  if (options.peer !== undefined) {
    const pid = options['peer-pid'] === undefined ? undefined : Number(options['peer-pid']);
    targets.push(peer(options.peer, pid, options['peer-data']));
  }
  (await account(own)).close();
  const [ownIdle, peerIdle] = targets.map((target) => residentMb(target));
  if (ownIdle !== undefined) {
    const both = peerIdle === undefined ? [] : [peerIdle];
    onRow({
      ...ownRow('resident memory, idle', 'MB', [ownIdle]),
      peer: both,
      ratios: both.map((mb) => mb / ownIdle),
    });
  }
  const chosen = scenarios.filter(({ name }) => options.only === undefined || name.includes(options.only));
  for (const scenario of chosen) onRow(await measure(scenario, targets));
}

/** A fresh server for one kind of measurement. */
async function alone(work: (own: OwnTarget) => Promise<void>): Promise<void> {
  const own = await startOwn();
  try {
    await work(own);
  } finally {
    await own.stop();
  }
}

const { grow, memory, 'cold-start': events, 'slow-fsync': slowFsync } = options;
if (memory) {
  const sizes = { rooms: Math.round(1000 * scale), parked: Math.round(5000 * scale) };
  await alone((own) => measureMemory(own, sizes, onRow));
}
if (grow) await alone((own) => measureGrowth(own, growthSizes(scale), rounds, options.only, onRow));
if (slowFsync) await measureSlowFsync(size.seconds, rounds, onRow);
if (events !== undefined) await alone((own) => measureColdStart(own, Number(events), rounds, onRow));
if (!grow && !memory && !slowFsync && events === undefined) await alone(compare);
process.stdout.write(options.json ? `${JSON.stringify({ size, rows }, null, 1)}\n` : table(rows));
process.exit(0);
