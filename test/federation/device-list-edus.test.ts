/** Device lists of remote users (INVARIANTS 19), brought forward by EDUs. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { useDeviceLists } from '../support/device-list-scene.ts';

const scene = useDeviceLists();

describe('Updates of device lists', () => {
  const device = (deviceId: string, key: string, more: object = {}) => ({
    device_id: deviceId,
    keys: scene.keysOf(deviceId, key),
    ...more,
  });
  const shownKey = async (deviceId = 'A') =>
    (await scene.query()).device_keys[scene.user]?.[deviceId]?.keys[`ed25519:${deviceId}`];

  beforeEach(async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    scene.answerDevices(10, { A: scene.keysOf('A', 'ten') });
  });

  test('of an unknown list have it fetched, and clients are told when it is here', async () => {
    const since = await scene.now();
    await scene.update({ ...device('A', 'x'), stream_id: 10 });
    await scene.settled();
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
    expect(await shownKey()).toBe('ten');
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });

  test('that follow on what is known are applied without asking', async () => {
    await scene.query();
    const since = await scene.now();
    await scene.update({ ...device('A', 'eleven', { device_display_name: 'phone' }), stream_id: 11, prev_id: [10] });
    await scene.update({ ...device('B', 'twelve'), stream_id: 12, prev_id: [11] });
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
    const answer = (await scene.query()).device_keys[scene.user];
    expect(answer.A).toEqual({ ...scene.keysOf('A', 'eleven'), unsigned: { device_display_name: 'phone' } });
    expect(answer.B.keys['ed25519:B']).toBe('twelve');
    await scene.update({ device_id: 'A', deleted: true, stream_id: 13, prev_id: [12] });
    expect(Object.keys((await scene.query()).device_keys[scene.user])).toEqual(['B']);
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });

  test('after a gap have the list fetched again', async () => {
    await scene.query();
    const since = await scene.now();
    scene.answerDevices(12, { A: scene.keysOf('A', 'twelve'), B: scene.keysOf('B', 'eleven') });
    await scene.update({ ...device('A', 'twelve'), stream_id: 12, prev_id: [11] });
    await scene.settled();
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(2);
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
    expect(await shownKey('B')).toBe('eleven');
  });

  test('out of order end in the newest list, and what it holds already is not applied again', async () => {
    await scene.query();
    scene.answerDevices(12, { A: scene.keysOf('A', 'twelve') });
    await scene.update({ ...device('A', 'twelve'), stream_id: 12, prev_id: [11] });
    await scene.update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    await scene.settled();
    expect(await shownKey()).toBe('twelve');
    await scene.update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    expect(await shownKey()).toBe('twelve');
    await scene.update({ ...device('A', 'thirteen'), stream_id: 13, prev_id: [12] });
    expect(await shownKey()).toBe('thirteen');
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(2);
  });

  test('side by side are joined by the next one', async () => {
    await scene.query();
    await scene.update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    await scene.update({ ...device('B', 'twelve'), stream_id: 12, prev_id: [10] });
    await scene.update({ ...device('C', 'thirteen'), stream_id: 13, prev_id: [11, 12] });
    expect(Object.keys((await scene.query()).device_keys[scene.user])).toEqual(['A', 'B', 'C']);
    await scene.update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });

  test('that come while the list is being fetched have it fetched again if it is older', async () => {
    let release: (() => void) | undefined;
    let asked: (() => void) | undefined;
    const held = () =>
      new Promise<void>((resolve) => {
        scene.world.answers.set(`GET ${scene.devicesPath()}`, async () => {
          resolve();
          await new Promise<void>((go) => (release = go));
          asked?.();
          return {
            user_id: scene.user,
            stream_id: 10,
            devices: [{ device_id: 'A', keys: scene.keysOf('A', 'ten') }] as never,
          };
        });
      });
    const first = held();
    const pending = scene.query();
    await first;
    await scene.update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    const answered = new Promise<void>((resolve) => (asked = resolve));
    release?.();
    scene.answerDevices(11, { A: scene.keysOf('A', 'eleven') });
    await answered;
    await pending;
    await scene.settled();
    expect(await shownKey()).toBe('eleven');
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(2);
  });

  test('of users who share no room, of other servers and with keys of others are dropped', async () => {
    const since = await scene.now();
    const stranger = scene.world.remote('stranger');
    await scene.world.edu('m.device_list_update', { user_id: stranger, device_id: 'A', stream_id: 1 });
    await scene.world.edu('m.device_list_update', { user_id: scene.alice.userId, device_id: 'A', stream_id: 1 });
    await scene.update({ device_id: 'A', stream_id: 1, keys: scene.keysOf('A', 'x', scene.alice.userId) });
    await scene.update({ device_id: 'A', stream_id: 1.5 });
    await scene.update({ device_id: '', stream_id: 1 });
    await scene.update({ device_id: 'A', stream_id: 1, prev_id: 'x' });
    await scene.settled();
    expect(await scene.changedSince(since)).toEqual({});
    expect(scene.world.asked(scene.devicesPath(stranger))).toHaveLength(0);
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(0);
  });

  test('that cannot be fetched are tried again with growing pauses', async () => {
    scene.world.answers.set(`GET ${scene.devicesPath()}`, () => 400);
    const since = await scene.now();
    await scene.update({ ...device('A', 'x'), stream_id: 10 });
    await scene.settled();
    expect(await scene.changedSince(since)).toEqual({});
    scene.world.server.clock.advance(3000);
    await scene.settled();
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
    scene.answerDevices(10, { A: scene.keysOf('A', 'ten') });
    scene.world.server.clock.advance(3000);
    while (scene.world.asked(scene.devicesPath()).length < 2) await new Promise((resolve) => setImmediate(resolve));
    await scene.settled();
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
  });

  test('bring cross-signing keys: the new master ends the old self-signing key', async () => {
    await scene.query();
    const since = await scene.now();
    const key = (usage: string, id: string) => ({
      user_id: scene.user,
      usage: [usage],
      keys: { [`ed25519:${id}`]: id },
    });
    const [one, two, three] = [
      'nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk',
      'EmkqvokUn8p+vQAGZitOk4PWjp7Ukp3txV2TbMPEiBQ',
      'TnqFT6HgVG9VMsd3DtaOYVNtQGAhGsTLJJZbRf0Fl5M',
    ];
    const keys = { user_id: scene.user, master_key: key('master', one), self_signing_key: key('self_signing', two) };
    await scene.world.edu('m.signing_key_update', keys);
    expect((await scene.changedSince(since)).changed).toEqual([scene.user]);
    const again = await scene.now();
    await scene.world.edu('org.matrix.signing_key_update', keys);
    expect(await scene.changedSince(again)).toEqual({});
    expect((await scene.query()).self_signing_keys[scene.user]).toEqual(key('self_signing', two));
    await scene.world.edu('m.signing_key_update', { user_id: scene.user, master_key: key('master', three) });
    const answer = await scene.query();
    expect(answer.master_keys[scene.user]).toEqual(key('master', three));
    expect(answer.self_signing_keys[scene.user]).toBeUndefined();
    const last = await scene.now();
    await scene.world.edu('m.signing_key_update', { user_id: scene.user, master_key: key('self_signing', one) });
    await scene.world.edu('m.signing_key_update', { user_id: scene.alice.userId, master_key: key('master', one) });
    await scene.world.edu('m.signing_key_update', { user_id: scene.user });
    expect(await scene.changedSince(last)).toEqual({});
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });
});
