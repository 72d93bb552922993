/** Two whole servers that miss each other's events and find them again. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

let servers: readonly FederatedServer[] = [];
beforeAll(async () => {
  ({ servers } = await startServers(2));
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const v3 = '/_matrix/client/v3';
const bodies = async (client: Client, roomId: string): Promise<unknown[]> =>
  (await client.history(roomId)).flatMap(({ type, content }) => (type === 'm.room.message' ? [content['body']] : []));

/** Asks until the answer is as wished, or half a minute is over. */
async function eventually<T>(ask: () => Promise<T>, wished: T): Promise<void> {
  const end = Date.now() + 30_000;
  let answer = await ask();
  while (JSON.stringify(answer) !== JSON.stringify(wished) && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    answer = await ask();
  }
  expect(answer).toEqual(wished);
}

test('a server that was away has all messages and the same state afterwards, what both sides did at once too', async () => {
  const [one, two] = servers;
  if (one === undefined || two === undefined) throw new Error('no servers');
  const [alice, bob] = [await one.user('alice'), await two.user('bob')];
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    power_level_content_override: { events: { 'm.room.name': 0 } },
  });
  const path = `${v3}/rooms/${encodeURIComponent(roomId)}`;
  await bob.must('POST', `${v3}/join/${encodeURIComponent(roomId)}?server_name=${encodeURIComponent(one.name)}`, {});
  await bob.send(roomId, 'hello', 'hello');
  await eventually(() => bodies(alice, roomId), ['hello']);

  await two.stop();
  const missed = Array.from({ length: 30 }, (_, n) => `missed ${n}`);
  for (const [n, body] of missed.entries()) await alice.send(roomId, `m${n}`, body);
  await alice.must('PUT', `${path}/state/m.room.topic/`, { topic: 'of one' });
  await one.stop();

  await two.start();
  await bob.must('PUT', `${path}/state/m.room.name/`, { name: 'of two' });
  await one.start();
  await alice.send(roomId, 'after', 'after');

  const stateOf = async (client: Client): Promise<unknown> => [
    await client.must('GET', `${path}/state/m.room.topic/`).catch(() => undefined),
    await client.must('GET', `${path}/state/m.room.name/`).catch(() => undefined),
  ];
  const state = [{ topic: 'of one' }, { name: 'of two' }];
  const sorted = async (client: Client): Promise<unknown[]> => (await bodies(client, roomId)).sort();
  await eventually(() => sorted(bob), ['hello', ...missed, 'after'].sort());
  for (const client of [alice, bob]) await eventually(() => stateOf(client), state);
});
