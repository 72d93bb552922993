import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room } from '../../src/roomserver/index.ts';
import { user } from '../support/room-core.ts';
import { bodies, openTestSync, type SyncBody, type TestSync } from '../support/sync.ts';

const alice = user('@alice:one.example');
const bob = user('@bob:one.example');
const carol = user('@carol:one.example');
let server: TestSync;
let room: Room;
beforeEach(async () => {
  server = openTestSync();
  room = await server.rooms.openRoom(alice);
  await server.rooms.join(room, bob);
  await server.write((tx) => {
    for (const who of [alice, bob, carol]) server.users.devices.create(tx, who, 'DEVICE');
  });
});
afterEach(async () => server[Symbol.asyncDispose]());

/** Contents of the room's ephemeral events of one type, put together; undefined: there is none. */
const ephemeral = (body: SyncBody, type: string): unknown => {
  const events = body.rooms?.join?.[room.roomId]?.ephemeral?.events.filter((event) => event.type === type) ?? [];
  return events.length === 0 ? undefined : Object.assign({}, ...events.map(({ content }) => content));
};
const receipt = (
  who: typeof alice,
  eventId: string,
  type: 'm.read' | 'm.read.private' = 'm.read',
  threadId: string | null = null,
) =>
  server.write((tx) =>
    server.users.receipts.set(tx, { room, user: who, type, threadId, eventId: eventId as never, ts: 5 }),
  );

describe('typing', () => {
  test('is told as the list of who types, and again when it ends', async () => {
    const { next_batch: since } = await server.sync(alice);
    server.users.typing.start(room, bob, 30_000);
    const first = await server.sync(alice, { since });
    expect(ephemeral(first, 'm.typing')).toEqual({ user_ids: [bob] });
    server.users.typing.stop(room.nid, bob);
    expect(ephemeral(await server.sync(alice, { since: first.next_batch }), 'm.typing')).toEqual({ user_ids: [] });
    // SyTest wants an empty list in an initial sync too.
    expect(ephemeral(await server.sync(alice), 'm.typing')).toEqual({ user_ids: [] });
  });
});

describe('receipts', () => {
  test('public, private and threaded ones, each to whom it is for, and each key only once', async () => {
    const [one, two] = [await server.say(room, alice, '1'), await server.say(room, alice, '2')];
    const { next_batch: since } = await server.sync(alice);
    await receipt(bob, one);
    await receipt(bob, two);
    await receipt(bob, two, 'm.read.private');
    await receipt(bob, one, 'm.read', 'main');
    const public_ = { [one]: { 'm.read': { [bob]: { ts: 5, thread_id: 'main' } } } };
    expect(ephemeral(await server.sync(alice, { since }), 'm.receipt')).toEqual({
      ...public_,
      [two]: { 'm.read': { [bob]: { ts: 5 } } },
    });
    expect(ephemeral(await server.sync(bob, { since }), 'm.receipt')).toEqual({
      ...public_,
      [two]: { 'm.read': { [bob]: { ts: 5 } }, 'm.read.private': { [bob]: { ts: 5 } } },
    });
    expect(ephemeral(await server.sync(carol, { since }), 'm.receipt')).toBeUndefined();
  });

  test('the own receipt brings the counts along even when receipts are filtered out', async () => {
    const event = await server.say(room, alice, 'unread');
    const filter = { room: { ephemeral: { types: [] } } };
    const first = await server.sync(bob, { filter });
    const counts = (body: SyncBody) => body.rooms?.join?.[room.roomId]?.unread_notifications;
    expect(counts(first)).toEqual({ notification_count: 1, highlight_count: 0 });
    await receipt(bob, event, 'm.read.private');
    const second = await server.sync(bob, { filter, since: first.next_batch });
    expect(counts(second)).toEqual({ notification_count: 0, highlight_count: 0 });
    expect((await server.sync(alice, { filter, since: first.next_batch })).rooms).toBeUndefined();
  });
});

