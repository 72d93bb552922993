/**
 * The two servers: this one and a real Synapse, both processes of their own on loopback, called `localhost:PORT` by links
 * that can be cut, with certificates of a test authority.
 */
import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registerAccount } from '../../support/client.ts';
import { freePort, repository, startServerProcess } from '../../support/server-process.ts';
import { makeTestCa, type TestCa } from '../../support/tls.ts';
import { openLink, type Link } from './link.ts';
import { Person } from './person.ts';

export interface Side extends AsyncDisposable {
  /** `neurite` or `synapse`. */
  readonly kind: string;
  readonly name: string;
  readonly baseUrl: string;
  /** What others reach this server by. */
  readonly link: Link;
  /** A new account; the name is made unique. */
  person(localpart: string): Promise<Person>;
}

const work = join(repository, 'test/results/interop');
const environment = join(repository, 'test/results/venv/matrix-synapse');
/** One version: that a run fails must come from a change here. */
const release = 'matrix-synapse==1.163.2';
let people = 0;

/** The Python that has Synapse: `SYNAPSE_PYTHON`, or that of a virtual environment made here. Else why there is none. */
export function findSynapse(): { readonly python: string } | { readonly missing: string } {
  const given = process.env['SYNAPSE_PYTHON'];
  const python = given ?? join(environment, 'bin/python');
  const works = (): boolean => spawnSync(python, ['-c', 'import synapse'], { stdio: 'ignore' }).status === 0;
  if (existsSync(python) && works()) return { python };
  if (given !== undefined) return { missing: `SYNAPSE_PYTHON (${given}) cannot import synapse` };
  const made = spawnSync('python3', ['-m', 'venv', environment], { stdio: 'ignore' });
  if (made.status !== 0) return { missing: 'Python 3 with venv is not installed' };
  const options = ['--quiet', '--disable-pip-version-check', '--prefer-binary', '--retries', '1', '--timeout', '15'];
  const pip = ['-m', 'pip', 'install', ...options, release];
  const { status, stderr } = spawnSync(python, pip, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (status === 0 && works()) return { python };
  const why = stderr.trim().split('\n').at(-1) || 'it cannot be imported';
  return { missing: `${release} cannot be installed from the package index: ${why}` };
}

interface Place {
  readonly kind: string;
  readonly folder: string;
  readonly link: Link;
  readonly clientPort: number;
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
}

async function prepare(kind: string, ca: TestCa): Promise<Place> {
  const folder = join(work, kind);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const { cert, key } = ca.issue('localhost');
  writeFileSync(files.ca, ca.cert);
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  const link = await openLink();
  link.target = await freePort();
  return { kind, folder, link, clientPort: await freePort(), files };
}

function side({ kind, link, clientPort }: Place, stop: () => Promise<void>): Side {
  const [name, baseUrl] = [`localhost:${link.port}`, `http://127.0.0.1:${clientPort}`];
  return {
    kind,
    name,
    baseUrl,
    link,
    person: async (localpart) => {
      people += 1;
      const client = await registerAccount(baseUrl, `${localpart}${people}`);
      client.checks = kind.startsWith('neurite');
      return new Person(client, name, baseUrl);
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await link[Symbol.asyncDispose]();
    },
  };
}

/** @param partialJoins false: rooms are joined with all their members at once */
export async function startNeurite(ca: TestCa, partialJoins = true): Promise<Side> {
  const place = await prepare(partialJoins ? 'neurite' : 'neurite-full', ca);
  const { folder, link, clientPort, files } = place;
  const config = {
    server_name: `localhost:${link.port}`,
    data_dir: join(folder, 'data'),
    listeners: [
      { address: '127.0.0.1', port: clientPort, resources: ['client', 'federation', 'admin'] },
      { address: '127.0.0.1', port: link.target, tls: { cert: files.cert, key: files.key }, resources: ['federation'] },
    ],
    registration: { mode: 'open' },
    rate_limits: { enabled: false },
    passwords: { memory: '64 KiB', passes: 1 },
    federation: { allow_networks: ['127.0.0.0/8', '::1'], ca_file: files.ca, partial_joins: partialJoins },
    log: { level: 'debug' },
  };
  // JSON is YAML too.
  writeFileSync(join(folder, 'neurite.yaml'), JSON.stringify(config));
  const server = await startServerProcess({
    data: folder,
    port: clientPort,
    command: ['run', '--config', join(folder, 'neurite.yaml')],
  });
  return side(place, async () => {
    await server.stop();
    writeFileSync(join(folder, 'neurite.log'), server.output());
  });
}

const plenty = { per_second: 10_000, burst_count: 10_000 };

const synapseConfig = ({ folder, link, clientPort, files }: Place): object => ({
  server_name: `localhost:${link.port}`,
  listeners: [
    {
      port: clientPort,
      tls: false,
      type: 'http',
      bind_addresses: ['127.0.0.1'],
      resources: [{ names: ['client', 'federation'] }],
    },
    {
      port: link.target,
      tls: true,
      type: 'http',
      bind_addresses: ['127.0.0.1'],
      resources: [{ names: ['federation'] }],
    },
  ],
  tls_certificate_path: files.cert,
  tls_private_key_path: files.key,
  federation_custom_ca_list: [files.ca],
  ip_range_blacklist: [],
  trusted_key_servers: [],
  // As we do: soon after a peer is back, it is tried.
  federation: {
    destination_min_retry_interval: '1s',
    destination_retry_multiplier: 2,
    destination_max_retry_interval: '5s',
  },
  database: { name: 'sqlite3', args: { database: join(folder, 'homeserver.db') } },
  media_store_path: join(folder, 'media'),
  signing_key_path: join(folder, 'signing.key'),
  pid_file: join(folder, 'pid'),
  log_config: join(folder, 'log.yaml'),
  report_stats: false,
  // Else a first /sync is answered from memory for two minutes.
  caches: { sync_response_cache_duration: '0s' },
  macaroon_secret_key: 'for tests',
  form_secret: 'for tests',
  enable_registration: true,
  enable_registration_without_verification: true,
  bcrypt_rounds: 4,
  presence: { enabled: true },
  allow_public_rooms_over_federation: true,
  allow_public_rooms_without_auth: true,
  room_list_publication_rules: [{ action: 'allow' }],
  rc_message: plenty,
  rc_registration: plenty,
  rc_login: { address: plenty, account: plenty, failed_attempts: plenty },
  rc_joins: { local: plenty, remote: plenty },
  rc_joins_per_room: plenty,
  rc_invites: { per_room: plenty, per_user: plenty, per_issuer: plenty },
  rc_room_creation: plenty,
  rc_federation: { window_size: 1000, sleep_limit: 10_000, sleep_delay: 1, reject_limit: 10_000, concurrent: 100 },
  rc_presence: { per_user: plenty },
  rc_key_requests: plenty,
  rc_media_create: plenty,
});

const logConfig = (folder: string): object => ({
  version: 1,
  formatters: { plain: { format: '%(asctime)s %(levelname)s %(name)s %(message)s' } },
  handlers: { file: { class: 'logging.FileHandler', formatter: 'plain', filename: join(folder, 'synapse.log') } },
  root: { level: 'INFO', handlers: ['file'] },
  disable_existing_loggers: false,
});

async function answers(baseUrl: string, child: ChildProcess, folder: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while ((await fetch(`${baseUrl}/_matrix/client/versions`).catch(() => undefined))?.ok !== true) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`Synapse does not start; see ${folder}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export async function startSynapse(ca: TestCa, python: string): Promise<Side> {
  const place = await prepare('synapse', ca);
  const { folder } = place;
  const config = join(folder, 'homeserver.yaml');
  writeFileSync(config, JSON.stringify(synapseConfig(place)));
  writeFileSync(join(folder, 'log.yaml'), JSON.stringify(logConfig(folder)));
  const output = openSync(join(folder, 'output.log'), 'w');
  const stdio: StdioOptions = ['ignore', output, output];
  const keys = spawn(python, ['-m', 'synapse.app.homeserver', '-c', config, '--generate-keys'], { cwd: folder, stdio });
  await once(keys, 'exit');
  const child = spawn(python, ['-m', 'synapse.app.homeserver', '-c', config], { cwd: folder, stdio });
  await answers(`http://127.0.0.1:${place.clientPort}`, child, folder);
  return side(place, async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  });
}

/** Both servers, which trust one test authority. */
export async function startSides(python: string): Promise<{ readonly neurite: Side; readonly synapse: Side }> {
  const ca = makeTestCa();
  const [neurite, synapse] = await Promise.all([startNeurite(ca), startSynapse(ca, python)]);
  return { neurite, synapse };
}
