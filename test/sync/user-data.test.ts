/** What /sync tells of people: typing, receipts, presence, account data, who is ignored. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Room } from '../../src/roomserver/index.ts';
import { user } from '../support/room-core.ts';
import { alice, bob, carol, useSharedRoom } from '../support/sync-scene.ts';
import { bodies, type SyncBody } from '../support/sync.ts';

const scene = useSharedRoom();
beforeEach(() =>
  scene.server.write((tx) => {
    for (const who of [alice, bob, carol]) scene.server.users.devices.create(tx, who, 'DEVICE');
  }),
);

/** Contents of the room's ephemeral events of one type, put together; undefined: there is none. */
const ephemeral = (body: SyncBody, type: string): unknown => {
  const events = body.rooms?.join?.[scene.room.roomId]?.ephemeral?.events.filter((event) => event.type === type) ?? [];
  return events.length === 0 ? undefined : Object.assign({}, ...events.map(({ content }) => content));
};
const receipt = (
  who: typeof alice,
  eventId: string,
  type: 'm.read' | 'm.read.private' = 'm.read',
  threadId: string | null = null,
) =>
  scene.server.write((tx) =>
    scene.server.users.receipts.set(tx, {
      room: scene.room,
      user: who,
      type,
      threadId,
      eventId: eventId as never,
      ts: 5,
    }),
  );

describe('typing', () => {
  test('is told as the list of who types, and again when it ends', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    scene.server.users.typing.start(scene.room, bob, 30_000);
    const first = await scene.server.sync(alice, { since });
    expect(ephemeral(first, 'm.typing')).toEqual({ user_ids: [bob] });
    scene.server.users.typing.stop(scene.room.nid, bob);
    expect(ephemeral(await scene.server.sync(alice, { since: first.next_batch }), 'm.typing')).toEqual({
      user_ids: [],
    });
    // SyTest wants an empty list in an initial sync too.
    expect(ephemeral(await scene.server.sync(alice), 'm.typing')).toEqual({ user_ids: [] });
  });
});

describe('receipts', () => {
  test('public, private and threaded ones, each to whom it is for, and each key only once', async () => {
    const [one, two] = [await scene.server.say(scene.room, alice, '1'), await scene.server.say(scene.room, alice, '2')];
    const { next_batch: since } = await scene.server.sync(alice);
    await receipt(bob, one);
    await receipt(bob, two);
    await receipt(bob, two, 'm.read.private');
    await receipt(bob, one, 'm.read', 'main');
    const public_ = { [one]: { 'm.read': { [bob]: { ts: 5, thread_id: 'main' } } } };
    expect(ephemeral(await scene.server.sync(alice, { since }), 'm.receipt')).toEqual({
      ...public_,
      [two]: { 'm.read': { [bob]: { ts: 5 } } },
    });
    expect(ephemeral(await scene.server.sync(bob, { since }), 'm.receipt')).toEqual({
      ...public_,
      [two]: { 'm.read': { [bob]: { ts: 5 } }, 'm.read.private': { [bob]: { ts: 5 } } },
    });
    expect(ephemeral(await scene.server.sync(carol, { since }), 'm.receipt')).toBeUndefined();
  });

  test('the own receipt brings the counts along even when receipts are filtered out', async () => {
    const event = await scene.server.say(scene.room, alice, 'unread');
    const filter = { room: { ephemeral: { types: [] } } };
    const first = await scene.server.sync(bob, { filter });
    const counts = (body: SyncBody) => body.rooms?.join?.[scene.room.roomId]?.unread_notifications;
    expect(counts(first)).toEqual({ notification_count: 1, highlight_count: 0 });
    await receipt(bob, event, 'm.read.private');
    const second = await scene.server.sync(bob, { filter, since: first.next_batch });
    expect(counts(second)).toEqual({ notification_count: 0, highlight_count: 0 });
    expect((await scene.server.sync(alice, { filter, since: first.next_batch })).rooms).toBeUndefined();
  });
});

