import { describe, expect, test } from '@jest/globals';
import { bodies, openTestSync, type SyncBody, type SyncOptions } from '../support/sync.ts';
import { alice, bob, carol, useSharedRoom } from '../support/sync-scene.ts';

const scene = useSharedRoom();

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** A sync that waits, once it is parked. */
const park = async (who: string, options: SyncOptions = {}): Promise<{ done: Promise<SyncBody>; since: string }> => {
  const { next_batch: since } = await scene.server.sync(who, { presence: 'offline' });
  const before = scene.server.clock.sleeping;
  const done = scene.server.sync(who, { since, timeout: 30_000, presence: 'offline', ...options });
  while (scene.server.clock.sleeping === before) await turn();
  return { done, since };
};

describe('waiting', () => {
  test('a parked sync is answered by the event that concerns it', async () => {
    const { done } = await park(bob);
    expect(scene.server.api.notifier.parked).toBe(1);
    await scene.server.say(scene.room, alice, 'hello');
    const body = await done;
    expect(bodies(body.rooms?.join?.[scene.room.roomId])).toEqual(['hello']);
    expect(scene.server.api.notifier.parked).toBe(0);
    expect(scene.server.clock.sleeping).toBe(0);
  });

  test('only concerned users are woken, and once for each commit', async () => {
    const other = await scene.server.rooms.openRoom(carol);
    const parked = [await park(alice), await park(bob), await park(carol)];
    const before = scene.server.api.notifier.wakes;
    await scene.server.write((tx) => {
      for (const body of ['1', '2', '3']) {
        scene.server.rooms.core.send(tx, scene.room, { type: 'm.room.message', sender: alice, content: { body } });
      }
    });
    await Promise.all([parked[0]?.done, parked[1]?.done]);
    expect(scene.server.api.notifier.wakes - before).toBe(2);
    expect(scene.server.api.notifier.parked).toBe(1);
    await scene.server.say(other, carol, 'mine');
    expect(bodies((await parked[2]?.done)?.rooms?.join?.[other.roomId])).toEqual(['mine']);
  });

  test('private receipts, account data and messages to devices wake their user or device alone', async () => {
    const event = await scene.server.say(scene.room, alice, 'read me');
    await scene.server.write((tx) => void scene.server.users.devices.create(tx, bob, 'DEVICE'));
    const others = [await park(alice), await park(bob, { device: 'OTHER' })];
    const { done } = await park(bob);
    const before = scene.server.api.notifier.wakes;
    await scene.server.write((tx) => scene.server.users.toDevice.send(tx, alice, 'm.test', bob, 'DEVICE', {}));
    expect((await done).to_device?.events).toHaveLength(1);
    expect(scene.server.api.notifier.wakes - before).toBe(1);
    await scene.server.write((tx) => {
      const receipt = {
        room: scene.room,
        user: bob,
        type: 'm.read.private' as const,
        threadId: null,
        eventId: event as never,
      };
      scene.server.users.receipts.set(tx, receipt);
    });
    await others[1]?.done;
    expect(scene.server.api.notifier.wakes - before).toBe(2);
    expect(scene.server.api.notifier.parked).toBe(1);
    await scene.server.say(scene.room, bob, 'end');
    await others[0]?.done;
  });

  test('timeout is honoured: the answer is empty, with the token read to', async () => {
    const { done, since } = await park(bob);
    scene.server.clock.advance(29_999);
    await turn();
    expect(scene.server.api.notifier.parked).toBe(1);
    scene.server.clock.advance(1);
    const body = await done;
    expect(body.rooms).toBeUndefined();
    expect(body.device_one_time_keys_count).toBeDefined();
    expect(Number(body.next_batch)).toBeGreaterThanOrEqual(Number(since));
    expect(scene.server.clock.sleeping).toBe(0);
  });

  test('without a timeout an empty answer comes at once', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    expect((await scene.server.sync(bob, { since })).rooms).toBeUndefined();
  });

  test('a pass that finds nothing for this user parks until something concerns it', async () => {
    const filter = { room: { timeline: { types: ['m.room.message'] }, state: { types: [] } } };
    const { next_batch: since } = await scene.server.sync(bob, { filter });
    await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'filtered out' });
    const done = scene.server.sync(bob, { since, filter, timeout: 30_000 });
    while (scene.server.clock.sleeping === 0) await turn();
    // It is woken by this, finds nothing again, and goes on waiting.
    await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'filtered out too' });
    for (let index = 0; index < 5; index += 1) await turn();
    expect(scene.server.api.notifier.parked).toBe(1);
    await scene.server.say(scene.room, alice, 'at last');
    expect(bodies((await done).rooms?.join?.[scene.room.roomId])).toEqual(['at last']);
  });

  test('an old token that has nothing to tell parks as well', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    const other = await scene.server.rooms.openRoom(carol);
    for (let index = 0; index < 50; index += 1) await scene.server.say(other, carol, `${index}`);
    const done = scene.server.sync(bob, { since, timeout: 30_000 });
    while (scene.server.clock.sleeping === 0) await turn();
    await scene.server.say(scene.room, alice, 'now');
    const body = await done;
    expect(bodies(body.rooms?.join?.[scene.room.roomId])).toEqual(['now']);
  });

  test('an invite, a join and a leave wake the user, who then follows or leaves the room', async () => {
    const { done } = await park(carol);
    await scene.server.member(scene.room, alice, carol, 'invite');
    const invited = await done;
    expect(invited.rooms?.invite).toHaveProperty([scene.room.roomId]);
    await scene.server.rooms.join(scene.room, carol);
    const next = await park(carol);
    await scene.server.say(scene.room, alice, 'welcome');
    expect(bodies((await next.done).rooms?.join?.[scene.room.roomId])).toEqual(['welcome']);
    const last = await park(carol);
    await scene.server.member(scene.room, alice, carol, 'leave');
    expect((await last.done).rooms?.leave).toHaveProperty([scene.room.roomId]);
    const outside = await park(carol);
    const before = scene.server.api.notifier.wakes;
    await scene.server.say(scene.room, alice, 'gone');
    expect(scene.server.api.notifier.wakes).toBe(before);
    scene.server.clock.advance(30_000);
    await outside.done;
  });

  test('a client that goes away, or a server that stops, ends the wait with its own token', async () => {
    const controller = new AbortController();
    const { done, since } = await park(bob, { signal: controller.signal });
    controller.abort();
    const body = await done;
    expect(Number(body.next_batch)).toBeGreaterThanOrEqual(Number(since));
    expect(Object.keys(body)).toEqual(['next_batch']);
    expect(scene.server.api.notifier.parked).toBe(0);
    expect(scene.server.clock.sleeping).toBe(0);
  });

  test('what happens between the token and the wait is not missed', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    const done = scene.server.sync(bob, { since, timeout: 30_000 });
    void scene.server.say(scene.room, alice, 'in between');
    expect(bodies((await done).rooms?.join?.[scene.room.roomId])).toEqual(['in between']);
  });
});

