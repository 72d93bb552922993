/**
 * Hostile input: requests made from every row's schema and then bent, against a real server process. No 5xx but those
 * that the specification names, no crash, nothing of another user in any answer, bounded memory. `NEURITE_FUZZ=100000`
 * runs the full number; by default a short form with the same seed.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadConfig } from '../../src/config/index.ts';
import type { Route } from '../../src/http/index.ts';
import { buildModules } from '../../src/modules.ts';
import { allRoutes } from '../../src/routes.ts';
import { systemClock } from '../../src/util/clock.ts';
import { Lifecycle } from '../../src/util/lifecycle.ts';
import { createLogger } from '../../src/util/log.ts';
import { Client, registerAccount } from '../support/client.ts';
import { requestFor, type FuzzRequest, type KnownIds } from '../support/fuzz-requests.ts';
import { startServerProcess, temporaryFolder, type ServerProcess } from '../support/server-process.ts';

const count = Number(process.env['NEURITE_FUZZ'] ?? 3000);
const seed = 20_261_121;
const atOnce = 8;
/** Stands in everything that belongs to the victim alone. */
const secret = 'XsecretXofXtheXvictimX';
const v3 = '/_matrix/client/v3';

let server: ServerProcess;
let rows: Route[];
let stopRows: () => Promise<void>;
const folder = temporaryFolder();
beforeAll(async () => {
  server = await startServerProcess({ set: { 'registration.guests': 'true' } });
  const loaded = loadConfig({ env: {}, sets: [`data_dir=${folder}`, 'registration.shared_secret=x'] });
  if (!loaded.ok) throw new Error('the default configuration does not load');
  const log = createLogger({ level: 'silent', format: 'json' });
  const lifecycle = new Lifecycle(log);
  rows = allRoutes(buildModules(loaded.value, systemClock, log, lifecycle));
  stopRows = () => lifecycle.stop();
}, 60_000);
afterAll(async () => {
  await server.stop();
  await stopRows();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: atOnce });

function ask(base: URL, wanted: FuzzRequest, token: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? wanted.headers : { ...wanted.headers, authorization: `Bearer ${token}` };
    const outgoing = request(
      {
        agent,
        host: base.hostname,
        port: base.port,
        method: wanted.method,
        path: wanted.path,
        headers,
        timeout: 40_000,
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('latin1') }),
        );
        incoming.on('error', reject);
      },
    );
    outgoing.on('timeout', () => {
      outgoing.destroy(
        new Error(`no answer in 40 s: ${wanted.method} ${wanted.path} ${wanted.body?.toString() ?? ''}`),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(wanted.body);
  });
}

/** Rows that wait by design get no long timeout; their own tests wait. */
const quickened = (path: string): string =>
  path.replace(/([?&]timeout=)[^&]*/g, '$10').replace(/([?&]timeout_ms=)[^&]*/g, '$10');

async function prepareVictim(base: string): Promise<{ room: string; event: string; user: string }> {
  const victim = await registerAccount(base, 'victim');
  const room = await victim.createRoom({ preset: 'private_chat', name: secret, topic: secret });
  const sent = await victim.send(room, '1', secret);
  const user = '@victim:localhost';
  await victim.must('PUT', `${v3}/user/${user}/account_data/x.secret`, { secret });
  await victim.must('PUT', `${v3}/user/${user}/rooms/${encodeURIComponent(room)}/tags/${secret}`, { order: 0.5 });
  victim.close();
  return { room, event: String(sent.body['event_id']), user };
}

const memoryMb = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

test('no request made from the rows breaks the server or shows what is not the sender’s', async () => {
  const base = new URL(server.baseUrl);
  const victim = await prepareVictim(server.baseUrl);
  const clients: Client[] = [];
  const tokens: string[] = [];
  const enlist = async (index: number): Promise<void> => {
    const name = `fuzzer${index}x${Math.random().toString(36).slice(2, 8)}`;
    const client = await registerAccount(server.baseUrl, name);
    clients.push(client);
    tokens[index] = client.token;
  };
  for (let index = 0; index < 4; index += 1) await enlist(index);
  const [first] = clients;
  if (first === undefined) throw new Error('no accounts');
  const own = await first.createRoom();
  const ownEvent = String((await first.send(own, '1', 'hello')).body['event_id']);
  const users = [...clients.map((client) => client.userId), victim.user, '@nobody:localhost', '@far:elsewhere.example'];
  const known: KnownIds = {
    roomId: [own, victim.room, '!nothing:localhost'],
    roomIdOrAlias: [own, victim.room, '#none:localhost'],
    roomAlias: ['#none:localhost', '#one:localhost'],
    eventId: [ownEvent, victim.event, '$nothing'],
    userId: users,
    eventType: ['m.room.message', 'm.room.member', 'm.room.power_levels', 'm.room.name', 'm.reaction', 'x.y'],
    stateKey: ['', ...users],
    type: ['m.direct', 'x.y', 'm.push_rules', 'm.fully_read'],
    txnId: ['1', '2', '3'],
    deviceId: ['DEVICE', 'x'],
    serverName: ['localhost', 'elsewhere.example'],
    mediaId: ['abc'],
    version: ['1'],
  };
  const picked = fc.constantFrom(...rows).chain((row) => requestFor(row, known, tokens.length));
  const before = memoryMb(server.child.pid ?? 0);
  const faults: string[] = [];
  const statuses = new Map<number, number>();
  for (let done = 0; done < count && faults.length === 0; done += 200) {
    const batch = fc.sample(picked, { seed: seed + done, numRuns: Math.min(200, count - done) });
    const next = batch[Symbol.iterator]();
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (const wanted of next) {
          const quick = { ...wanted, path: quickened(wanted.path) };
          const index = quick.account;
          const answer = await ask(base, quick, index === undefined ? undefined : tokens[index]);
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          const told = `${quick.method} ${quick.path} ${quick.body?.toString() ?? ''} -> ${answer.status} ${answer.text.slice(0, 300)}`;
          // 502 and 504 are the specification's own for what another server would have to answer.
          if (answer.status >= 500 && answer.status !== 502 && answer.status !== 504) faults.push(told);
          if (answer.text.includes(secret) && !quick.path.includes(secret)) faults.push(`shows a secret: ${told}`);
          if (answer.status === 401 && index !== undefined && answer.text.includes('M_UNKNOWN_TOKEN'))
            await enlist(index);
        }
      }),
    );
  }
  expect(faults).toEqual([]);
  const alive = await new Client(server.baseUrl).ask('GET', '/_matrix/client/versions');
  expect(alive.status).toBe(200);
  const grown = memoryMb(server.child.pid ?? 0) - before;
  expect(grown).toBeLessThan(300);
  process.stderr.write(
    `fuzz: ${count} requests, ${JSON.stringify(Object.fromEntries(statuses))}, memory +${grown.toFixed(0)} MB\n`,
  );
  for (const client of clients) client.close();
}, 3_600_000);
