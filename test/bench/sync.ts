/**
 * A user of a thousand rooms: time of an initial sync, of an incremental one by both ways, of waking two hundred parked
 * syncs, and the longest turn of the event loop meanwhile. Run: `node test/bench/sync.ts [rooms] [members]`.
 */
import type { Room } from '../../src/roomserver/index.ts';
import { user } from '../support/room-core.ts';
import { openTestSync } from '../support/sync.ts';

const count = Number(process.argv[2] ?? 1000);
const memberCount = Number(process.argv[3] ?? 20);
const alice = '@alice:one.example';

/** Longest time between two turns of the loop while `work` runs, ms. */
async function watched<T>(name: string, work: () => Promise<T>): Promise<T> {
  let longest = 0;
  let last = performance.now();
  let running = true;
  const lap = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(lap);
  };
  setImmediate(lap);
  const started = performance.now();
  const value = await work();
  running = false;
  const took = performance.now() - started;
  console.log(`${name}: ${took.toFixed(1)} ms, longest turn ${longest.toFixed(1)} ms`);
  return value;
}

await using server = openTestSync();
const rooms: Room[] = [];
const started = performance.now();
for (let index = 0; index < count; index += 1) {
  rooms.push(
    await server.write((tx) => {
      const { core } = server.rooms;
      const room = core.createRoom(tx, { version: '12', sender: user(alice), content: {} });
      const state = (type: string, content: Record<string, unknown>, key = '', sender = alice): void =>
        void core.send(tx, room, { type, stateKey: key, sender: user(sender), content });
      state('m.room.member', { membership: 'join' }, alice);
      state('m.room.power_levels', { users: {} });
      state('m.room.join_rules', { join_rule: 'public' });
      state('m.room.name', { name: `Room ${index}` });
      for (let member = 0; member < memberCount; member += 1) {
        const id = `@m${member}:one.example`;
        state('m.room.member', { membership: 'join' }, id, id);
      }
      for (let message = 0; message < 12; message += 1) {
        core.send(tx, room, { type: 'm.room.message', sender: user(alice), content: { body: `${message}` } });
      }
      return room;
    }),
  );
}
console.log(`made ${count} rooms in ${(performance.now() - started).toFixed(0)} ms`);
const [first] = rooms;
if (first === undefined) throw new Error('no rooms');
const say = (room: Room, body: string) => server.say(room, '@m1:one.example', body);

const chunks = await watched('initial sync', () => server.chunks(alice));
await watched('joining its chunks', async () => Buffer.from(chunks.join('')).length);
const lazy = { room: { state: { lazy_load_members: true } } };
await watched('initial sync, lazy', () => server.chunks(alice, { filter: lazy }));
const body = await server.sync(alice, { filter: lazy });
console.log(`  ${(JSON.stringify(body).length / 1e6).toFixed(1)} MB`);
await say(first, 'one');
const since = body.next_batch;
for (const way of ['linear', 'polylog'] as const) {
  await watched(`incremental, one message, ${way}`, () => server.composeBy(way, alice, { since }));
  await watched(`incremental, one message, ${way}, again`, () => server.composeBy(way, alice, { since }));
}
const { next_batch: now } = await server.sync(alice);
const parked = Array.from({ length: 200 }, (_, index) =>
  server.sync(`@m${index % memberCount}:one.example`, {
    since: now,
    timeout: 30_000,
    device: `D${index}`,
    presence: 'offline',
  }),
);
await watched('parking 200', async () => {
  while (server.clock.sleeping < 200) await new Promise((resolve) => setImmediate(resolve));
});
await watched('one message to 200 parked syncs', async () => {
  await say(first, 'wake');
  await Promise.all(parked);
});