test('unread_thread_notifications splits the counts by thread', async () => {
  const { next_batch: since } = await scene.server.sync(bob);
  const root = await scene.server.say(scene.room, alice, 'root');
  await scene.server.say(scene.room, alice, 'reply', { 'm.relates_to': { rel_type: 'm.thread', event_id: root } });
  const joined = async (filter = {}) =>
    (await scene.server.sync(bob, { since, filter })).rooms?.join?.[scene.room.roomId];
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
    const { next_batch: since } = await scene.server.sync(alice);
    scene.server.users.presence.set(bob, 'DEVICE', 'unavailable', 'lunch');
    scene.server.users.presence.set(carol, 'DEVICE', 'online', undefined);
    const first = await scene.server.sync(alice, { since });
    expect(presence(first)).toEqual({ [bob]: 'unavailable' });
    expect(first.presence?.events[0]?.content).toMatchObject({ status_msg: 'lunch', last_active_ago: 0 });
    await scene.server.rooms.join(scene.room, carol);
    expect(presence(await scene.server.sync(alice, { since: first.next_batch }))).toEqual({ [carol]: 'online' });
    expect(Object.keys(presence(await scene.server.sync(alice))).sort()).toEqual([alice, bob, carol]);
  });

  test('who has an account and never was there is met as offline', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    await scene.server.write((tx) => scene.server.users.accounts.create(tx, { userId: user(carol) }));
    await scene.server.rooms.join(scene.room, carol);
    expect(presence(await scene.server.sync(alice, { since }))).toEqual({ [carol]: 'offline' });
  });

  test('set_presence says how the user is while he syncs; offline leaves him as he was', async () => {
    const { next_batch: since } = await scene.server.sync(alice, { presence: 'offline' });
    await scene.server.sync(bob, { presence: 'offline' });
    expect(presence(await scene.server.sync(alice, { since, presence: 'offline' }))).toEqual({});
    await scene.server.sync(bob, { presence: 'unavailable' });
    const seen = await scene.server.sync(alice, { since, presence: 'offline' });
    expect(presence(seen)).toEqual({ [bob]: 'unavailable' });
    await scene.server.sync(bob, { presence: 'online' });
    expect(presence(await scene.server.sync(alice, { since: seen.next_batch, presence: 'offline' }))).toEqual({
      [bob]: 'online',
    });
  });
});

describe('account data', () => {
  const put = (roomId: Room['roomId'] | null, type: string, content: object) =>
    scene.server.write((tx) => scene.server.users.accountData.put(tx, alice, roomId, type, content as never));

  test('global and by room, only the last value, deletions once and not in an initial sync', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    await put(null, 'org.example', { value: 1 });
    await put(null, 'org.example', { value: 2 });
    await put(scene.room.roomId, 'm.tag', { tags: { 'm.favourite': {} } });
    const first = await scene.server.sync(alice, { since });
    expect(first.account_data?.events).toEqual([{ type: 'org.example', content: { value: 2 } }]);
    expect(first.rooms?.join?.[scene.room.roomId]?.account_data.events).toEqual([
      { type: 'm.tag', content: { tags: { 'm.favourite': {} } } },
    ]);
    await put(null, 'org.example', {});
    const second = await scene.server.sync(alice, { since: first.next_batch });
    expect(second.account_data?.events).toEqual([{ type: 'org.example', content: {} }]);
    expect(second.rooms).toBeUndefined();
    const initial = await scene.server.sync(alice);
    expect(initial.account_data?.events.map(({ type }) => type)).toEqual(['m.push_rules']);
    expect((await scene.server.sync(bob, { since })).account_data).toBeUndefined();
  });

  test('push rules are account data: in an initial sync always, then on change', async () => {
    const { next_batch: since, account_data: initial } = await scene.server.sync(alice);
    expect(initial?.events[0]).toMatchObject({
      type: 'm.push_rules',
      content: { global: { override: expect.any(Array) } },
    });
    expect((await scene.server.sync(alice, { since })).account_data).toBeUndefined();
    await scene.server.write((tx) =>
      scene.server.push.rules.change(tx, alice, 'override', '.m.rule.master', { enabled: true }),
    );
    expect((await scene.server.sync(alice, { since })).account_data?.events[0]?.type).toBe('m.push_rules');
  });
});

describe('ignored users', () => {
  test('send nothing but state events, and no invites', async () => {
    await scene.server.write((tx) =>
      scene.server.users.accountData.put(tx, alice, null, 'm.ignored_user_list', { ignored_users: { [bob]: {} } }),
    );
    const { next_batch: since } = await scene.server.sync(alice);
    await scene.server.say(scene.room, bob, 'noise');
    await scene.server.member(scene.room, bob, bob, 'join', { displayname: 'Bob' });
    await scene.server.say(scene.room, alice, 'mine');
    const own = await scene.server.rooms.openRoom(bob);
    await scene.server.member(own, bob, alice, 'invite');
    scene.server.users.typing.start(scene.room, bob, 1000);
    const body = await scene.server.sync(alice, { since });
    expect(bodies(body.rooms?.join?.[scene.room.roomId])).toEqual(['m.room.member', 'mine']);
    expect(body.rooms?.join?.[scene.room.roomId]?.timeline.limited).toBe(false);
    expect(body.rooms).not.toHaveProperty('invite');
    expect(ephemeral(body, 'm.typing')).toEqual({ user_ids: [] });
  });

  test('blocked invites are not served', async () => {
    await scene.server.write((tx) =>
      scene.server.users.accountData.put(tx, bob, null, 'm.invite_permission_config', { default_action: 'block' }),
    );
    const own = await scene.server.rooms.openRoom(alice);
    await scene.server.member(own, alice, bob, 'invite');
    expect((await scene.server.sync(bob)).rooms).not.toHaveProperty('invite');
  });
});