test('unread_thread_notifications splits the counts by thread', async () => {
  const { next_batch: since } = await server.sync(bob);
  const root = await server.say(room, alice, 'root');
  await server.say(room, alice, 'reply', { 'm.relates_to': { rel_type: 'm.thread', event_id: root } });
  const joined = async (filter = {}) => (await server.sync(bob, { since, filter })).rooms?.join?.[room.roomId];
  expect((await joined())?.unread_notifications).toEqual({ notification_count: 2, highlight_count: 0 });
  expect(await joined()).not.toHaveProperty('unread_thread_notifications');
  expect(await joined({ room: { timeline: { unread_thread_notifications: true } } })).toMatchObject({
    unread_notifications: { notification_count: 1, highlight_count: 0 },
    unread_thread_notifications: { [root]: { notification_count: 1, highlight_count: 0 } },
  });
});

describe('presence', () => {
  const presence = (body: SyncBody): Record<string, unknown> =>
    Object.fromEntries((body.presence?.events ?? []).map((event) => [event.sender, event.content['presence']]));

  test('is told of who shares a room, on change, and of who is met anew', async () => {
    const { next_batch: since } = await server.sync(alice);
    server.users.presence.set(bob, 'DEVICE', 'unavailable', 'lunch');
    server.users.presence.set(carol, 'DEVICE', 'online', undefined);
    const first = await server.sync(alice, { since });
    expect(presence(first)).toEqual({ [bob]: 'unavailable' });
    expect(first.presence?.events[0]?.content).toMatchObject({ status_msg: 'lunch', last_active_ago: 0 });
    await server.rooms.join(room, carol);
    expect(presence(await server.sync(alice, { since: first.next_batch }))).toEqual({ [carol]: 'online' });
    expect(Object.keys(presence(await server.sync(alice))).sort()).toEqual([alice, bob, carol]);
  });

  test('who has an account and never was there is met as offline', async () => {
    const { next_batch: since } = await server.sync(alice);
    await server.write((tx) => server.users.accounts.create(tx, { userId: user(carol) }));
    await server.rooms.join(room, carol);
    expect(presence(await server.sync(alice, { since }))).toEqual({ [carol]: 'offline' });
  });

  test('set_presence says how the user is while he syncs; offline leaves him as he was', async () => {
    const { next_batch: since } = await server.sync(alice, { presence: 'offline' });
    await server.sync(bob, { presence: 'offline' });
    expect(presence(await server.sync(alice, { since, presence: 'offline' }))).toEqual({});
    await server.sync(bob, { presence: 'unavailable' });
    const seen = await server.sync(alice, { since, presence: 'offline' });
    expect(presence(seen)).toEqual({ [bob]: 'unavailable' });
    await server.sync(bob, { presence: 'online' });
    expect(presence(await server.sync(alice, { since: seen.next_batch, presence: 'offline' }))).toEqual({
      [bob]: 'online',
    });
  });
});

describe('account data', () => {
  const put = (roomId: Room['roomId'] | null, type: string, content: object) =>
    server.write((tx) => server.users.accountData.put(tx, alice, roomId, type, content as never));

  test('global and by room, only the last value, deletions once and not in an initial sync', async () => {
    const { next_batch: since } = await server.sync(alice);
    await put(null, 'org.example', { value: 1 });
    await put(null, 'org.example', { value: 2 });
    await put(room.roomId, 'm.tag', { tags: { 'm.favourite': {} } });
    const first = await server.sync(alice, { since });
    expect(first.account_data?.events).toEqual([{ type: 'org.example', content: { value: 2 } }]);
    expect(first.rooms?.join?.[room.roomId]?.account_data.events).toEqual([
      { type: 'm.tag', content: { tags: { 'm.favourite': {} } } },
    ]);
    await put(null, 'org.example', {});
    const second = await server.sync(alice, { since: first.next_batch });
    expect(second.account_data?.events).toEqual([{ type: 'org.example', content: {} }]);
    expect(second.rooms).toBeUndefined();
    const initial = await server.sync(alice);
    expect(initial.account_data?.events.map(({ type }) => type)).toEqual(['m.push_rules']);
    expect((await server.sync(bob, { since })).account_data).toBeUndefined();
  });

  test('push rules are account data: in an initial sync always, then on change', async () => {
    const { next_batch: since, account_data: initial } = await server.sync(alice);
    expect(initial?.events[0]).toMatchObject({
      type: 'm.push_rules',
      content: { global: { override: expect.any(Array) } },
    });
    expect((await server.sync(alice, { since })).account_data).toBeUndefined();
    await server.write((tx) => server.push.rules.change(tx, alice, 'override', '.m.rule.master', { enabled: true }));
    expect((await server.sync(alice, { since })).account_data?.events[0]?.type).toBe('m.push_rules');
  });
});

