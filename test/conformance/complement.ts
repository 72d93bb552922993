/**
 * `npm run test:complement -- [--record] [packages] [options of go test]`, for example `./tests/csapi -run TestLogin`.
 *
 * Runs Complement from `COMPLEMENT_CHECKOUT` against the built server: the process engine beside this file stands in for
 * containers. Without a package it runs those of federation and of the client API.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from '../support/server-process.ts';
import { report, serverCommand, skipped, type Result, type Verdict } from './report.ts';

const here = import.meta.dirname;
const work = join(repository, 'test/results/complement');
const checkout = process.env['COMPLEMENT_CHECKOUT'] ?? '';
const packages = ['./tests', './tests/csapi'];
/** Tests that skip themselves for a server without a build tag of its own; this tag leaves them in. */
const tagged = ['-tags', 'conduwuit_blacklist', './tests', '-run', '^TestMediaFilenames$'];

function prepare(): void {
  if (!existsSync(join(checkout, 'go.mod'))) {
    skipped(
      'Complement is not there; clone https://github.com/matrix-org/complement and name the folder in COMPLEMENT_CHECKOUT.',
    );
  }
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    skipped('Go is not there; install the version that go.mod of Complement names from https://go.dev/dl.');
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    skipped('the process engine gives each server a hosts file of its own, which takes Linux and root.');
  }
  mkdirSync(join(work, 'engine'), { recursive: true });
}

interface Engine {
  readonly child: ChildProcess;
  readonly socket: string;
  readonly folder: string;
}

/** Starts the process engine; its socket is in a short path, as sockets need. */
async function startEngine(): Promise<Engine> {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-complement-'));
  const socket = join(folder, 'engine.sock');
  const launch = `NEURITE_COMMAND='${serverCommand()}' exec ${join(here, 'complement/launch.sh')}`;
  const range = process.env['COMPLEMENT_LOOPBACK_RANGE'] ?? '127.64';
  const options = { '--socket': socket, '--root': join(work, 'engine'), '--launch': launch, '--loopback-range': range };
  const child = spawn(
    process.execPath,
    [join(here, 'complement/process-engine.mjs'), ...Object.entries(options).flat()],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ready = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => undefined)]);
  if (ready === undefined) throw new Error('the process engine did not start');
  return { child, socket, folder };
}

interface TestEvent {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
  readonly Output?: string;
}

const verdictOf: Readonly<Record<string, Verdict>> = { pass: 'passed', fail: 'failed', skip: 'skipped' };

/** Leaves only: a test with subtests is what they are. Its own failure counts when none of them failed. */
function parse(text: string): Result[] {
  const ends = new Map<string, Result>();
  const reasons = new Map<string, string>();
  for (const line of text.split('\n').filter((each) => each.startsWith('{'))) {
    const event = JSON.parse(line) as TestEvent;
    if (event.Test === undefined) continue;
    const key = `${event.Package} ${event.Test}`;
    const reason = /^\s+\S+\.go:\d+: (?:SKIP: )?(.*)/i.exec(event.Output ?? '')?.[1];
    if (event.Action === 'output' && reason !== undefined) reasons.set(key, reason);
    const verdict = verdictOf[event.Action];
    if (verdict === undefined) continue;
    const area = event.Package.replace(/^.*\/complement\//, '');
    const why = verdict === 'skipped' ? reasons.get(key) : undefined;
    ends.set(key, { area, name: event.Test, verdict, ...(why === undefined ? {} : { why }) });
  }
  const all = [...ends].sort(([a], [b]) => (a < b ? -1 : 1));
  return all
    .filter(([key, { verdict }]) => {
      const below = all.filter(([other]) => other.startsWith(`${key}/`));
      return below.length === 0 || (verdict === 'failed' && !below.some(([, each]) => each.verdict === 'failed'));
    })
    .map(([, result]) => result);
}

async function run(engine: Engine, args: readonly string[]): Promise<Result[]> {
  const out = join(work, `results${args.includes('-tags') ? '-tagged' : ''}.json`);
  const child = spawn('go', ['test', '-count=1', '-p', '1', '-timeout', '90m', '-json', ...args], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      DOCKER_HOST: `unix://${engine.socket}`,
      COMPLEMENT_BASE_IMAGE: 'neurite',
      COMPLEMENT_ENABLE_DIRTY_RUNS: '1',
      COMPLEMENT_SPAWN_HS_TIMEOUT_SECS: '30',
      TMPDIR: engine.folder,
    },
  });
  child.stdout.pipe(createWriteStream(out));
  const stop = (): void => void child.kill('SIGTERM');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const [status] = (await once(child, 'close')) as [number | null];
  const results = parse(readFileSync(out, 'utf8'));
  if (results.length === 0) throw new Error(`no test ran (go test ended with ${status}); see ${out}`);
  return results;
}

prepare();
const args = process.argv.slice(2).filter((argument) => argument !== '--record');
const chosen = args.some((argument) => argument.startsWith('./'));
const engine = await startEngine();
try {
  const results = await run(engine, chosen ? args : [...packages, ...args]);
  const second = args.length === 0 ? await run(engine, tagged) : [];
  const better = new Map(second.map((result) => [result.name, result]));
  const good = await report({
    suite: 'complement',
    title: `Complement, ${new Date().toISOString().slice(0, 10)}`,
    results: results.map((result) => (result.verdict === 'skipped' ? (better.get(result.name) ?? result) : result)),
    record: process.argv.includes('--record'),
  });
  process.exitCode = good ? 0 : 1;
} finally {
  engine.child.kill('SIGTERM');
  if (engine.child.exitCode === null) await once(engine.child, 'exit');
  rmSync(engine.folder, { recursive: true, force: true });
}
