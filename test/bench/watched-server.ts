/** A server as a process of its own whose event loop, memory and processor time a bench can read. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startServerProcess, type ServerProcess } from '../support/server-process.ts';
import type { Resident } from './resident.ts';

/** Of an event loop, in ms. */
export interface Delays {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Processor time of the loop itself between two looks, 10 ms apart. */
  readonly busyP99: number;
  readonly busyMax: number;
  readonly samples: number;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a server that trusts the resident's authority. */
export async function startWatched(
  resident: Resident,
  data: string,
): Promise<{ readonly server: ServerProcess; readonly name: string }> {
  const caFile = join(data, 'ca.pem');
  writeFileSync(caFile, resident.caCert);
  const probe = new URL('loop-probe.ts', import.meta.url).href;
  const name = `localhost:${await freePort()}`;
  const server = await startServerProcess({
    data,
    set: {
      server_name: name,
      'federation.ca_file': caFile,
      'federation.allow_networks': '["127.0.0.0/8", "::1/128"]',
      ...(process.env['NEURITE_BENCH_LOG'] === undefined ? {} : { 'log.level': process.env['NEURITE_BENCH_LOG'] }),
    },
    env: { NODE_OPTIONS: `--import ${probe} ${process.env['NEURITE_BENCH_OPTIONS'] ?? ''}` },
  });
  return { server, name };
}

export const memoryMiB = (server: ServerProcess, what: 'VmRSS' | 'VmHWM'): number => {
  const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8');
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
};

/** Of all its threads. */
export function cpuMs({ child }: ServerProcess): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** What happened to the server's event loop since it was asked before. */
export async function delays(server: ServerProcess): Promise<Delays> {
  const lines = (): string[] => server.output().match(/^loop .*$/gm) ?? [];
  const before = lines().length;
  server.child.kill('SIGUSR2');
  while (lines().length === before) await pause(5);
  return JSON.parse(lines().at(-1)?.slice(5) ?? '{}') as Delays;
}
