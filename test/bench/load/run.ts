/**
 * `npm run bench [-- --peer URL [--peer-pid PID] [--peer-data PATH]] [--only TEXT] [--rounds N] [--rooms N] …`
 *
 * Runs every scenario on this server and, with a peer, the very same load on it in turns A B A B; prints a table of
 * medians with the ratio of each pair (above 1: this server is better) and its range, and the same as JSON.
 */
import { parseArgs } from 'node:util';
import { median, scenarios, type Measure, type Scenario, type Size } from './scenarios.ts';
import { account, peer, residentMb, startOwn, type Target } from './target.ts';

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
  },
});
const size: Size = {
  rooms: Number(options.rooms),
  members: Number(options.members),
  parked: Number(options.parked),
  seconds: Number(options.seconds),
};

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly own: readonly number[];
  readonly peer: readonly number[];
  /** Pair by pair: how many times better this server is. */
  readonly ratios: readonly number[];
}

async function measure(scenario: Scenario, targets: readonly Target[]): Promise<Row> {
  const measures: Measure[] = [];
  for (const target of targets) measures.push(await scenario.prepare(target, size));
  const figures: number[][] = targets.map(() => []);
  for (let round = 0; round < Number(options.rounds); round += 1) {
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

const shown = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

function line({ name, unit, own, peer: other, ratios }: Row): string {
  const cells = [name, own.length > 0 ? `${shown(median(own))} ${unit}` : '–'];
  if (other.length > 0) cells.push(`${shown(median(other))} ${unit}`);
  if (ratios.length > 0)
    cells.push(`${shown(median(ratios))}x (${shown(Math.min(...ratios))}–${shown(Math.max(...ratios))})`);
  return `| ${cells.join(' | ')} |`;
}

const own = await startOwn();
const targets: Target[] = [own];
if (options.peer !== undefined) {
  const pid = options['peer-pid'] === undefined ? undefined : Number(options['peer-pid']);
  targets.push(peer(options.peer, pid, options['peer-data']));
}
const rows: Row[] = [];
try {
  (await account(own)).close();
  const idle = targets.map((target) => residentMb(target));
  const [ownIdle, peerIdle] = idle;
  if (ownIdle !== undefined) {
    const both = peerIdle === undefined ? [] : [peerIdle];
    rows.push({
      name: 'resident memory, idle',
      unit: 'MB',
      own: [ownIdle],
      peer: both,
      ratios: both.map((mb) => mb / ownIdle),
    });
  }
  for (const row of rows) process.stderr.write(`${line(row)}\n`);
  const chosen = scenarios.filter(({ name }) => options.only === undefined || name.includes(options.only));
  for (const scenario of chosen) {
    const row = await measure(scenario, targets);
    rows.push(row);
    process.stderr.write(`${line(row)}\n`);
  }
} finally {
  for (const target of targets) await target.stop();
}
if (options.json) process.stdout.write(`${JSON.stringify({ size, rows }, null, 1)}\n`);
else
  process.stdout.write(
    ['| what | neurite | peer | ratio (range) |', '|---|---|---|---|', ...rows.map(line), ''].join('\n'),
  );
process.exit(0);
