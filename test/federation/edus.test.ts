/** EDUs of other servers: what they may say, and that /sync shows it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startRemoteWorld, type RemoteWorld } from '../support/remote-users.ts';
import { openRoom, register, say, sync, v3, type TestSession } from '../support/userapi.ts';

let world: RemoteWorld;
let alice: TestSession;
let room: string;
let other: string;
const bob = () => world.remote('bob');

beforeAll(async () => {
  world = await startRemoteWorld();
  const { client } = world.server;
  alice = await register(client, 'alice');
  room = await openRoom(client, alice);
  other = await openRoom(client, alice);
  await world.member(room, bob(), 'join');
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const ephemeral = async (roomId: string, type: string, since?: string) => {
  const body = await sync(world.server.client, alice, since);
  const events: { type: string; content: Record<string, unknown> }[] =
    body.rooms?.join?.[roomId]?.ephemeral?.events ?? [];
  const contents = events.filter((event) => event.type === type).map(({ content }) => content);
  // Receipts come in one event per thread, on different messages here.
  return contents.length === 0 ? undefined : (Object.assign({}, ...contents) as Record<string, unknown>);
};

const setAcl = async (roomId: string, content: object) => {
  const path = `${v3}/rooms/${encodeURIComponent(roomId)}/state/m.room.server_acl`;
  expect((await world.server.client.put(path, content, alice.token)).status).toBe(200);
};

describe('m.typing', () => {
  const typing = (user: string, on: boolean, roomId = room) =>
    world.edu('m.typing', { room_id: roomId, user_id: user, typing: on });

  test('shows who types, until he stops', async () => {
    await typing(bob(), true);
    expect(await ephemeral(room, 'm.typing')).toEqual({ user_ids: [bob()] });
    await typing(bob(), false);
    expect((await ephemeral(room, 'm.typing'))?.user_ids ?? []).toEqual([]);
  });

  test('ends by itself when nothing more is heard', async () => {
    await typing(bob(), true);
    await world.server.clock.sleeper(60_000);
    world.server.clock.advance(60_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect((await ephemeral(room, 'm.typing'))?.user_ids ?? []).toEqual([]);
  });

  test('is dropped for users of other servers, for who is not joined, and for rooms that nobody here is in', async () => {
    await typing(alice.userId, true);
    await typing(world.remote('stranger'), true);
    await typing(bob(), true, other);
    await typing(bob(), true, '!nowhere:example.org');
    expect((await ephemeral(room, 'm.typing'))?.user_ids ?? []).toEqual([]);
    expect(await ephemeral(other, 'm.typing')).toBeUndefined();
  });

  test('is dropped for servers that the room’s ACL denies', async () => {
    await setAcl(room, { allow: ['*'], deny: ['localhost'] });
    await typing(bob(), true);
    expect((await ephemeral(room, 'm.typing'))?.user_ids ?? []).toEqual([]);
    await setAcl(room, { allow: ['*'] });
    await typing(bob(), true);
    expect((await ephemeral(room, 'm.typing'))?.user_ids).toEqual([bob()]);
    await typing(bob(), false);
  });
});

describe('m.presence', () => {
  const presenceOf = async (user: string) => {
    const body = await sync(world.server.client, alice);
    return (body.presence?.events ?? []).find((event: { sender: string }) => event.sender === user)?.content;
  };
  const push = (...updates: object[]) => world.edu('m.presence', { push: updates });

  test('shows state, status and activity of who shares a room', async () => {
    const update = { presence: 'online', last_active_ago: 5000, currently_active: true, status_msg: 'here' };
    await push({ user_id: bob(), ...update });
    expect(await presenceOf(bob())).toEqual(update);
  });

  test('a bad update does not touch the others of its EDU', async () => {
    await push(
      { user_id: bob(), presence: 'sleepy', last_active_ago: 0 },
      { user_id: 5 },
      { user_id: bob(), presence: 'unavailable', last_active_ago: 9000 },
    );
    expect(await presenceOf(bob())).toEqual({ presence: 'unavailable', last_active_ago: 9000 });
  });

  test('is dropped for users of other servers and for strangers', async () => {
    const before = await presenceOf(alice.userId);
    await push({ user_id: alice.userId, presence: 'unavailable', last_active_ago: 0, status_msg: 'away' });
    await push({ user_id: world.remote('stranger'), presence: 'online', last_active_ago: 0 });
    expect((await presenceOf(alice.userId))?.status_msg).toBe(before?.status_msg);
    expect(world.server.users.presence.get(world.remote('stranger'))).toBeUndefined();
  });

  test('a server that falls silent takes its users with it', async () => {
    await push({ user_id: bob(), presence: 'online', last_active_ago: 0 });
    const { presence } = world.server.users;
    const since = (await sync(world.server.client, alice)).next_batch;
    for (let minutes = 0; minutes < 31; minutes += 1) {
      world.server.clock.advance(60_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(presence.get(bob())?.presence).toBe('offline');
    const body = await sync(world.server.client, alice, since);
    expect(body.presence.events.map((event: { sender: string }) => event.sender)).toContain(bob());
  });
});

describe('m.receipt', () => {
  const receipt = (user: string, eventId: unknown, data: object = { ts: 1000 }, roomId = room, type = 'm.read') =>
    world.edu('m.receipt', { [roomId]: { [type]: { [user]: { event_ids: [eventId], data } } } });
  const shown = async (eventId: string, user: string): Promise<unknown> => {
    const content = (await ephemeral(room, 'm.receipt')) as Record<string, { 'm.read'?: object }> | undefined;
    return Object.entries(content?.[eventId]?.['m.read'] ?? {}).find(([reader]) => reader === user)?.[1];
  };

  test('shows how far somebody has read, threads apart', async () => {
    const first = await say(world.server.client, room, alice);
    const second = await say(world.server.client, room, alice);
    await receipt(bob(), first);
    expect(await shown(first, bob())).toEqual({ ts: 1000 });
    await receipt(bob(), second, { ts: 2000, thread_id: 'main' });
    expect(await shown(second, bob())).toEqual({ ts: 2000, thread_id: 'main' });
    expect(await shown(first, bob())).toEqual({ ts: 1000 });
  });

  test('waits for an event that is not here yet', async () => {
    await receipt(bob(), '$not_here_yet');
    const rows = world.server.db.read((snapshot) =>
      world.server.users.receipts.changedRooms(snapshot, 0 as never, world.server.db.head),
    );
    expect(rows).toHaveLength(1);
    expect(await shown('$not_here_yet', bob())).toBeUndefined();
  });

  test('is dropped for others’ users, who is not joined, private ones and nonsense', async () => {
    const event = await say(world.server.client, room, alice);
    await receipt(alice.userId, event, { ts: 1 });
    await receipt(world.remote('stranger'), event);
    await receipt(bob(), event, { ts: 1 }, room, 'm.read.private');
    await receipt(bob(), 7);
    await receipt(bob(), event, { ts: 1, thread_id: '' });
    await world.edu('m.receipt', { [room]: { 'm.read': { [bob()]: { event_ids: [], data: { ts: 1 } } } } });
    await world.edu('m.receipt', { [room]: [] });
    await world.edu('m.receipt', 'no');
    expect((await ephemeral(room, 'm.receipt'))?.[event]).toBeUndefined();
  });

  test('is dropped for servers that the room’s ACL denies', async () => {
    const event = await say(world.server.client, room, alice);
    await setAcl(room, { allow: ['*'], deny: ['localhost'] });
    await receipt(bob(), event);
    expect(await shown(event, bob())).toBeUndefined();
    await setAcl(room, { allow: ['*'] });
  });
});

describe('m.direct_to_device', () => {
  const messages = (to: object, id: string, sender: string = bob()) => ({
    sender,
    type: 'm.test',
    message_id: id,
    messages: to,
  });
  const waiting = async () => {
    const first = await sync(world.server.client, alice);
    const events: { content: { n: number }; sender: string; type: string }[] = first.to_device?.events ?? [];
    await sync(world.server.client, alice, first.next_batch);
    return events;
  };

  test('reaches its device once, however often it comes', async () => {
    const edu = messages({ [alice.userId]: { [alice.deviceId]: { n: 1 } } }, 'a');
    await world.edu('m.direct_to_device', edu);
    await world.edu('m.direct_to_device', edu);
    expect(await waiting()).toEqual([{ type: 'm.test', sender: bob(), content: { n: 1 } }]);
    await world.edu('m.direct_to_device', edu);
    expect(await waiting()).toEqual([]);
  });

  test('keeps its order, and `*` means all devices', async () => {
    const edus = [1, 2, 3].map((n) => ({
      type: 'm.direct_to_device',
      content: messages({ [alice.userId]: { '*': { n } } }, `order${n}`),
    }));
    await world.server.modules.edus.handle(world.peerName, edus);
    expect((await waiting()).map(({ content }) => content.n)).toEqual([1, 2, 3]);
  });

  test('the same id of another server is another message', async () => {
    const edu = messages({ [alice.userId]: { [alice.deviceId]: { n: 9 } } }, 'a', '@bob:elsewhere.org');
    await world.server.modules.edus.handle('elsewhere.org' as never, [{ type: 'm.direct_to_device', content: edu }]);
    expect(await waiting()).toHaveLength(1);
  });

  test('is dropped when it is malformed or not from the sender’s server', async () => {
    const to = { [alice.userId]: { [alice.deviceId]: { n: 1 } } };
    await world.edu('m.direct_to_device', messages(to, 'b', alice.userId));
    await world.edu('m.direct_to_device', messages(to, ''));
    await world.edu('m.direct_to_device', messages({ [alice.userId]: { [alice.deviceId]: 'text' } }, 'c'));
    await world.edu('m.direct_to_device', { ...messages(to, 'd'), type: 5 });
    await world.edu(
      'm.direct_to_device',
      messages({ '@x:elsewhere.org': { A: {} }, [alice.userId]: { NOPE: {} } }, 'e'),
    );
    expect(await waiting()).toEqual([]);
  });

  test('ids are forgotten after a month', async () => {
    const edu = messages({ [alice.userId]: { [alice.deviceId]: { n: 5 } } }, 'month');
    await world.edu('m.direct_to_device', edu);
    expect(await waiting()).toHaveLength(1);
    world.server.clock.advance(31 * 86_400_000);
    await world.server.modules.edus.prune();
    await world.edu('m.direct_to_device', edu);
    expect(await waiting()).toHaveLength(1);
  });
});

test('what comes while a room is being entered counts when it has been entered', async () => {
  const eve = world.remote('eve');
  const { modules, users } = world.server;
  const end = modules.remote.handshakes.begin('!entered:example.org' as never);
  await world.edu('m.presence', { push: [{ user_id: eve, presence: 'online', last_active_ago: 0 }] });
  await world.member(other, eve, 'join');
  expect(users.presence.get(eve)).toBeUndefined();
  end();
  await new Promise((resolve) => setImmediate(resolve));
  expect(users.presence.get(eve)?.presence).toBe('online');
});

test('unknown kinds of EDUs and broken ones leave the others of their transaction alone', async () => {
  await world.server.modules.edus.handle(world.peerName, [
    { type: 'org.example.nothing', content: {} },
    { type: 'm.typing', content: null },
    { type: 'm.presence', content: { push: 'x' } },
    { type: 'm.device_list_update', content: { user_id: bob() } },
    { type: 'm.signing_key_update', content: { user_id: bob() } },
    { type: 'm.typing', content: { room_id: room, user_id: bob(), typing: true } },
  ]);
  expect((await ephemeral(room, 'm.typing'))?.user_ids).toEqual([bob()]);
});
