/**
 * What is measured. Each scenario prepares what it needs on a target once, then gives one figure a round. Every reply is
 * held against what it should say: a fast wrong answer is an error, not a figure.
 */
import { threadId } from 'node:worker_threads';
import { median, type Unit } from './rows.ts';
import { account, diskBytes, many, residentMb, type Client, type Target } from './target.ts';

/** Takes one figure; undefined where the target does not tell. */
export type Measure = () => Promise<number | undefined>;

export interface Scenario {
  readonly name: string;
  readonly unit: Unit;
  /** 'ms', 'MB' and 'B': less is better; '1/s': more is. */
  prepare(target: Target, size: Size): Promise<Measure>;
}

export interface Size {
  readonly rooms: number;
  readonly members: number;
  readonly parked: number;
  /** Seconds of each throughput measurement. */
  readonly seconds: number;
}

export const v3 = '/_matrix/client/v3';
export const enc = encodeURIComponent;
/** Threads and runs have transaction ids of their own. */
const run = `${Date.now().toString(36)}.${threadId}`;
let transactions = 0;
const nextTransaction = (): string => `b${run}.${(transactions += 1)}`;

/** A message about as long as people write. */
const text = (): string => `message ${transactions} of a bench, about as long as what people write to each other`;

/** Sends a message; its event id. */
export async function send(client: Client, roomId: string): Promise<string> {
  const answer = await client.send(roomId, nextTransaction(), text());
  const eventId = answer.body['event_id'];
  if (answer.status !== 200 || typeof eventId !== 'string') throw new Error(`send: ${JSON.stringify(answer)}`);
  return eventId;
}

/** How long it takes, in ms. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Median of several times, in ms. */
export const repeated = async (times: number, work: () => Promise<unknown>): Promise<number> => {
  const values: number[] = [];
  for (let count = 0; count < times; count += 1) values.push(await timed(work));
  return median(values);
};

/** Requests of a kind that come before the first that counts: a server that has just started is slower than it will be. */
const warmUp = 200;

const publicRoom = (client: Client): Promise<string> => client.createRoom({ preset: 'public_chat' });

const sendLatency: Scenario = {
  name: 'send, p50 of one client',
  unit: 'ms',
  prepare: async (target) => {
    const client = await account(target);
    const room = await publicRoom(client);
    await repeated(warmUp, () => send(client, room));
    return () => repeated(60, () => send(client, room));
  },
};

const throughput = (clients: number): Scenario => ({
  name: `events per second, ${clients} ${clients === 1 ? 'client' : 'clients'} in own rooms`,
  unit: '1/s',
  prepare: async (target, { seconds }) => {
    const senders = await many(clients, async () => {
      const client = await account(target);
      return { client, room: await publicRoom(client) };
    });
    return async () => {
      let count = 0;
      const started = performance.now();
      await Promise.all(
        senders.map(async ({ client, room }) => {
          while (performance.now() - started < seconds * 1000) {
            await send(client, room);
            count += 1;
          }
        }),
      );
      return (count * 1000) / (performance.now() - started);
    };
  },
});

/** Waits in /sync until the event has come; resolves with the time at which it was read. */
async function awaitEvent(reader: Client, roomId: string, since: string, eventId: Promise<string>): Promise<number> {
  let token = since;
  for (;;) {
    const answer = await reader.sync(token, 30_000);
    const at = performance.now();
    token = answer.next_batch;
    const events = answer.rooms?.join?.[roomId]?.timeline?.events ?? [];
    if (events.length === 0) continue;
    const wanted = await eventId;
    if (events.some((event) => event.event_id === wanted)) return at;
  }
}

const parkedSync: Scenario = {
  name: 'send to parked /sync, p50',
  unit: 'ms',
  prepare: async (target) => {
    const [writer, reader] = [await account(target), await account(target)];
    const room = await publicRoom(writer);
    await reader.join(room);
    const take = async (): Promise<number> => {
      const values: number[] = [];
      for (let count = 0; count < 20; count += 1) {
        const { next_batch } = await reader.sync(undefined, 0, { room: { timeline: { limit: 1 } } });
        let tell: (id: string) => void = () => undefined;
        const eventId = new Promise<string>((resolve) => (tell = resolve));
        const arrived = awaitEvent(reader, room, next_batch, eventId);
        await new Promise((done) => setTimeout(done, 40));
        const started = performance.now();
        tell(await send(writer, room));
        values.push((await arrived) - started);
      }
      return median(values);
    };
    for (let count = 0; count < warmUp; count += 20) await take();
    return take;
  },
};

