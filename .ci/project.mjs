// What `npm start`, `npm test` and `npm run check` do. Runs on any Node from 20 on with nothing installed: it installs what
// package-lock.json names when that is missing or out of date, and goes on with the Node that comes with it.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingEntries } from './lock.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const inRoot = (...parts) => join(root, ...parts);
const bin = inRoot('node_modules', '.bin');
const node = inRoot('node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };

const readLock = (...parts) => {
  try {
    return JSON.parse(readFileSync(inRoot(...parts), 'utf8')).packages;
  } catch {
    return undefined;
  }
};

/** Whether node_modules holds what the lock file names; npm keeps its own list of what it has put there. */
const isInstalled = () => {
  const wanted = readLock('package-lock.json');
  const present = readLock('node_modules', '.package-lock.json');
  if (wanted === undefined || present === undefined || !existsSync(node)) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, link }]) =>
      path === '' || link || (present[path] === undefined ? optional === true : present[path].version === version),
  );
};

/** Runs a command to its end; exits with its status unless that is 0. */
const run = (command, args) => {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' });
  if (error) console.error(`${command} could not be started: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
};

const npm = (...args) => {
  const script = process.env.npm_execpath;
  if (script?.endsWith('.js')) run(process.execPath, [script, ...args]);
  else run('npm', args);
};

const setUp = () => {
  if (isInstalled()) return;
  if (lstatSync(inRoot('node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    // It belongs to another checkout, whose packages `npm ci` would take away.
    console.error(
      'node_modules is a link and does not hold what package-lock.json names; going on with what is there.',
    );
    return;
  }
  console.error('Installing what package-lock.json names; this is needed once …');
  npm('ci', '--no-audit', '--no-fund');
};

const modified = (...parts) => statSync(inRoot(...parts), { throwIfNoEntry: false })?.mtimeMs;

/** Whether dist is newer than all it is made from: a server that runs from it must not lose it without need. */
const isBuilt = () => {
  const built = modified('dist', 'cli.js');
  const sources = readdirSync(inRoot('src'), { recursive: true }).map((file) => join('src', file));
  return built !== undefined && [...sources, 'tsconfig.json'].every((file) => modified(file) < built);
};

const build = () => run(node, [inRoot('.ci', 'bundle.mjs')]);

const buildIfNeeded = () => {
  if (!isBuilt()) build();
};

/** Hands this process over to another: its output, its signals and its end. */
const become = (args) => {
  const child = spawn(node, args, { cwd: root, env, stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; the child decides when to end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
};

/** Two majors of one package that users install: twice the memory, and values that are not each other's instances. */
const duplicates = () => {
  const versions = new Map();
  for (const [path, { version, dev }] of Object.entries(readLock('package-lock.json') ?? {})) {
    if (path === '' || dev || version === undefined) continue;
    const name = path.split('node_modules/').at(-1);
    versions.set(name, new Set(versions.get(name)).add(version.split('.')[0]));
  }
  return [...versions]
    .filter(([, majors]) => majors.size > 1)
    .map(([name, majors]) => `${name}: ${[...majors].join(', ')}`);
};

const checks = {
  format: ['prettier', '--check', '--log-level=warn', '.'],
  types: ['tsc', '-p', 'tsconfig.json'],
  lint: ['oxlint', '--type-aware', '--quiet'],
  layers: ['node', '.ci/layers.ts'],
  'dead code': ['knip', '--no-progress'],
};

const check = () => {
  const failed = [];
  for (const [name, [command, ...args]] of Object.entries(checks)) {
    console.log(`– ${name}: ${command} ${args.join(' ')}`);
    const { status } = spawnSync(join(bin, command), args, { cwd: root, env, stdio: 'inherit' });
    if (status !== 0) failed.push(name);
  }
  console.log('– lock file: no duplicates, all platforms');
  const lines = [
    ...duplicates().map((line) => `twice: ${line}`),
    ...missingEntries(readLock('package-lock.json') ?? {}).map(([path]) => `not there, run \`npm run lock\`: ${path}`),
  ];
  for (const line of lines) console.log(line);
  if (lines.length > 0) failed.push('lock file');
  console.log(failed.length === 0 ? 'All checks passed.' : `Failed: ${failed.join(', ')}.`);
  process.exit(failed.length === 0 ? 0 : 1);
};

const [command, ...args] = process.argv.slice(2);
setUp();
if (command === 'check') check();
else if (command === 'build') build();
else if (command === 'start') {
  buildIfNeeded();
  become([inRoot('bin', 'neurite.js'), ...args]);
} else if (command === 'test') {
  buildIfNeeded();
  become([
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...args,
  ]);
}
