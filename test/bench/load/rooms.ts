/** Loads on rooms: sending, waiting for what is sent, joining, reading. */
import { median } from './rows.ts';
import { account, many, type Client, type Target } from './target.ts';
import { type Scenario, publicRoom, repeated, warmUp, send, timed, v3, enc, nextTransaction } from './scenario.ts';

export const sendLatency: Scenario = {
  name: 'send, p50 of one client',
  unit: 'ms',
  prepare: async (target) => {
    const client = await account(target);
    const room = await publicRoom(client);
    await repeated(warmUp, () => send(client, room));
    return () => repeated(60, () => send(client, room));
  },
};

export const throughput = (clients: number): Scenario => ({
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

export const parkedSync: Scenario = {
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

export const fanOut: Scenario = {
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

export const createRoom: Scenario = {
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

export const joinBig: Scenario = {
  name: 'join a room of many members, p50',
  unit: 'ms',
  prepare: async (target, { members }) => {
    const { room } = await bigRoom(target, members);
    return async () => {
      const newcomers = await many(16, () => account(target));
      // Clients that are there already, each with its connection.
      for (const newcomer of newcomers) await newcomer.must('GET', `${v3}/account/whoami`);
      const values: number[] = [];
      for (const newcomer of newcomers) values.push(await timed(() => newcomer.join(room)));
      return median(values);
    };
  },
};

export const sendBig: Scenario = {
  name: 'send in a room of many members, p50',
  unit: 'ms',
  prepare: async (target, { members }) => {
    const { owner, room } = await bigRoom(target, members);
    await repeated(warmUp, () => send(owner, room));
    return () => repeated(25, () => send(owner, room));
  },
};

export const membersOf: Scenario = {
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

export const messages: Scenario = {
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

export const search: Scenario = {
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