describe('ignored users', () => {
  test('send nothing but state events, and no invites', async () => {
    await server.write((tx) =>
      server.users.accountData.put(tx, alice, null, 'm.ignored_user_list', { ignored_users: { [bob]: {} } }),
    );
    const { next_batch: since } = await server.sync(alice);
    await server.say(room, bob, 'noise');
    await server.member(room, bob, bob, 'join', { displayname: 'Bob' });
    await server.say(room, alice, 'mine');
    const own = await server.rooms.openRoom(bob);
    await server.member(own, bob, alice, 'invite');
    server.users.typing.start(room, bob, 1000);
    const body = await server.sync(alice, { since });
    expect(bodies(body.rooms?.join?.[room.roomId])).toEqual(['m.room.member', 'mine']);
    expect(body.rooms?.join?.[room.roomId]?.timeline.limited).toBe(false);
    expect(body.rooms).not.toHaveProperty('invite');
    expect(ephemeral(body, 'm.typing')).toEqual({ user_ids: [] });
  });

  test('blocked invites are not served', async () => {
    await server.write((tx) =>
      server.users.accountData.put(tx, bob, null, 'm.invite_permission_config', { default_action: 'block' }),
    );
    const own = await server.rooms.openRoom(alice);
    await server.member(own, alice, bob, 'invite');
    expect((await server.sync(bob)).rooms).not.toHaveProperty('invite');
  });
});