describe('tokens', () => {
  test('the same token gives the same answer twice', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    await scene.server.say(scene.room, alice, 'one');
    await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'two' });
    const first = await scene.server.sync(bob, { since });
    expect(await scene.server.sync(bob, { since })).toEqual(first);
  });

  test('one beyond the head, of a restored database, is answered as an initial sync and logged', async () => {
    const body = await scene.server.sync(bob, { since: '99999999999', timeout: 30_000 });
    expect(body.rooms?.join?.[scene.room.roomId]?.timeline.events[0]?.type).toBe('m.room.create');
    expect(scene.server.lines.join('')).toContain('sync token from the future');
  });

  test('no Position is ever given out twice, also when the process was killed', async () => {
    const given = [Number((await scene.server.sync(bob)).next_batch)];
    // Positions that are never stored count as well.
    for (let index = 0; index < 10; index += 1) given.push(scene.server.rooms.db.nextEphemeralPosition());
    await using second = openTestSync({ killed: scene.server });
    expect(second.rooms.db.nextEphemeralPosition()).toBeGreaterThan(Math.max(...given));
  });

  test('a token from before a restart goes on', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    await scene.server.say(scene.room, alice, 'before the crash');
    scene.server.users.typing.start(scene.room, alice, 60_000);
    const { next_batch: typing } = await scene.server.sync(bob);
    scene.server.clock.advance(5000);
    await scene.server.write(() => undefined);
    await using second = openTestSync({ killed: scene.server });
    await second.say(scene.room, alice, 'after it');
    const joined = (await second.sync(bob, { since })).rooms?.join?.[scene.room.roomId];
    expect(bodies(joined)).toEqual(['before the crash', 'after it']);
    expect(joined?.state?.events).toEqual([]);
    // Who was typing is not known any more, and the client is told so.
    const later = (await second.sync(bob, { since: typing })).rooms?.join?.[scene.room.roomId];
    expect(later?.ephemeral?.events).toEqual([{ type: 'm.typing', content: { user_ids: [] } }]);
    expect(await second.composeBy('polylog', bob, { since })).toMatchObject({ rooms: { join: expect.any(Object) } });
  });
});
