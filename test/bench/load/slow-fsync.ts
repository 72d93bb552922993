/**
 * A slow disk: fdatasync takes 10 ms longer. How much many clients get done against one, and
 * what those wait meanwhile who are shown nothing that is not on disk yet. The senders are a thread of their own.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Client, type Session } from '../../support/client.ts';
import { diskShims } from '../../support/shim.ts';
import { ownRow, percentile, type Row } from './rows.ts';
import { send, timed, v3 } from './scenario.ts';
import { account, many, startOwn, type OwnTarget } from './target.ts';

const delayUs = 10_000;
const probeEveryMs = 4;

interface Order {
  readonly url: string;
  readonly seconds: number;
  readonly senders: readonly { readonly session: Session; readonly room: string }[];
}

/** The thread of the senders: events per second. */
async function work({ url, seconds, senders }: Order): Promise<number> {
  const clients = senders.map(({ session, room }) => ({ client: new Client(url, session), room }));
  let count = 0;
  const began = performance.now();
  await Promise.all(
    clients.map(async ({ client, room }) => {
      while (performance.now() - began < seconds * 1000) {
        await send(client, room);
        count += 1;
      }
      client.close();
    }),
  );
  return (count * 1000) / (performance.now() - began);
}

interface Waits {
  readonly whoami: number[];
  readonly sync: number[];
}

/** Asks what needs no disk, again and again until `until`. */
async function probe(client: Client, waits: Waits, until: Promise<unknown>): Promise<void> {
  let running = true;
  void until.finally(() => (running = false));
  const { next_batch: since } = await client.sync(undefined, 0);
  while (running) {
    waits.whoami.push(
      await timed(async () => {
        const answer = await client.must('GET', `${v3}/account/whoami`);
        if (answer['user_id'] !== client.userId) throw new Error('whoami names somebody else');
      }),
    );
    await sleep(probeEveryMs);
    waits.sync.push(
      await timed(async () => {
        const { rooms } = await client.sync(since, 0);
        if (Object.keys(rooms?.join ?? {}).length > 0) throw new Error('a quiet sync held rooms');
      }),
    );
    await sleep(probeEveryMs);
  }
}

async function measure(target: OwnTarget, seconds: number, rounds: number, onRow: (row: Row) => void): Promise<void> {
  const senders = await many(32, async () => {
    const client = await account(target);
    return { session: { userId: client.userId, deviceId: '', token: client.token }, room: await client.createRoom() };
  });
  const quiet = await account(target);
  await quiet.createRoom();
  const waits: Waits = { whoami: [], sync: [] };
  const rates: Record<1 | 32, number[]> = { 1: [], 32: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const clients of [1, 32] as const) {
      const order: Order = { url: target.url, seconds, senders: senders.slice(0, clients) };
      const worker = new Worker(new URL(import.meta.url), { workerData: order });
      const rate = once(worker, 'message').then(([value]) => value as number);
      if (clients === 32) await probe(quiet, waits, rate);
      rates[clients].push(await rate);
      await worker.terminate();
    }
  }
  onRow(ownRow('slow fsync: events per second, 1 client', '1/s', rates[1]));
  onRow(ownRow('slow fsync: events per second, 32 clients', '1/s', rates[32]));
  onRow(
    ownRow(
      'slow fsync: 32 clients against one',
      'x',
      rates[32].map((rate, index) => rate / (rates[1][index] ?? NaN)),
    ),
  );
  for (const [name, values] of Object.entries({ '/whoami': waits.whoami, 'a quiet /sync': waits.sync })) {
    onRow(ownRow(`slow fsync: ${name} meanwhile, p50`, 'ms', [percentile(values, 0.5)]));
    onRow(ownRow(`slow fsync: ${name} meanwhile, p99`, 'ms', [percentile(values, 0.99)]));
  }
}

/** Two rates and what quiet requests wait, each round with one client and with 32. */
export async function measureSlowFsync(seconds: number, rounds: number, onRow: (row: Row) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'neurite-shim-'));
  const target = await startOwn({ env: { ...diskShims(folder)[0].env, SHIM_DELAY_US: String(delayUs) } });
  try {
    await measure(target, seconds, rounds, onRow);
  } finally {
    await target.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!isMainThread) parentPort?.postMessage(await work(workerData as Order));