describe('INVARIANTS 15: to-device messages', () => {
  const send = (count: number, from = 0) =>
    server.write((tx) => {
      for (let index = from; index < from + count; index += 1) {
        server.users.toDevice.send(tx, alice, 'm.test', bob, 'DEVICE', { index });
      }
    });
  const indexes = (body: SyncBody): unknown[] => (body.to_device?.events ?? []).map(({ content }) => content['index']);
  const waiting = (): number =>
    server.rooms.read(
      (db) => server.users.syncData.toDevice(db, bob, 'DEVICE', 0 as never, 1e15 as never, 1000).length,
    );

  test('are deleted on ack: when the next since shows that they arrived', async () => {
    const { next_batch: since } = await server.sync(bob);
    await send(2);
    const first = await server.sync(bob, { since });
    expect(first.to_device?.events[0]).toEqual({ type: 'm.test', sender: alice, content: { index: 0 } });
    expect(indexes(await server.sync(bob, { since }))).toEqual([0, 1]);
    // An initial sync deletes nothing.
    expect(indexes(await server.sync(bob))).toEqual([0, 1]);
    expect(waiting()).toBe(2);
    expect((await server.sync(bob, { since: first.next_batch })).to_device).toBeUndefined();
    await server.rooms.db.flushed();
    await server.write(() => undefined);
    expect(waiting()).toBe(0);
  });

  test('are for one device, and shared by two clients of it', async () => {
    await send(1);
    expect(indexes(await server.sync(bob, { device: 'OTHER' }))).toEqual([]);
    expect(indexes(await server.sync(bob))).toEqual([0]);
    expect(indexes(await server.sync(bob))).toEqual([0]);
  });

  test('of more than a hundred the rest comes next, all of them, in order, and a lost reply loses none', async () => {
    const { next_batch: since } = await server.sync(bob);
    await send(250);
    const lost = await server.sync(bob, { since });
    expect(indexes(lost)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    const seen: unknown[] = [];
    let token = since;
    for (;;) {
      const body = await server.sync(bob, { since: token });
      if (indexes(body).length === 0) break;
      seen.push(...indexes(body));
      token = body.next_batch;
      if (seen.length === 100) await send(1, 250);
    }
    expect(seen).toEqual(Array.from({ length: 251 }, (_, index) => index));
  });

  test('a token from the future deletes nothing', async () => {
    await send(1);
    expect(indexes(await server.sync(bob, { since: '999999999999' }))).toEqual([0]);
    expect(waiting()).toBe(1);
  });
});

describe('INVARIANTS 19: device lists', () => {
  const touch = (who: typeof alice) => server.write((tx) => server.users.deviceLists.touch(tx, who));
  const lists = async (who: string, since: string) => (await server.sync(who, { since })).device_lists;

  test('changed: own and shared users with new keys, and who is met anew; left: with whom no room is shared', async () => {
    const { next_batch: since, device_lists: initial } = await server.sync(alice);
    expect(initial).toBeUndefined();
    await touch(alice);
    await touch(carol);
    expect(await lists(alice, since)).toEqual({ changed: [alice] });
    await server.rooms.join(room, carol);
    const met = await server.sync(alice, { since });
    expect(met.device_lists).toEqual({ changed: [alice, carol] });
    await touch(carol);
    const later = await server.sync(alice, { since: met.next_batch });
    expect(later.device_lists).toEqual({ changed: [carol] });
    await server.member(room, carol, carol, 'leave');
    expect(await lists(alice, later.next_batch)).toEqual({ left: [carol] });
    expect(await lists(carol, later.next_batch)).toEqual({ left: [alice, bob] });
  });

  test('who comes into a room is told of himself too: his other devices have new people to write to', async () => {
    const { next_batch: since } = await server.sync(carol);
    await server.rooms.join(room, carol);
    expect(await lists(carol, since)).toEqual({ changed: [alice, bob, carol] });
    const { next_batch: then } = await server.sync(carol);
    await server.rooms.openRoom(carol);
    expect(await lists(carol, then)).toBeUndefined();
  });

  test('a profile change is none, who left and came back is, and a second shared room keeps a user', async () => {
    const second = await server.rooms.openRoom(alice);
    await server.rooms.join(second, bob);
    const { next_batch: since } = await server.sync(alice);
    await server.member(room, bob, bob, 'join', { displayname: 'Bob' });
    expect(await lists(alice, since)).toBeUndefined();
    await server.member(room, bob, bob, 'leave');
    expect(await lists(alice, since)).toBeUndefined();
    await server.rooms.join(room, bob);
    expect(await lists(alice, since)).toEqual({ changed: [bob] });
    const { next_batch: then } = await server.sync(alice);
    await server.member(room, alice, alice, 'join', { displayname: 'A' });
    await server.member(second, alice, alice, 'leave');
    expect(await lists(alice, then)).toBeUndefined();
  });
});

test('key counts and unused fallback keys are always told, and a claim wakes the device', async () => {
  const key = (name: string) => ({ [`signed_curve25519:${name}`]: { key: name, signatures: {} } });
  await server.write((tx) => {
    server.users.oneTimeKeys.add(tx, bob, 'DEVICE', { ...key('a'), ...key('b') });
    server.users.oneTimeKeys.setFallback(tx, bob, 'DEVICE', key('f'));
  });
  const { next_batch: since, ...first } = await server.sync(bob);
  expect(first).toMatchObject({
    device_one_time_keys_count: { signed_curve25519: 2 },
    device_unused_fallback_key_types: ['signed_curve25519'],
    'org.matrix.msc2732.device_unused_fallback_key_types': ['signed_curve25519'],
  });
  const parked = server.sync(bob, { since, timeout: 30_000 });
  await server.write((tx) => server.users.oneTimeKeys.claim(tx, bob, 'DEVICE', 'signed_curve25519'));
  expect((await parked).device_one_time_keys_count).toEqual({ signed_curve25519: 1 });
});
