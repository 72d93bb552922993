/**
 * `npm run test:sytest -- [--record] [tests/DIR | tests/DIR/FILE.pl …] [options of run-tests.pl]`
 *
 * Runs SyTest from `SYTEST_CHECKOUT` against the built server, with the plug-in beside this file. A run of everything is
 * two: the tests of what Synapse added on its own only run for a server that is called `synapse`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { repository } from '../support/server-process.ts';
import { report, serverCommand, skipped, type Result } from './report.ts';

const here = import.meta.dirname;
const work = join(repository, 'test/results/sytest');
const checkout = process.env['SYTEST_CHECKOUT'] ?? '';
const ports = process.env['SYTEST_PORTS'] ?? '18800:18999';
const perlLibraries = [join(here, 'sytest/perl'), process.env['PERL5LIB']].filter(Boolean).join(delimiter);
const modules = ['IO::Async::SSL', 'Net::Async::HTTP', 'Net::Async::HTTP::Server', 'CryptX', 'DBI', 'JSON::XS'];
const moreModules = ['List::UtilsBy', 'Struct::Dumb', 'YAML::XS', 'Email::MIME', 'File::Slurper', 'Data::Dump'];
/** Files with tests of Synapse's extensions. */
const extensions = [
  'tests/10apidoc/01register.pl',
  'tests/48admin.pl',
  'tests/50federation/51transactions.pl',
  'tests/51media/48admin-quarantine.pl',
];
/** Abilities that no test proves; tests that need them would be skipped for every server. */
const presumed = 'can_change_power_levels can_upload_media can_download_media can_invite_presence';

function prepare(): void {
  if (!existsSync(join(checkout, 'run-tests.pl'))) {
    skipped(
      'SyTest is not there; clone https://github.com/matrix-org/sytest and name the folder in SYTEST_CHECKOUT (its Perl libraries are listed in test/conformance/README.md).',
    );
  }
  const env = { ...process.env, PERL5LIB: perlLibraries };
  for (const module of [...modules, ...moreModules]) {
    if (spawnSync('perl', [`-M${module}`, '-e1'], { env, stdio: 'ignore' }).status === 0) continue;
    skipped(
      `Perl's ${module} is not there; install it from the system's packages or with "cpanm ${module}" (PERL5LIB is heeded).`,
    );
  }
  mkdirSync(work, { recursive: true });
  const script = readFileSync(join(checkout, 'run-tests.pl'), 'utf8');
  const patched = script.replace(/^my %proven\b.*;$/m, `my %proven = map { $_ => PRESUMED } qw( ${presumed} );`);
  writeFileSync(join(work, 'run-tests.pl'), patched);
}

/** Folders stand for the files in them. */
function files(selection: string): string[] {
  const path = join(checkout, selection);
  if (!selection.startsWith('tests') || !existsSync(path) || !statSync(path).isDirectory()) return [selection];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pl'))
    .sort()
    .map((name) => `${selection.replace(/\/$/, '')}/${name}`);
}

/** Standard output names the tests' results by number, standard error says which file each number is of. */
function parse(tap: string, errors: string): Result[] {
  const areas = new Map<string, string>();
  let area = '';
  for (const line of errors.split('\n')) {
    const file = /^tests\/(.*)\.pl:$/.exec(line)?.[1];
    if (file !== undefined) area = file.includes('/') ? file.slice(0, file.indexOf('/')) : file;
    const number = /^ {4}Test (\d+) /.exec(line)?.[1];
    if (number !== undefined) areas.set(number, area);
  }
  return tap.split('\n').flatMap((line): Result[] => {
    const [, not, number = '', rest = ''] = /^(not )?ok (\d+) (.*)$/.exec(line) ?? [];
    if (number === '') return [];
    const [full = '', why] = rest.split(/ # skip ?/);
    const name = full.replace(/ \(\d+ subtests\)$/, '').trimEnd();
    const of = { area: areas.get(number) ?? '', name };
    if (why !== undefined) return [{ ...of, verdict: 'skipped', why }];
    return [{ ...of, verdict: not === undefined ? 'passed' : 'failed' }];
  });
}

/** One run of SyTest. Rejects when it broke off. */
async function run(implementation: string | undefined, args: readonly string[]): Promise<Result[]> {
  const name = implementation ?? 'neurite';
  for (const index of [0, 1]) rmSync(join(work, `server-${index}`), { recursive: true, force: true });
  const [out, err] = [join(work, `${name}.tap`), join(work, `${name}.err`)];
  const perl = [
    join(work, 'run-tests.pl'),
    '-I',
    'Neurite',
    '-O',
    'tap',
    '--all',
    '--work-directory',
    work,
    '-p',
    ports,
  ];
  const child = spawn('perl', [...perl, ...args], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      SYTEST_PLUGINS: join(here, 'sytest'),
      PERL5LIB: perlLibraries,
      NEURITE_COMMAND: serverCommand(),
      ...(implementation === undefined ? {} : { NEURITE_IMPLEMENTATION: implementation }),
    },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill('SIGINT'));
  child.stdout.pipe(createWriteStream(out));
  child.stderr.pipe(createWriteStream(err));
  child.stdout.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n')) if (line.startsWith('not ok')) process.stdout.write(`${line}\n`);
  });
  await once(child, 'close');
  // The next run starts with empty folders.
  for (const index of [0, 1]) {
    const log = join(work, `server-${index}/neurite.log`);
    if (existsSync(log)) copyFileSync(log, join(work, `${name}-${index}.log`));
  }
  const [tap, errors] = [readFileSync(out, 'utf8'), readFileSync(err, 'utf8')];
  // The plan is SyTest's last line.
  if (!/^1\.\.\d+$/m.test(tap)) throw new Error(`SyTest broke off; see ${out} and ${err}\n${errors.slice(-2000)}`);
  return parse(tap, errors);
}

/** What the second run passed counts, and what only it has. */
function joined(first: readonly Result[], second: readonly Result[]): Result[] {
  const better = new Map(second.filter(({ verdict }) => verdict === 'passed').map((result) => [result.name, result]));
  const known = new Set(first.map(({ name }) => name));
  const merged = first.map((result) => (result.verdict === 'passed' ? result : (better.get(result.name) ?? result)));
  return [...merged, ...second.filter(({ name }) => !known.has(name))];
}

const args = process.argv.slice(2).filter((argument) => argument !== '--record');
prepare();
const whole = !args.some((argument) => argument.startsWith('tests'));
const first = await run(process.env['NEURITE_IMPLEMENTATION'], args.flatMap(files));
const second = whole ? await run('synapse', extensions) : [];
const wanted = readFileSync(join(here, 'sytest-target.txt'), 'utf8').split('\n').filter(Boolean);
const good = await report({
  suite: 'sytest',
  title: `SyTest, ${new Date().toISOString().slice(0, 10)}`,
  results: joined(first, second),
  ...(whole ? { wanted } : {}),
  record: process.argv.includes('--record'),
});
process.exit(good ? 0 : 1);