const fanOut: Scenario = {
  name: 'one message to all parked syncs, last one',
  unit: 'ms',
  prepare: async (target, { parked }) => {
    const writer = await account(target);
    const room = await publicRoom(writer);
    const readers = await many(parked, async () => {
      const reader = await account(target);
      await reader.join(room);
      return reader;
    });
    const take = async (): Promise<number> => {
      const tokens = await many(
        readers.length,
        async (index) => (await readers[index]?.sync(undefined, 0))?.next_batch ?? '',
        32,
      );
      let tell: (id: string) => void = () => undefined;
      const eventId = new Promise<string>((resolve) => (tell = resolve));
      const arrivals = readers.map((reader, index) => awaitEvent(reader, room, tokens[index] ?? '', eventId));
      await new Promise((done) => setTimeout(done, 1500));
      const started = performance.now();
      tell(await send(writer, room));
      return Math.max(...(await Promise.all(arrivals))) - started;
    };
    await take();
    return take;
  },
};

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

const createRoom: Scenario = {
  name: 'create a room, p50',
  unit: 'ms',
  prepare: async (target) => {
    const client = await account(target);
    return () => repeated(12, () => publicRoom(client));
  },
};

async function bigRoom(target: Target, members: number): Promise<{ owner: Client; room: string }> {
  const owner = await account(target);
  const room = await publicRoom(owner);
  await many(members - 1, async () => {
    const member = await account(target);
    await member.join(room);
    member.close();
  });
  return { owner, room };
}

const joinBig: Scenario = {
  name: 'join a room of many members, p50',
  unit: 'ms',
  prepare: async (target, { members }) => {
    const { room } = await bigRoom(target, members);
    return async () => {
      const newcomers = await many(8, () => account(target));
      const values: number[] = [];
      for (const newcomer of newcomers) values.push(await timed(() => newcomer.join(room)));
      return median(values);
    };
  },
};

const sendBig: Scenario = {
  name: 'send in a room of many members, p50',
  unit: 'ms',
  prepare: async (target, { members }) => {
    const { owner, room } = await bigRoom(target, members);
    await repeated(warmUp, () => send(owner, room));
    return () => repeated(25, () => send(owner, room));
  },
};

const membersOf: Scenario = {
  name: '/members of a room of many, p50',
  unit: 'ms',
  prepare: async (target, { members }) => {
    const { owner, room } = await bigRoom(target, members);
    const take = async (): Promise<void> => {
      const answer = await owner.must('GET', `${v3}/rooms/${enc(room)}/members`);
      const { length } = answer['chunk'] as unknown[];
      if (length !== members) throw new Error(`/members held ${length}`);
    };
    await repeated(warmUp, take);
    return () => repeated(10, take);
  },
};

const messages: Scenario = {
  name: '/messages, a page of 20, p50',
  unit: 'ms',
  prepare: async (target) => {
    const client = await account(target);
    const room = await publicRoom(client);
    for (let count = 0; count < 120; count += 1) await send(client, room);
    const { next_batch } = await client.sync(undefined, 0);
    const take = async (): Promise<void> => {
      const query = `dir=b&limit=20&from=${enc(next_batch)}`;
      const answer = await client.must('GET', `${v3}/rooms/${enc(room)}/messages?${query}`);
      if ((answer['chunk'] as unknown[]).length !== 20) throw new Error('a page has not 20 events');
    };
    await repeated(warmUp, take);
    return () => repeated(25, take);
  },
};

const search: Scenario = {
  name: 'search, p50',
  unit: 'ms',
  prepare: async (target) => {
    const client = await account(target);
    const room = await publicRoom(client);
    const rare = `rare${Date.now().toString(36)}`;
    for (let count = 0; count < 60; count += 1) await send(client, room);
    await client.send(room, nextTransaction(), `one ${rare} word`);
    const ask = async (): Promise<number> => {
      const body = { search_categories: { room_events: { search_term: rare } } };
      const answer = await client.must('POST', `${v3}/search`, body);
      const found = (answer['search_categories'] as { room_events: { results: unknown[] } }).room_events;
      return found.results.length;
    };
    for (let tries = 0; (await ask()) !== 1; tries += 1) {
      if (tries > 100) throw new Error('the word is never found');
      await new Promise((done) => setTimeout(done, 100));
    }
    return () =>
      repeated(15, async () => {
        if ((await ask()) !== 1) throw new Error('the word is not found');
      });
  },
};

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
