/**
 * What is measured. Each scenario prepares what it needs on a target once, then gives one figure a round. Every reply is
 * held against what it should say: a fast wrong answer is an error, not a figure.
 */
import { median } from './rows.ts';
import { account, diskBytes, many, residentMb, type Client, type Target } from './target.ts';
import {
  sendLatency,
  throughput,
  parkedSync,
  createRoom,
  messages,
  search,
  joinBig,
  sendBig,
  membersOf,
  fanOut,
} from './rooms.ts';
import { publicRoom, send, type Scenario, repeated, warmUp, timed, type Size } from './scenario.ts';

/** A user of many rooms with some messages each. */
async function userOfRooms(
  target: Target,
  rooms: number,
): Promise<{ user: Client; friend: Client; roomIds: string[] }> {
  const [user, friend] = [await account(target), await account(target)];
  const roomIds = await many(rooms, async () => {
    const room = await publicRoom(friend);
    await user.join(room);
    await send(friend, room);
    return room;
  });
  return { user, friend, roomIds };
}

const initialSync: Scenario = {
  name: 'initial sync of many rooms, cold',
  unit: 'ms',
  prepare: async (target, { rooms }) => {
    let variation = 0;
    const take = async ({ user, roomIds }: { user: Client; roomIds: string[] }): Promise<void> => {
      // A new filter each time: some servers keep the answer to a repeated one.
      variation += 1;
      const answer = await user.sync(undefined, 0, {
        room: { timeline: { limit: 10, not_types: [`x.${variation}`] } },
      });
      const count = Object.keys(answer.rooms?.join ?? {}).length;
      if (count !== roomIds.length) throw new Error(`initial sync held ${count} rooms`);
    };
    // The server is warm, what it reads of this user's rooms is not.
    const other = await userOfRooms(target, 20);
    await repeated(warmUp / 10, () => take(other));
    const wanted = await userOfRooms(target, rooms);
    return () => timed(() => take(wanted));
  },
};

const incrementalSync = (share: (size: Size) => number, label: string): Scenario => ({
  name: `incremental sync, one room changed of ${label}`,
  unit: 'ms',
  prepare: async (target, size) => {
    const { user, friend, roomIds } = await userOfRooms(target, share(size));
    let token = (await user.sync(undefined, 0)).next_batch;
    const take = async (times: number): Promise<number> => {
      const values: number[] = [];
      for (let count = 0; count < times; count += 1) {
        const room = roomIds[count % roomIds.length] ?? '';
        const eventId = await send(friend, room);
        values.push(
          await timed(async () => {
            const answer = await user.sync(token, 0);
            token = answer.next_batch;
            const events = answer.rooms?.join?.[room]?.timeline?.events ?? [];
            if (!events.some((event) => event.event_id === eventId)) throw new Error('the change is missing');
          }),
        );
      }
      return median(values);
    };
    await take(warmUp);
    return () => take(15);
  },
});

const memory: Scenario = {
  name: 'resident memory after all that',
  unit: 'MB',
  prepare: (target) => Promise.resolve(() => Promise.resolve(residentMb(target))),
};

const bytesPerMessage: Scenario = {
  name: 'bytes on disk per message',
  unit: 'B',
  prepare: async (target) => {
    const [client, other] = [await account(target), await account(target)];
    const room = await publicRoom(client);
    await other.join(room);
    return async () => {
      if (target.restart !== undefined) await target.restart();
      const before = diskBytes(target);
      const count = 600;
      await many(count, () => send(client, room));
      if (target.restart !== undefined) await target.restart();
      const after = diskBytes(target);
      return before === undefined || after === undefined ? undefined : (after - before) / count;
    };
  },
};

export const scenarios: readonly Scenario[] = [
  sendLatency,
  throughput(1),
  throughput(8),
  throughput(32),
  throughput(100),
  parkedSync,
  createRoom,
  messages,
  search,
  incrementalSync(({ rooms }) => Math.max(10, Math.round(rooms / 6)), 'a sixth of the rooms'),
  incrementalSync(({ rooms }) => rooms, 'all rooms'),
  initialSync,
  joinBig,
  sendBig,
  membersOf,
  fanOut,
  memory,
  bytesPerMessage,
];
