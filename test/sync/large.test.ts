import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Room } from '../../src/roomserver/index.ts';
import { user } from '../support/room-core.ts';
import { bodies, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const roomCount = 1000;
let server: TestSync;
let reads = 0;
const rooms: Room[] = [];

beforeAll(async () => {
  server = openTestSync({ onRead: () => (reads += 1) });
  while (rooms.length < roomCount) {
    await server.write((tx) => {
      for (let index = 0; index < 10; index += 1) {
        const { core } = server.rooms;
        const room = core.createRoom(tx, { version: '12', sender: user(alice), content: {} });
        const send = (type: string, stateKey: string, content: Record<string, unknown>, sender = alice): void =>
          void core.send(tx, room, { type, stateKey, sender: user(sender), content });
        send('m.room.member', alice, { membership: 'join' });
        send('m.room.join_rules', '', { join_rule: 'public' });
        send('m.room.member', bob, { membership: 'join' }, bob);
        rooms.push(room);
      }
    });
  }
}, 120_000);
afterAll(async () => server[Symbol.asyncDispose]());

/** How many turns of the event loop pass while `work` runs. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let [turns, running] = [0, true];
  const lap = (): void => {
    turns += 1;
    if (running) setImmediate(lap);
  };
  setImmediate(lap);
  await work();
  running = false;
  return turns;
}

// How long the longest turn is stands in the bench: here only that the work is cut, however fast the machine.
test('a user of 1,000 rooms is composed in many turns of the event loop', async () => {
  expect(await turnsDuring(() => server.chunks(alice))).toBeGreaterThan(8);
}, 60_000);

test('an incremental sync costs what has changed, by either way to find it, however many rooms there are', async () => {
  const { next_batch: since } = await server.sync(alice);
  const [first, second] = rooms;
  if (first === undefined || second === undefined) throw new Error('no rooms');
  await server.say(first, bob, 'one');
  const cost = async (way: 'linear' | 'polylog'): Promise<number> => {
    reads = 0;
    const body = await server.composeBy(way, alice, { since });
    expect(bodies(body.rooms?.join?.[first.roomId])).toEqual(['one']);
    return reads;
  };
  expect(await cost('linear')).toBeLessThan(40);
  expect(await cost('polylog')).toBeLessThan(40);
});

test('an old token costs O(changes): many messages in one room are one room to look at', async () => {
  const { next_batch: since } = await server.sync(alice);
  const [room] = rooms;
  if (room === undefined) throw new Error('no rooms');
  await server.write((tx) => {
    for (let index = 0; index < 1500; index += 1) {
      const content = { body: `${index}` };
      server.rooms.core.send(tx, room, { type: 'm.room.message', sender: user(bob), content });
    }
  });
  reads = 0;
  const body = await server.sync(alice, { since });
  // Above sync.linear_max_entries, so this was polylog.
  expect(bodies(body.rooms?.join?.[room.roomId]).at(-1)).toBe('1499');
  expect(body.rooms?.join?.[room.roomId]?.timeline.limited).toBe(true);
  expect(Object.keys(body.rooms?.join ?? {})).toHaveLength(1);
  expect(reads).toBeLessThan(100);
}, 60_000);
