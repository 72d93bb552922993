import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from '../support/client.ts';
import { changeBy, invite, joinBy, membershipBy, roomPath } from '../support/rooms-between.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

const v3 = '/_matrix/client/v3';
let [here, there]: FederatedServer[] = [];
let servers: readonly FederatedServer[] = [];
let alice: Client;

beforeAll(async () => {
  ({ servers } = await startServers(2, { set: { 'registration.guests': 'true' } }));
  [here, there] = servers;
  alice = await known(here).user('alice');
}, 60_000);
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const known = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('not started');
  return value;
};

async function guest(): Promise<Client> {
  const { baseUrl } = known(there);
  const body = await new Client(baseUrl).must('POST', `${v3}/register?kind=guest`, {});
  const [userId, deviceId, token] = [body.user_id, body.device_id, body.access_token].map(String);
  return new Client(baseUrl, { userId: known(userId), deviceId: known(deviceId), token: known(token) });
}

describe('a guest who is invited to a room of another server', () => {
  test.each([
    ['enters it where the room admits guests', 'can_join', 200],
    ['is refused where it does not', 'forbidden', 403],
  ])('%s', async (_, access, status) => {
    const visitor = await guest();
    const roomId = await alice.createRoom({ preset: 'private_chat' });
    await alice.must('PUT', `${roomPath(roomId)}/state/m.room.guest_access`, { guest_access: access });
    expect((await invite(alice, roomId, visitor)).status).toBe(200);
    expect((await joinBy(visitor, roomId, [])).status).toBe(status);
  });
});

test('guests leave when a user of another server closes the room to them', async () => {
  const visitor = await guest();
  const bob = await known(there).user('bruno');
  const roomId = await bob.createRoom({ preset: 'public_chat' });
  await bob.must('PUT', `${roomPath(roomId)}/state/m.room.guest_access`, { guest_access: 'can_join' });
  expect((await joinBy(visitor, roomId, [])).status).toBe(200);
  expect((await joinBy(alice, roomId, [known(there).name])).status).toBe(200);
  const levels = await bob.must('GET', `${roomPath(roomId)}/state/m.room.power_levels/`);
  const users = { ...(levels.users as object), [alice.userId]: 100 };
  await bob.must('PUT', `${roomPath(roomId)}/state/m.room.power_levels`, { ...levels, users });
  const close = () => alice.ask('PUT', `${roomPath(roomId)}/state/m.room.guest_access`, { guest_access: 'forbidden' });
  while ((await close()).status !== 200) await alice.sync(undefined, 0);
  while ((await membershipBy(bob, roomId, visitor)) !== 'leave') await bob.sync(undefined, 0);
});

describe('a room that another server upgrades', () => {
  test('takes our aliases and its place in our directory along when the first of us joins the new one', async () => {
    const { name } = known(there);
    const bob = await known(there).user('bert');
    const old = await alice.createRoom({ preset: 'public_chat' });
    expect((await joinBy(bob, old, [known(here).name])).status).toBe(200);
    const levels = await alice.must('GET', `${roomPath(old)}/state/m.room.power_levels/`);
    const users = { ...(levels.users as object), [bob.userId]: 100 };
    const { event_id: changed } = await alice.must('PUT', `${roomPath(old)}/state/m.room.power_levels/`, {
      ...levels,
      users,
    });
    const event = `${roomPath(old)}/event/${encodeURIComponent(String(changed))}`;
    while ((await bob.ask('GET', event)).status !== 200) await bob.sync(undefined, 0);
    const alias = `${v3}/directory/room/${encodeURIComponent(`#place:${name}`)}`;
    const listing = (roomId: string): string => `${v3}/directory/list/room/${encodeURIComponent(roomId)}`;
    await bob.must('PUT', alias, { room_id: old });
    await bob.must('PUT', listing(old), { visibility: 'public' });
    const upgraded = await alice.must('POST', `${roomPath(old)}/upgrade`, { new_version: '11' });
    const fresh = String(upgraded.replacement_room);
    const tombstone = `${roomPath(old)}/state/m.room.tombstone/`;
    while ((await bob.ask('GET', tombstone)).status !== 200) await bob.sync(undefined, 0);
    expect((await joinBy(bob, fresh, [known(here).name])).status).toBe(200);
    expect((await bob.must('GET', alias)).room_id).toBe(fresh);
    expect((await bob.must('GET', listing(fresh))).visibility).toBe('public');
    expect((await bob.must('GET', listing(old))).visibility).toBe('private');
  });
});

describe('the user directory', () => {
  test('shows members of a public room while this server is in it, and not after', async () => {
    const bob = await known(there).user('bob');
    const carol = await known(here).user('carol');
    const found = async (): Promise<boolean> => {
      const body = await bob.must('POST', `${v3}/user_directory/search`, { search_term: 'carol' });
      return JSON.stringify(body).includes(carol.userId);
    };
    const roomId = await carol.createRoom({ preset: 'public_chat' });
    expect((await joinBy(bob, roomId, [known(here).name])).status).toBe(200);
    while (!(await found())) await bob.sync(undefined, 0);
    await changeBy(bob, roomId, 'leave', {});
    expect(await found()).toBe(false);
  });
});
