/**
 * Runs a client that comes from PyPI against this server: `node test/interop/run.ts SCRIPT PACKAGE…`. The script
 * is given the server's address and the registration file of an application service that the server knows. The packages go
 * into a virtual environment under test/results; where Python or the package index is not to be had, it says so and ends
 * with exit code 0 and the word "skipped".
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registrationOf } from '../support/app-service.ts';
import { freePort, repository, startServerProcess, temporaryFolder } from '../support/server-process.ts';

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

// A bridge is told to the server before it starts; JSON is YAML too.
const folder = temporaryFolder();
const registration = join(folder, 'registration.yaml');
const service = {
  ...registrationOf(`http://127.0.0.1:${await freePort()}`),
  'de.sorunome.msc2409.push_ephemeral': true,
  'org.matrix.msc3202': true,
};
writeFileSync(registration, JSON.stringify(service));

const server = await startServerProcess({ set: { appservices: JSON.stringify([registration]) } });
const ended = spawnSync(python, [join(import.meta.dirname, script), server.baseUrl, registration], {
  stdio: 'inherit',
  timeout: 300_000,
});
await server.stop();
rmSync(folder, { recursive: true, force: true });
process.exit(ended.status ?? 1);
