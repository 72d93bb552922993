/** What /sync tells devices: messages to them, changed device lists, key counts. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { alice, bob, carol, useSharedRoom } from '../support/sync-scene.ts';
import { type SyncBody } from '../support/sync.ts';

const scene = useSharedRoom();
beforeEach(() =>
  scene.server.write((tx) => {
    for (const who of [alice, bob, carol]) scene.server.users.devices.create(tx, who, 'DEVICE');
  }),
);

describe('INVARIANTS 15: to-device messages', () => {
  const send = (count: number, from = 0) =>
    scene.server.write((tx) => {
      for (let index = from; index < from + count; index += 1) {
        scene.server.users.toDevice.send(tx, alice, 'm.test', bob, 'DEVICE', { index });
      }
    });
  const indexes = (body: SyncBody): unknown[] => (body.to_device?.events ?? []).map(({ content }) => content['index']);
  const waiting = (): number =>
    scene.server.rooms.read(
      (db) => scene.server.users.syncData.toDevice(db, bob, 'DEVICE', 0 as never, 1e15 as never, 1000).length,
    );

  test('are deleted on ack: when the next since shows that they arrived', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    await send(2);
    const first = await scene.server.sync(bob, { since });
    expect(first.to_device?.events[0]).toEqual({ type: 'm.test', sender: alice, content: { index: 0 } });
    expect(indexes(await scene.server.sync(bob, { since }))).toEqual([0, 1]);
    // An initial sync deletes nothing.
    expect(indexes(await scene.server.sync(bob))).toEqual([0, 1]);
    expect(waiting()).toBe(2);
    expect((await scene.server.sync(bob, { since: first.next_batch })).to_device).toBeUndefined();
    await scene.server.rooms.db.flushed();
    await scene.server.write(() => undefined);
    expect(waiting()).toBe(0);
  });

  test('are for one device, and shared by two clients of it', async () => {
    await send(1);
    expect(indexes(await scene.server.sync(bob, { device: 'OTHER' }))).toEqual([]);
    expect(indexes(await scene.server.sync(bob))).toEqual([0]);
    expect(indexes(await scene.server.sync(bob))).toEqual([0]);
  });

  test('of more than a hundred the rest comes next, all of them, in order, and a lost reply loses none', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    await send(250);
    const lost = await scene.server.sync(bob, { since });
    expect(indexes(lost)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    const seen: unknown[] = [];
    let token = since;
    for (;;) {
      const body = await scene.server.sync(bob, { since: token });
      if (indexes(body).length === 0) break;
      seen.push(...indexes(body));
      token = body.next_batch;
      if (seen.length === 100) await send(1, 250);
    }
    expect(seen).toEqual(Array.from({ length: 251 }, (_, index) => index));
  });

  test('a token from the future deletes nothing', async () => {
    await send(1);
    expect(indexes(await scene.server.sync(bob, { since: '999999999999' }))).toEqual([0]);
    expect(waiting()).toBe(1);
  });
});

describe('INVARIANTS 19: device lists', () => {
  const touch = (who: typeof alice) => scene.server.write((tx) => scene.server.users.deviceLists.touch(tx, who));
  const lists = async (who: string, since: string) => (await scene.server.sync(who, { since })).device_lists;

  test('changed: own and shared users with new keys, and who is met anew; left: with whom no room is shared', async () => {
    const { next_batch: since, device_lists: initial } = await scene.server.sync(alice);
    expect(initial).toBeUndefined();
    await touch(alice);
    await touch(carol);
    expect(await lists(alice, since)).toEqual({ changed: [alice] });
    await scene.server.rooms.join(scene.room, carol);
    const met = await scene.server.sync(alice, { since });
    expect(met.device_lists).toEqual({ changed: [alice, carol] });
    await touch(carol);
    const later = await scene.server.sync(alice, { since: met.next_batch });
    expect(later.device_lists).toEqual({ changed: [carol] });
    await scene.server.member(scene.room, carol, carol, 'leave');
    expect(await lists(alice, later.next_batch)).toEqual({ left: [carol] });
    expect(await lists(carol, later.next_batch)).toEqual({ left: [alice, bob] });
  });

  test('who comes into a room is told of himself too: his other devices have new people to write to', async () => {
    const { next_batch: since } = await scene.server.sync(carol);
    await scene.server.rooms.join(scene.room, carol);
    expect(await lists(carol, since)).toEqual({ changed: [alice, bob, carol] });
    const { next_batch: then } = await scene.server.sync(carol);
    await scene.server.rooms.openRoom(carol);
    expect(await lists(carol, then)).toBeUndefined();
  });

  test('a profile change is none, who left and came back is, and a second shared room keeps a user', async () => {
    const second = await scene.server.rooms.openRoom(alice);
    await scene.server.rooms.join(second, bob);
    const { next_batch: since } = await scene.server.sync(alice);
    await scene.server.member(scene.room, bob, bob, 'join', { displayname: 'Bob' });
    expect(await lists(alice, since)).toBeUndefined();
    await scene.server.member(scene.room, bob, bob, 'leave');
    expect(await lists(alice, since)).toBeUndefined();
    await scene.server.rooms.join(scene.room, bob);
    expect(await lists(alice, since)).toEqual({ changed: [bob] });
    const { next_batch: then } = await scene.server.sync(alice);
    await scene.server.member(scene.room, alice, alice, 'join', { displayname: 'A' });
    await scene.server.member(second, alice, alice, 'leave');
    expect(await lists(alice, then)).toBeUndefined();
  });
});

test('key counts and unused fallback keys are always told, and a claim wakes the device', async () => {
  const key = (name: string) => ({ [`signed_curve25519:${name}`]: { key: name, signatures: {} } });
  await scene.server.write((tx) => {
    scene.server.users.oneTimeKeys.add(tx, bob, 'DEVICE', { ...key('a'), ...key('b') });
    scene.server.users.oneTimeKeys.setFallback(tx, bob, 'DEVICE', key('f'));
  });
  const { next_batch: since, ...first } = await scene.server.sync(bob);
  expect(first).toMatchObject({
    device_one_time_keys_count: { signed_curve25519: 2 },
    device_unused_fallback_key_types: ['signed_curve25519'],
    'org.matrix.msc2732.device_unused_fallback_key_types': ['signed_curve25519'],
  });
  const parked = scene.server.sync(bob, { since, timeout: 30_000 });
  await scene.server.write((tx) => scene.server.users.oneTimeKeys.claim(tx, bob, 'DEVICE', 'signed_curve25519'));
  expect((await parked).device_one_time_keys_count).toEqual({ signed_curve25519: 1 });
});
