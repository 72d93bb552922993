/** A real server as a process of its own, for tests that kill it, watch its system calls or bring a real client. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const repository = resolve(import.meta.dirname, '../..');
const startLimitMs = 30_000;

export interface ServerProcessOptions {
  /** Data folder; default: a new one that goes away with `stop`. */
  readonly data?: string;
  readonly port?: number;
  /** More `--set` values. */
  readonly set?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Program and arguments that wrap the server (strace …). */
  readonly wrapper?: readonly string[];
  /** Arguments of `neurite` in place of those that this makes; `port` is where it then listens. */
  readonly command?: readonly string[];
  /** Working directory; default: the data folder. */
  readonly cwd?: string;
}

export interface ServerProcess {
  readonly baseUrl: string;
  readonly port: number;
  readonly data: string;
  readonly child: ChildProcess;
  /** Standard output and error so far. */
  readonly output: () => string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'neurite-'));

const testSettings = {
  'registration.mode': 'open',
  'registration.shared_secret': 'test secret',
  'rate_limits.enabled': 'false',
  'passwords.memory': '64 KiB',
  'passwords.passes': '1',
};

/** Starts the server from its sources and waits until it answers. */
export async function startServerProcess(options: ServerProcessOptions = {}): Promise<ServerProcess> {
  const port = options.port ?? (await freePort());
  const data = options.data ?? temporaryFolder();
  const settings = Object.entries({ ...testSettings, ...options.set }).flatMap(([key, value]) => [
    '--set',
    `${key}=${value}`,
  ]);
  const command = [
    ...(options.wrapper ?? []),
    process.execPath,
    join(repository, 'src/cli.ts'),
    ...(options.command ?? [
      'run',
      '--data',
      data,
      '--set',
      `listeners=[{address: 127.0.0.1, port: ${port}, resources: [client, federation, admin, metrics]}]`,
      ...settings,
    ]),
  ];
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: options.cwd ?? data,
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const baseUrl = `http://127.0.0.1:${port}`;
  await answers(baseUrl, child, () => output);
  const gone = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    if (options.data === undefined) rmSync(data, { recursive: true, force: true });
  };
  return {
    baseUrl,
    port,
    data,
    child,
    output: () => output,
    stop: async () => {
      child.kill('SIGTERM');
      await gone();
      return child.exitCode;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await gone();
    },
  };
}

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the sources' `neurite` to its end. */
export async function neurite(
  args: readonly string[],
  options: { readonly cwd?: string; readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [join(repository, 'src/cli.ts'), ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(options.input ?? '');
  await once(child, 'close');
  return { status: child.exitCode, stdout, stderr };
}

async function answers(baseUrl: string, child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + startLimitMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended:\n${output()}`);
    if (Date.now() > deadline) throw new Error(`the server does not answer:\n${output()}`);
    const reply = await fetch(`${baseUrl}/_matrix/client/versions`).catch(() => undefined);
    if (reply?.ok === true) return;
    await new Promise((done) => setTimeout(done, 30));
  }
}
