/** Device lists of remote users (INVARIANTS 19): dropped with the last shared room, fetched again after a restart, told to who is invited. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/storage/index.ts';
import { useDeviceLists } from '../support/device-list-scene.ts';
import { startRemoteWorld } from '../support/remote-users.ts';
import { openRoom, register, temporaryFolder, v3 } from '../support/userapi.ts';

const selectWanted = sql<[userId: string], { fresh: number }>(
  'SELECT fresh FROM userapi_remote_lists WHERE user_id = ?',
);

const scene = useDeviceLists();

describe('The end of the last shared room', () => {
  beforeEach(async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    scene.answerDevices(1, { A: scene.keysOf('A', 'before') });
    await scene.query();
  });
  const leave = async () => {
    const path = `${v3}/rooms/${encodeURIComponent(scene.room)}/leave`;
    expect((await scene.world.server.client.post(path, {}, scene.alice.token)).status).toBe(200);
  };
  const isListed = () =>
    scene.world.server.db.read((snapshot) =>
      scene.world.server.users.remoteLists.isFresh(snapshot, scene.user as never),
    );

  test('by the remote user drops his list, which is fetched anew when he comes back', async () => {
    expect(isListed()).toBe(true);
    const since = await scene.now();
    await scene.world.member(scene.room, scene.user as never, 'leave');
    expect(isListed()).toBe(false);
    expect(await scene.changedSince(since)).toEqual({ left: [scene.user] });
    await scene.world.member(scene.room, scene.user as never, 'join');
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
    scene.answerDevices(2, { A: scene.keysOf('A', 'after') });
    expect((await scene.query()).device_keys[scene.user].A.keys['ed25519:A']).toBe('after');
  });

  test('by the last local user drops it too; another shared room keeps it', async () => {
    const other = await openRoom(scene.world.server.client, scene.alice);
    await scene.world.member(other, scene.user as never, 'join');
    await leave();
    expect(isListed()).toBe(true);
    await scene.world.member(other, scene.user as never, 'leave');
    expect(isListed()).toBe(false);
  });

  test('by the last local user alone drops it', async () => {
    await leave();
    expect(isListed()).toBe(false);
    const since = await scene.now();
    await scene.update({ device_id: 'A', stream_id: 2, prev_id: [1] });
    await scene.settled();
    expect(await scene.changedSince(since)).toEqual({});
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });

  test('voids a fetch under way', async () => {
    await scene.world.member(scene.room, scene.user as never, 'leave');
    await scene.world.member(scene.room, scene.user as never, 'join');
    let release: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      scene.world.answers.set(`GET ${scene.devicesPath()}`, async () => {
        resolve();
        await new Promise<void>((go) => (release = go));
        return {
          user_id: scene.user,
          stream_id: 1,
          devices: [{ device_id: 'A', keys: scene.keysOf('A', 'old') }] as never,
        };
      });
    });
    const pending = scene.query();
    await asked;
    await scene.update({ device_id: 'A', stream_id: 1 });
    await scene.world.member(scene.room, scene.user as never, 'leave');
    await scene.world.member(scene.room, scene.user as never, 'join');
    scene.answerDevices(2, { A: scene.keysOf('A', 'new') });
    release?.();
    await pending;
    expect((await scene.query()).device_keys[scene.user].A.keys['ed25519:A']).toBe('new');
  });
});

test('who is invited to a room counts as changed before he joins', async () => {
  const since = await scene.now();
  const bob = await register(scene.world.server.client, 'bob');
  const path = `${v3}/rooms/${encodeURIComponent(scene.room)}/invite`;
  await scene.world.server.client.post(path, { user_id: bob.userId }, scene.alice.token);
  expect((await scene.changedSince(since)).changed).toEqual([bob.userId]);
});

test('a list that was wanted is fetched after a restart', async () => {
  await using folder = await temporaryFolder();
  const name = await (async () => {
    await using first = await startRemoteWorld(folder);
    const carol = await register(first.server.client, 'carol');
    const remote = first.remote('dan');
    await first.member(await openRoom(first.server.client, carol), remote, 'join');
    await first.edu('m.device_list_update', { user_id: remote, device_id: 'A', stream_id: 1 });
    return remote;
  })();
  await using second = await startRemoteWorld(folder);
  const { db, clock } = second.server;
  const { fetcher } = second.server.modules.remoteUsers;
  const due = () => db.read((snapshot) => snapshot.get(selectWanted, name));
  expect(due()?.fresh).toBe(0);
  clock.advance(10_000);
  fetcher.wake();
  expect(fetcher.running).toBe(1);
});
