/** The time from starting the process to its first answer, on an empty database and on one of many events. */
import { fillHistory } from './fill.ts';
import { ownRow, type Row } from './rows.ts';
import { send, timed } from './scenario.ts';
import { account, diskBytes, residentMb, type OwnTarget } from './target.ts';

/** Events of each room. */
const roomSize = 10_000;

async function starts(target: OwnTarget, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await target.restart());
  return times;
}

export async function measureColdStart(
  target: OwnTarget,
  events: number,
  rounds: number,
  onRow: (row: Row) => void,
): Promise<void> {
  const client = await account(target);
  await send(client, await client.createRoom());
  onRow(ownRow('cold start, a handful of events', 'ms', await starts(target, rounds)));
  const before = diskBytes(target) ?? 0;
  const lasts = new Map<string, string>();
  const began = performance.now();
  await target.fill(async (modules) => {
    for (let made = 0; made < events; made += roomSize) {
      const { room, last } = await fillHistory(modules, client.userId, Math.min(roomSize, events - made));
      lasts.set(room, last);
    }
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  process.stderr.write(`${events} events written and indexed in ${seconds} s\n`);
  onRow(ownRow('bytes on disk per event, written in big units', 'B', [((diskBytes(target) ?? 0) - before) / events]));
  onRow(ownRow(`cold start, ${events} events`, 'ms', await starts(target, rounds)));
  const firsts: number[] = [];
  const memory: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await target.restart();
    memory.push(residentMb(target) ?? 0);
    firsts.push(
      await timed(async () => {
        const { rooms } = await client.sync(undefined, 0);
        for (const [room, last] of lasts)
          if (rooms?.join?.[room]?.timeline?.events.at(-1)?.event_id !== last)
            throw new Error('a last event is missing');
      }),
    );
  }
  onRow(ownRow(`first initial sync after it, ${lasts.size + 1} rooms`, 'ms', firsts));
  onRow(ownRow('resident memory after it', 'MB', memory));
}
