/**
 * Joining big rooms: a server of its own process enters rooms of a scripted one, without their members and in full. Told
 * are times (of the network 50 ms an answer), memory over idle, delays of the event loop, bytes stored, and what all of it
 * is in relation to the floor. Run: `npm run bench:partial -- [members …]`
 */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { registerAccount, type Client } from '../support/client.ts';
import { temporaryFolder, type ServerProcess } from '../support/server-process.ts';
import { BigRoom } from './big-room.ts';
import { type Cost, floorOf } from './floor.ts';
import { Resident } from './resident.ts';
import { cpuMs, type Delays, delays, memoryMiB, pause, startWatched } from './watched-server.ts';

interface Run {
  readonly joinedMs: number;
  readonly shownMs: number;
  readonly sentMs: number;
  readonly arrivedMs: number | undefined;
  readonly wholeMs: number;
  readonly wholeCpuMs: number;
  readonly requests: number;
  readonly memoryMiB: number;
  readonly toFirstMessage: Delays;
  readonly toWhole: Delays;
}

const waitForWholeMs = 15 * 60_000;
const lazy = { room: { state: { lazy_load_members: true }, timeline: { limit: 10 } } };

async function until(work: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await work())) {
    if (performance.now() > deadline) throw new Error('it takes too long');
    await pause(10);
  }
}

/** Joins, looks, speaks, and waits until the room is whole. */
async function enter(server: ServerProcess, client: Client, resident: Resident, room: BigRoom): Promise<Run> {
  await pause(1000);
  await delays(server);
  const [idleMiB, asked] = [memoryMiB(server, 'VmRSS'), resident.asked.length];
  const wholeLines = (): number => server.output().split('the state of the room is whole').length;
  const wholeBefore = wholeLines();
  const arrived = resident.awaits(room.roomId, 'm.room.message');
  const [started, cpuBefore] = [performance.now(), cpuMs(server)];
  const since = (): number => performance.now() - started;
  await client.must('POST', `/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}?via=${resident.name}`, {});
  const joinedMs = since();
  const sync = await client.sync(undefined, 0, lazy);
  if (sync.rooms?.join?.[room.roomId] === undefined) throw new Error('the room is not shown');
  const shownMs = since();
  const sent = await client.send(room.roomId, `m${Date.now()}`, 'hello');
  if (sent.status !== 200) throw new Error(JSON.stringify(sent.body));
  const sentMs = since();
  // The resync has begun meanwhile: nobody waits for its requests.
  const requests = resident.asked.slice(asked).filter((path) => /\/(make_join|send_join|key)\//.test(path)).length;
  const toFirstMessage = await delays(server);
  let wholeMs = joinedMs;
  if (resident.omits) {
    await until(() => wholeLines() > wholeBefore, waitForWholeMs);
    wholeMs = since();
  }
  const wholeCpuMs = cpuMs(server) - cpuBefore;
  const arrival = await Promise.race([arrived, pause(3000)]);
  const toWhole = await delays(server);
  const memory = memoryMiB(server, 'VmHWM') - idleMiB;
  const arrivedMs = arrival === undefined ? undefined : arrival - started;
  return {
    joinedMs,
    shownMs,
    sentMs,
    arrivedMs,
    wholeMs,
    wholeCpuMs,
    requests,
    memoryMiB: memory,
    toFirstMessage,
    toWhole,
  };
}

const ms = (value: number | undefined): string => (value === undefined ? 'never' : `${value.toFixed(0)} ms`);
const told = ({ p50, p99, max, busyP99, busyMax }: Delays): string =>
  `p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, longest ${max.toFixed(0)} ms; ` +
  `its own processor time p99 ${busyP99.toFixed(1)}, longest ${busyMax.toFixed(0)} ms`;

interface Floors {
  readonly brief: Cost;
  readonly whole: Cost;
}

async function measure(omits: boolean, room: BigRoom, resident: Resident): Promise<void> {
  const { members } = room.shape;
  const of = (ids: BigRoom['stateIds']): Promise<Cost> => {
    const { name: serverName, key } = resident;
    return floorOf({ texts: room.texts(ids), rules: room.rules, serverName, publicKey: key.publicKey });
  };
  const floor = async (): Promise<Floors> => ({
    brief: await of([...room.briefChainIds, ...room.briefIds]),
    whole: await of([...room.chainIds, ...room.stateIds]),
  });
  await of(room.stateIds.slice(0, 2000));
  const before = await floor();
  resident.omits = omits;
  await using stack = new AsyncDisposableStack();
  const data = temporaryFolder();
  stack.defer(() => rmSync(data, { recursive: true, force: true }));
  const server = (await startWatched(resident, data)).server;
  stack.defer(async () => void (await server.stop()));
  const client = await registerAccount(server.baseUrl, 'alice');
  client.checks = false;
  stack.defer(() => client.close());
  // A server that runs has spoken with others before.
  const small = new BigRoom({ ...room.shape, members: 30 });
  resident.add(small);
  await enter(server, client, resident, small);
  const run = await enter(server, client, resident, room);
  const local = run.sentMs - run.requests * resident.delayMs;
  console.log(`${members} members, ${omits ? 'joined without them' : 'joined in full'}:`);
  console.log(
    `  joined ${ms(run.joinedMs)}, shown ${ms(run.shownMs)}, message accepted ${ms(run.sentMs)}, arrived ${ms(run.arrivedMs)}`,
  );
  console.log(`  event loop until then: ${told(run.toFirstMessage)}`);
  // Other work on the machine comes and goes: the floor is measured on both sides.
  const after = await floor();
  const brief = (before.brief.ms + after.brief.ms) / 2;
  const whole = { ms: (before.whole.ms + after.whole.ms) / 2, cpuMs: (before.whole.cpuMs + after.whole.cpuMs) / 2 };
  const times = (a: number, b: number): string => `${(a / b).toFixed(2)} x floor`;
  if (omits) {
    console.log(`  local part of that ${ms(local)} = ${times(local, brief)} of ${ms(brief)} (goal 3)`);
    console.log(`  event loop from there on: ${told(run.toWhole)} (goal p99 60 ms)`);
  }
  console.log(
    `  whole after ${ms(run.wholeMs)} = ${times(run.wholeMs, whole.ms)} of ${ms(whole.ms)} (goal 2), ` +
      `processor ${ms(run.wholeCpuMs)} = ${times(run.wholeCpuMs, whole.cpuMs)}`,
  );
  console.log(`  memory ${run.memoryMiB.toFixed(0)} MiB over idle (goal 250)`);
  const started = performance.now();
  await client.must('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/joined_members`);
  console.log(
    `  then joined_members in ${ms(performance.now() - started)}, longest turn ${ms((await delays(server)).max)}`,
  );
  await server.stop();
  // Stopped, the file holds all.
  const { size } = statSync(join(data, 'neurite.db'));
  console.log(`  ${(size / 2 ** 20).toFixed(1)} MiB stored, ${(size / members).toFixed(0)} bytes a member`);
}

const sizes = process.argv
  .slice(2)
  .filter((word) => /^\d+$/.test(word))
  .map(Number);
const modes = process.argv.includes('partial') ? [true] : process.argv.includes('full') ? [false] : [true, false];
for (const members of sizes.length > 0 ? sizes : [20_000, 100_000]) {
  await using resident = await Resident.start();
  const { name: serverName, keyId, key } = resident;
  const room = new BigRoom({ serverName, keyId, key, members });
  resident.add(room);
  for (const omits of modes) await measure(omits, room, resident);
}
