/** Resident memory: idle, after a user of many rooms has synced, and with many parked syncs. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SyncAnswer } from '../../support/client.ts';
import { fillRooms } from './fill.ts';
import { ownRow, type Row } from './rows.ts';
import { send, v3 } from './scenario.ts';
import { account, many, residentMb, type Client, type OwnTarget } from './target.ts';

export interface MemorySizes {
  readonly rooms: number;
  readonly parked: number;
}

/** Members of each room of the parked users. */
const together = 50;
/** A server at rest uses less than this share of a core. */
const restShare = 0.03;

/** CPU time of the process so far, in ms. */
function cpuMs({ pid }: OwnTarget): number {
  // Fields 14 and 15, in ticks of 10 ms; the name before them may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory once the server has come to rest, in MB. */
async function settled(target: OwnTarget): Promise<number> {
  for (let calm = 0; calm < 3;) {
    const before = cpuMs(target);
    await sleep(1000);
    calm = cpuMs(target) - before <= restShare * 1000 ? calm + 1 : 0;
  }
  return residentMb(target) ?? 0;
}

export async function measureMemory(target: OwnTarget, sizes: MemorySizes, onRow: (row: Row) => void): Promise<void> {
  const [user, friend] = [await account(target), await account(target)];
  onRow(ownRow('resident memory, idle', 'MB', [await settled(target)]));
  await target.fill((modules) => fillRooms(modules, friend.userId, user.userId, sizes.rooms));
  onRow(ownRow(`resident memory, idle on ${sizes.rooms} rooms`, 'MB', [await settled(target)]));
  const { rooms } = await user.sync(undefined, 0);
  const count = Object.keys(rooms?.join ?? {}).length;
  if (count !== sizes.rooms) throw new Error(`initial sync held ${count} rooms`);
  onRow(ownRow(`resident memory, ${sizes.rooms} rooms synced`, 'MB', [await settled(target)]));
  await parked(target, sizes.parked, onRow);
}

/** Nobody is woken by the others' presence. */
function syncOffline(reader: Client, since: string | undefined, timeoutMs: number): Promise<SyncAnswer> {
  const query = new URLSearchParams({ timeout: String(timeoutMs), set_presence: 'offline' });
  if (since !== undefined) query.set('since', since);
  return reader.must('GET', `${v3}/sync?${query}`) as unknown as Promise<SyncAnswer>;
}

async function parked(target: OwnTarget, count: number, onRow: (row: Row) => void): Promise<void> {
  const readers = await many(count, () => account(target), 16);
  const rooms = await many(Math.ceil(count / together), async (index) => {
    const [owner, ...others] = readers.slice(index * together, (index + 1) * together);
    const room = await owner?.createRoom();
    for (const other of others) await other.join(room ?? '');
    return room ?? '';
  });
  const tokens = await many(readers.length, async (index) => {
    const reader = readers[index];
    return reader === undefined ? '' : (await syncOffline(reader, undefined, 0)).next_batch;
  });
  // What was needed to get here is no part of it.
  await target.restart();
  const before = await settled(target);
  const waiting = readers.map((reader, index) => syncOffline(reader, tokens[index], 600_000));
  let back = 0;
  // Those of other rooms are still waiting when the server ends.
  for (const wait of waiting)
    wait.then(
      () => (back += 1),
      () => undefined,
    );
  const after = await settled(target);
  if (back > 0) throw new Error(`${back} of ${count} syncs were not parked`);
  onRow(ownRow(`resident memory, ${count} parked syncs`, 'MB', [after]));
  onRow(ownRow('resident memory of each', 'KB', [((after - before) * 1024) / count]));
  const [writer] = readers;
  const [room = ''] = rooms;
  if (writer === undefined) return;
  const eventId = await send(writer, room);
  for (const answer of await Promise.all(waiting.slice(0, together))) {
    const events = answer.rooms?.join?.[room]?.timeline?.events ?? [];
    if (!events.some(({ event_id: id }) => id === eventId))
      throw new Error('a parked sync came back without the event');
  }
}
