/**
 * Runs a client that comes from PyPI against this server: `node test/interop/run.ts SCRIPT PACKAGE…`. The packages go
 * into a virtual environment under test/results; where Python or the package index is not to be had, it says so and ends
 * with exit code 0 and the word "skipped".
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { repository, startServerProcess } from '../support/server-process.ts';

const [script = '', ...packages] = process.argv.slice(2);
const environment = join(repository, 'test/results/venv', packages.join('-').replaceAll(/[^A-Za-z0-9-]/g, '_'));
const python = join(environment, 'bin/python');

function skipped(why: string): never {
  process.stdout.write(`skipped: ${why}\n`);
  process.exit(0);
}

if (!existsSync(python)) {
  const made = spawnSync('python3', ['-m', 'venv', environment], { stdio: 'inherit' });
  if (made.status !== 0) skipped('Python 3 with venv is not installed');
}
const installed = spawnSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
  stdio: 'inherit',
});
if (installed.status !== 0) skipped(`${packages.join(', ')} cannot be installed from the package index`);

const server = await startServerProcess();
const ended = spawnSync(python, [join(import.meta.dirname, script), server.baseUrl], {
  stdio: 'inherit',
  timeout: 300_000,
});
await server.stop();
process.exit(ended.status ?? 1);
