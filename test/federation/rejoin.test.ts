/** Out of a room and back into it, faster than the news of it travel (S-S API v1.19 §Joining Rooms). */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { changeBy, joinBy, membershipBy, roomPath } from '../support/rooms-between.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

let servers: readonly FederatedServer[] = [];
beforeAll(async () => {
  ({ servers } = await startServers(3));
}, 60_000);
afterAll(async () => {
  for (const one of servers) await one[Symbol.asyncDispose]();
});

async function until(isThere: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await isThere())) {
    if (Date.now() > end) throw new Error('it did not come to be');
    await new Promise((done) => setTimeout(done, 50));
  }
}

const says = async (reader: Client, roomId: string, text: string): Promise<boolean> =>
  (await reader.history(roomId)).some(({ content }) => content['body'] === text);

test('who comes back through a server that was away when he left is in the room for all others too', async () => {
  const [one, two, three] = servers as [FederatedServer, FederatedServer, FederatedServer];
  const [alice, bob, carol] = await Promise.all([one.user('alice'), two.user('bob'), three.user('carol')]);
  const users = { [alice.userId]: 100, [bob.userId]: 100 };
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    room_version: '11',
    power_level_content_override: { users },
  });
  for (const user of [carol, bob]) expect((await joinBy(user, roomId, [one.name])).status).toBe(200);
  await until(async () => (await membershipBy(carol, roomId, bob)) === 'join');
  await three.stop();
  // What the leave stands on would weigh more than what a join that does not know of it stands on.
  const levels = await bob.must('GET', `${roomPath(roomId)}/state/m.room.power_levels/`);
  await bob.must('PUT', `${roomPath(roomId)}/state/m.room.power_levels/`, { ...levels, events: { 'org.example': 30 } });
  await changeBy(bob, roomId, 'leave');
  await until(async () => (await membershipBy(alice, roomId, bob)) === 'leave');
  await three.start();
  expect((await joinBy(bob, roomId, [three.name])).status).toBe(200);
  await bob.send(roomId, 'm1', 'back again');
  for (const other of [alice, carol]) {
    await until(() => says(other, roomId, 'back again'));
    expect(await membershipBy(other, roomId, bob)).toBe('join');
  }
}, 60_000);
