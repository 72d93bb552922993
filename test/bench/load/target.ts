/** A homeserver under load: ours, started here, or a peer that listens somewhere. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Modules } from '../../../src/modules.ts';
import { type Client, registerAccount, type Session } from '../../support/client.ts';
import { freePort } from '../../support/server-process.ts';
import { withModules } from './fill.ts';

const root = resolve(import.meta.dirname, '../../..');

export interface Target {
  readonly name: string;
  readonly url: string;
  /** Process id, where known: memory and CPU time are read from it. */
  readonly pid: number | undefined;
  /** Folder or file that grows with the data, where known. */
  readonly data: string | undefined;
  /** Ends it and starts it again on the same data; resolves with the ms until it answers. Absent: not ours to start. */
  restart?(): Promise<number>;
  stop(): Promise<void>;
}

/** This project's server, which can be stopped and filled. */
export interface OwnTarget extends Target {
  restart(): Promise<number>;
  /** Stops it, has the work done on its data folder, and starts it again. */
  fill<T>(work: (modules: Modules) => Promise<T>): Promise<T>;
}

export interface OwnOptions {
  /** Environment of the server (a slow-fsync shim). */
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts this project's built server (dist) with the settings that a fair comparison needs. */
export async function startOwn(options: OwnOptions = {}): Promise<OwnTarget> {
  const data = mkdtempSync(join(tmpdir(), 'neurite-bench-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const settings = [
    'registration.mode=open',
    'rate_limits.enabled=false',
    'passwords.memory=64 KiB',
    'passwords.passes=1',
  ];
  const args = [join(root, 'bin/neurite.js'), 'run', '--data', data, '--listen', `127.0.0.1:${port}`];
  for (const setting of [...settings, 'log.level=warn']) args.push('--set', setting);
  let child: ChildProcess;
  const start = async (): Promise<number> => {
    const started = performance.now();
    child = spawn(process.execPath, args, {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await answers(url, child);
    return performance.now() - started;
  };
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  await start();
  return {
    name: 'neurite',
    url,
    get pid() {
      return child.pid;
    },
    data,
    restart: async () => {
      await end();
      return start();
    },
    fill: async (work) => {
      await end();
      const result = await withModules(data, work);
      await start();
      return result;
    },
    stop: async () => {
      await end();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export const peer = (url: string, pid: number | undefined, data: string | undefined): Target => ({
  name: new URL(url).host,
  url,
  pid,
  data,
  stop: () => Promise.resolve(),
});

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error('the server ended');
    const reply = await fetch(`${url}/_matrix/client/versions`).catch(() => undefined);
    if (reply?.ok === true) return;
    await new Promise((done) => setTimeout(done, 2));
  }
}

/** Resident memory in MB. */
export function residentMb(target: Target): number | undefined {
  if (target.pid === undefined) return undefined;
  const match = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${target.pid}/status`, 'utf8'));
  return match === null ? undefined : Number(match[1]) / 1024;
}

/** Bytes on disk of the target's data. */
export function diskBytes(target: Target): number | undefined {
  return target.data === undefined ? undefined : sizeOf(target.data);
}

function sizeOf(path: string): number {
  const info = statSync(path);
  if (!info.isDirectory()) return info.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

let accounts = 0;
const run = Date.now().toString(36);

/**
 * A new account, with a name that no earlier run has used. Its replies are not validated against the specification's
 * schemas: that would take longer than the servers take to write them. Scenarios look at what they should hold.
 */
export async function account(target: Target): Promise<Client> {
  accounts += 1;
  const client = await registerAccount(target.url, `bench-${run}-${accounts}`);
  client.checks = false;
  return client;
}

export async function many<T>(count: number, make: (index: number) => Promise<T>, atOnce = 8): Promise<T[]> {
  const made: T[] = [];
  for (let index = 0; index < count; index += atOnce) {
    const size = Math.min(atOnce, count - index);
    made.push(...(await Promise.all(Array.from({ length: size }, (_, offset) => make(index + offset)))));
  }
  return made;
}

export type { Client, Session };
