/**
 * Events of other servers: signed PDUs in transactions of fifty, in one room and in twenty, per second and in relation to
 * the floor of verifying, hashing and inserting them, which is measured right before and after. The rooms are spread over
 * four servers; their transactions come one at a time, and then side by side, each server with one in flight.
 * Run: `node test/bench/inbound.ts [events]`
 */
import { rmSync } from 'node:fs';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { registerAccount } from '../support/client.ts';
import { temporaryFolder } from '../support/server-process.ts';
import { makeTestCa } from '../support/tls.ts';
import { BigRoom } from './big-room.ts';
import { type Cost, floorOf } from './floor.ts';
import { median } from './load/rows.ts';
import { Resident } from './resident.ts';
import { cpuMs, delays, startWatched } from './watched-server.ts';

const perTransaction = 50;
const rounds = 5;
const count = Number(process.argv[2] ?? 10_000);
const line = 'about as long as what people write to each other in rooms, which is a line or two of text';

interface Transaction {
  readonly uri: string;
  readonly content: string;
  readonly authorization: string;
}

/** Transactions with the events in their order. */
function transactionsOf(resident: Resident, destination: string, texts: readonly string[]): Transaction[] {
  const made: Transaction[] = [];
  for (let from = 0; from < texts.length; from += perTransaction) {
    const pdus = texts.slice(from, from + perTransaction).map((text) => JSON.parse(text) as JsonObject);
    const content = canonicalJson({ origin: resident.name, origin_server_ts: Date.now(), pdus });
    const uri = `/_matrix/federation/v1/send/bench${Date.now()}-${from}`;
    made.push({ uri, content, authorization: resident.sign(destination, 'PUT', uri, content) });
  }
  return made;
}

async function send(baseUrl: string, { uri, content, authorization }: Transaction): Promise<void> {
  const headers = { authorization, 'content-type': 'application/json' };
  const reply = await fetch(`${baseUrl}${uri}`, { method: 'PUT', headers, body: content });
  const answer = await reply.text();
  if (reply.status !== 200 || answer.includes('"error"')) throw new Error(`${reply.status} ${answer.slice(0, 500)}`);
}

/** One in flight for each server, as servers do it. */
const sendAll = (baseUrl: string, queues: readonly (readonly Transaction[])[]): Promise<unknown> =>
  Promise.all(
    queues.map(async (queue) => {
      for (const transaction of queue) await send(baseUrl, transaction);
    }),
  );

/** A server elsewhere with rooms of its own. */
interface Origin {
  readonly resident: Resident;
  readonly rooms: readonly BigRoom[];
}

async function originsOf(stack: AsyncDisposableStack, servers: number, roomCount: number): Promise<Origin[]> {
  const ca = makeTestCa();
  const origins: Origin[] = [];
  for (let at = 0; at < servers; at += 1) {
    const resident = stack.use(await Resident.start({ delayMs: 0, ca }));
    resident.omits = false;
    const { name: serverName, keyId, key } = resident;
    const rooms = Array.from({ length: roomCount / servers }, (_, index) => {
      const room = { serverName, keyId, key, members: 20, formerLevels: 0, others: 0, name: `-${at}-${index}` };
      return new BigRoom(room);
    });
    for (const room of rooms) resident.add(room);
    origins.push({ resident, rooms });
  }
  return origins;
}

/** What each server says in its rooms in turn, `events` of all together. */
const saidBy = (origins: readonly Origin[], events: number): string[][] =>
  origins.map(({ rooms }) =>
    Array.from({ length: events / origins.length }, (_, at) => rooms[at % rooms.length]?.say(`${at} ${line}`) ?? ''),
  );

interface Round {
  readonly perSecond: number;
  readonly ofFloor: number;
  readonly ofFloorCpu: number;
}

async function measure(roomCount: number, servers: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const origins = await originsOf(stack, servers, roomCount);
  const data = temporaryFolder();
  stack.defer(() => rmSync(data, { recursive: true, force: true }));
  const [first] = origins;
  if (first === undefined) throw new Error('no servers');
  const { server, name } = await startWatched(first.resident, data);
  stack.defer(async () => void (await server.stop()));
  const client = await registerAccount(server.baseUrl, 'alice');
  client.checks = false;
  stack.defer(() => client.close());
  for (const { resident, rooms } of origins) {
    for (const { roomId } of rooms) {
      await client.must('POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}?via=${resident.name}`, {});
    }
  }
  const rules = first.rooms[0]?.rules;
  if (rules === undefined) throw new Error('no rooms');
  const floor = async (said: readonly (readonly string[])[]): Promise<Cost> => {
    const total = { ms: 0, cpuMs: 0 };
    for (const [at, texts] of said.entries()) {
      const { name: serverName, key } = (origins[at] ?? first).resident;
      const { ms, cpuMs } = await floorOf({ texts, rules, serverName, publicKey: key.publicKey });
      total.ms += ms;
      total.cpuMs += cpuMs;
    }
    return total;
  };
  /** The server against the floor right before and after it. */
  const round = async (atOnce: boolean): Promise<Round> => {
    const texts = saidBy(origins, count / rounds);
    const queues = texts.map((some, at) => transactionsOf((origins[at] ?? first).resident, name, some));
    const before = await floor(texts);
    const [started, cpu] = [performance.now(), cpuMs(server)];
    await sendAll(server.baseUrl, atOnce ? queues : [queues.flat()]);
    const [ms, usedMs] = [performance.now() - started, cpuMs(server) - cpu];
    const after = await floor(texts);
    return {
      perSecond: (count / rounds / ms) * 1000,
      ofFloor: (before.ms + after.ms) / 2 / ms,
      ofFloorCpu: (before.cpuMs + after.cpuMs) / 2 / usedMs,
    };
  };
  // The first ones find server and floor cold.
  for (let at = 0; at < 2; at += 1) await round(false);
  await delays(server);
  const modes = servers > 1 ? [false, true] : [false];
  const results = new Map(modes.map((mode): [boolean, Round[]] => [mode, []]));
  for (let at = 0; at < rounds; at += 1) for (const mode of modes) results.get(mode)?.push(await round(mode));
  const { p99, max } = await delays(server);
  console.log(`${count} events in ${roomCount} room${roomCount > 1 ? 's' : ''}, ${rounds} rounds:`);
  for (const [atOnce, some] of results) {
    const ratios = some.map(({ ofFloor }) => ofFloor);
    const figure = (value: (one: Round) => number): number => median(some.map(value));
    console.log(
      `  ${atOnce ? `${servers} servers, each with one transaction in flight` : 'one transaction at a time'}: ` +
        `${figure(({ perSecond }) => perSecond).toFixed(0)} a second = ${median(ratios).toFixed(2)} of the floor ` +
        `(${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}; goal 0.4), ` +
        `by the processor ${figure(({ ofFloorCpu }) => ofFloorCpu).toFixed(2)}`,
    );
  }
  console.log(`  event loop: p99 ${p99.toFixed(1)}, longest ${max.toFixed(0)} ms`);
}

await measure(1, 1);
await measure(20, 4);
