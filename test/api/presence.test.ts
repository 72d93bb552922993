import { describe, expect, test } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.ts';
import {
  registerAll,
  openRoom,
  register,
  say,
  startUserServer,
  sync,
  temporaryFolder,
  v3,
  type TestSession,
} from '../support/userapi.ts';
import type { TestClient } from '../support/http.ts';

const enc = encodeURIComponent;
const path = ({ userId }: TestSession) => `${v3}/presence/${enc(userId)}/status`;
const put = (client: TestClient, by: TestSession, body: object) => client.put(path(by), body, by.token);
const get = async (client: TestClient, of: TestSession, by: TestSession) => (await client.get(path(of), by.token)).json;
/** Lets sleepers that the clock has woken run. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('presence', () => {
  test('is set, asked for and told to who shares a room; others may not ask', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob, eve] = await registerAll(client, 'alice', 'bob', 'eve');
    await openRoom(client, alice, bob);
    const since = (await sync(client, bob)).next_batch;
    expect((await put(client, alice, { presence: 'unavailable', status_msg: 'Lunch' })).json).toEqual({});
    const content = { presence: 'unavailable', status_msg: 'Lunch', last_active_ago: 0 };
    expect(await get(client, alice, bob)).toEqual(content);
    const told = (await sync(client, bob, since)).presence.events;
    expect(told).toContainEqual({ type: 'm.presence', sender: alice.userId, content });
    expect((await get(client, alice, eve)).errcode).toBe('M_FORBIDDEN');
    expect((await client.put(path(alice), { presence: 'online' }, bob.token)).json.errcode).toBe('M_FORBIDDEN');
    expect((await put(client, alice, { presence: 'asleep' })).json.errcode).toBe('M_BAD_JSON');
  });

  test('takes an entry only when state, status or currently_active change', async () => {
    await using server = await startUserServer();
    const { client, clock, entries } = server;
    const alice = await register(client, 'alice');
    const count = () => entries.filter(({ topic }) => topic === 'user.presence').length;
    await put(client, alice, { presence: 'online' });
    await put(client, alice, { presence: 'online' });
    clock.advance(10_000);
    await sync(client, alice);
    expect(count()).toBe(1);
    await put(client, alice, { presence: 'online', status_msg: 'Here' });
    expect(count()).toBe(2);
  });

  test('fades: no longer currently active, then gone when the devices are silent', async () => {
    await using server = await startUserServer();
    const { client, clock, users } = server;
    const alice = await register(client, 'alice');
    const state = () => users.presence.get(alice.userId as never);
    const endPoll = users.presence.polls(alice.userId as never, alice.deviceId, 'online');
    expect(state()).toMatchObject({ presence: 'online', currently_active: true });
    for (let step = 0; step < 14; step += 1) {
      clock.advance(5000);
      await settle();
    }
    expect(state()).toMatchObject({ presence: 'online', currently_active: false });
    for (let step = 0; step < 48; step += 1) {
      clock.advance(5000);
      await settle();
    }
    expect(state()).toMatchObject({ presence: 'unavailable' });
    users.presence.active(alice.userId as never, alice.deviceId);
    expect(state()).toMatchObject({ presence: 'online', currently_active: true });
    endPoll();
    for (let step = 0; step < 7; step += 1) {
      clock.advance(5000);
      await settle();
    }
    expect(state()).toMatchObject({ presence: 'offline' });
  });

  test('sending renews the last-active time; syncing as offline does not show the user', async () => {
    await using server = await startUserServer();
    const { client, clock } = server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    await sync(client, alice, undefined, '&set_presence=offline');
    expect(await get(client, alice, alice)).toMatchObject({ presence: 'offline' });
    await sync(client, alice);
    clock.advance(20_000);
    expect(await get(client, alice, alice)).toMatchObject({ presence: 'online', last_active_ago: 20_000 });
    await say(client, roomId, alice);
    await settle();
    expect(await get(client, alice, alice)).toMatchObject({ last_active_ago: 0 });
  });

  test('survives a restart, and ends when nobody comes back', async () => {
    const clock = new FakeClock();
    await using data = await temporaryFolder();
    let alice: TestSession;
    {
      await using server = await startUserServer({}, { clock, folder: data.folder });
      alice = await register(server.client, 'alice');
      await put(server.client, alice, { presence: 'online', status_msg: 'Here' });
    }
    await using server = await startUserServer({}, { clock, folder: data.folder });
    const { users } = server;
    const state = () => users.presence.get(alice.userId as never);
    expect(state()).toMatchObject({ presence: 'online', status_msg: 'Here' });
    for (let step = 0; step < 7; step += 1) {
      clock.advance(5000);
      await settle();
    }
    expect(state()).toMatchObject({ presence: 'offline', status_msg: 'Here' });
  });

  test('is off when the configuration says so', async () => {
    await using server = await startUserServer({ presence: { enabled: false } });
    const { client, entries } = server;
    const alice = await register(client, 'alice');
    await put(client, alice, { presence: 'online' });
    expect(await get(client, alice, alice)).toEqual({ presence: 'offline' });
    expect(entries.filter(({ topic }) => topic === 'user.presence')).toEqual([]);
  });
});

describe('after a restart', () => {
  test('clients of a room where somebody typed are sent the empty list', async () => {
    const clock = new FakeClock();
    await using data = await temporaryFolder();
    let bob: TestSession;
    let roomId: string;
    let since: string;
    {
      await using server = await startUserServer({}, { clock, folder: data.folder });
      const { client } = server;
      const alice = await register(client, 'alice');
      bob = await register(client, 'bob');
      roomId = await openRoom(client, alice, bob);
      await client.put(`${v3}/rooms/${enc(roomId)}/typing/${enc(alice.userId)}`, { typing: true }, alice.token);
      since = (await sync(client, bob)).next_batch;
    }
    await using server = await startUserServer({}, { clock, folder: data.folder });
    const { ephemeral } = (await sync(server.client, bob, since)).rooms.join[roomId];
    expect(ephemeral.events).toEqual([{ type: 'm.typing', content: { user_ids: [] } }]);
  });

  test('rooms that had not followed a change of name do so', async () => {
    const clock = new FakeClock();
    await using data = await temporaryFolder();
    let alice: TestSession;
    let roomId: string;
    {
      await using server = await startUserServer({}, { clock, folder: data.folder });
      alice = await register(server.client, 'alice');
      roomId = await openRoom(server.client, alice);
      // The process ends between the change and its way into the rooms.
      await server.db.write((tx) => {
        server.users.profiles.set(tx, alice.userId as never, 'displayname', 'Alice');
        server.users.memberEvents.require(tx, alice.userId as never, 'profile');
      });
    }
    await using server = await startUserServer({}, { clock, folder: data.folder });
    const { json } = await server.client.get(`${v3}/rooms/${enc(roomId)}/joined_members`, alice.token);
    expect(json.joined[alice.userId].display_name).toBe('Alice');
  });
});
