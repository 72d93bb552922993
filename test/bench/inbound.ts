/**
 * Events of another server: signed PDUs in transactions of fifty, one after another, in one room and in twenty, per second
 * and in relation to the floor of verifying, hashing and inserting them. Run: `node test/bench/inbound.ts [events]`
 */
import { rmSync } from 'node:fs';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { registerAccount } from '../support/client.ts';
import { temporaryFolder } from '../support/server-process.ts';
import { BigRoom } from './big-room.ts';
import { type Cost, floorOf } from './floor.ts';
import { Resident } from './resident.ts';
import { cpuMs, delays, startWatched } from './watched-server.ts';

const perTransaction = 50;
const count = Number(process.argv[2] ?? 5000);
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

async function measure(roomCount: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const resident = stack.use(await Resident.start({ delayMs: 0 }));
  resident.omits = false;
  const data = temporaryFolder();
  stack.defer(() => rmSync(data, { recursive: true, force: true }));
  const { server, name } = await startWatched(resident, data);
  stack.defer(async () => void (await server.stop()));
  const client = await registerAccount(server.baseUrl, 'alice');
  client.checks = false;
  stack.defer(() => client.close());
  const { name: serverName, keyId, key } = resident;
  const rooms = Array.from(
    { length: roomCount },
    (_, index) => new BigRoom({ serverName, keyId, key, members: 20, formerLevels: 0, others: 0, name: `-${index}` }),
  );
  for (const room of rooms) {
    resident.add(room);
    await client.must('POST', `/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}?via=${serverName}`, {});
  }
  const say = (events: number): string[] =>
    Array.from({ length: events }, (_, index) => rooms[index % roomCount]?.say(`${index} ${line}`) ?? '');
  // The first ones find the server cold.
  for (const transaction of transactionsOf(resident, name, say(count / 5))) await send(server.baseUrl, transaction);
  const texts = say(count);
  const transactions = transactionsOf(resident, name, texts);
  const [rules, publicKey] = [rooms[0]?.rules, key.publicKey];
  if (rules === undefined) throw new Error('no rooms');
  const floor = (): Promise<Cost> => floorOf({ texts, rules, serverName, publicKey });
  await floor();
  const before = await floor();
  await delays(server);
  const [started, cpu] = [performance.now(), cpuMs(server)];
  for (const transaction of transactions) await send(server.baseUrl, transaction);
  const [ms, usedMs] = [performance.now() - started, cpuMs(server) - cpu];
  const { p99, max } = await delays(server);
  const after = await floor();
  const [floorMs, floorCpu] = [(before.ms + after.ms) / 2, (before.cpuMs + after.cpuMs) / 2];
  console.log(`${count} events in ${roomCount} room${roomCount > 1 ? 's' : ''}:`);
  console.log(
    `  ${((count * 1000) / ms).toFixed(0)} a second = ${(floorMs / ms).toFixed(2)} of the floor of ` +
      `${((count * 1000) / floorMs).toFixed(0)} (goal 0.4), by the processor ${(floorCpu / usedMs).toFixed(2)}`,
  );
  console.log(`  event loop: p99 ${p99.toFixed(1)}, longest ${max.toFixed(0)} ms`);
}

for (const rooms of [1, 20]) await measure(rooms);
