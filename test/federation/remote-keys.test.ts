/** Keys of remote users: asked for, fetched once while a room is shared, claimed. */
import { describe, expect, test } from '@jest/globals';
import { useDeviceLists } from '../support/device-list-scene.ts';
import { v3 } from '../support/userapi.ts';

const scene = useDeviceLists();
const queryPath = '/_matrix/federation/v1/user/keys/query';

describe('Keys of remote users', () => {
  test('are asked of their server each time when no room is shared', async () => {
    scene.world.answers.set(`POST ${queryPath}`, () => ({
      device_keys: {
        [scene.user]: {
          A: { ...scene.keysOf('A'), unsigned: { device_display_name: 'phone', more: 1 } },
          B: scene.keysOf('C'),
          D: scene.keysOf('D', 'x', '@other:example.org'),
        },
        '@unasked:example.org': { A: scene.keysOf('A') },
      },
    }));
    const before = scene.world.asked(queryPath).length;
    const answer = await scene.query();
    expect(answer.device_keys).toEqual({
      [scene.user]: { A: { ...scene.keysOf('A'), unsigned: { device_display_name: 'phone' } } },
    });
    expect(answer.failures).toEqual({});
    await scene.query();
    expect(scene.world.asked(queryPath)).toHaveLength(before + 2);
  });

  test('come from a list that is fetched once while a room is shared', async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    scene.answerDevices(5, { A: scene.keysOf('A'), B: scene.keysOf('B') });
    const [one, two] = await Promise.all([scene.query(), scene.query()]);
    expect(one.device_keys[scene.user]).toEqual({
      A: { ...scene.keysOf('A'), unsigned: {} },
      B: { ...scene.keysOf('B'), unsigned: {} },
    });
    expect(two).toEqual(one);
    expect((await scene.query({ [scene.user]: ['B'] })).device_keys[scene.user]).toEqual({
      B: { ...scene.keysOf('B'), unsigned: {} },
    });
    expect(scene.world.asked(scene.devicesPath())).toHaveLength(1);
  });

  test('keep only their owner’s signatures, and keys of others are left out', async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    const signed = {
      ...scene.keysOf('A'),
      signatures: { ...scene.keysOf('A').signatures, [scene.alice.userId]: { 'ed25519:x': 'x' } },
    };
    scene.answerDevices(1, { A: signed, B: scene.keysOf('B', 'x', scene.alice.userId), C: scene.keysOf('D') });
    expect((await scene.query()).device_keys[scene.user]).toEqual({ A: { ...scene.keysOf('A'), unsigned: {} } });
  });

  test('cannot be had from a server that fails, which stands in `failures`; a known list is not asked for', async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    scene.world.answers.set(`GET ${scene.devicesPath()}`, () => 400);
    const failed = await scene.query();
    expect(failed.device_keys).toEqual({});
    expect(Object.keys(failed.failures)).toEqual([scene.world.peerName]);
    scene.answerDevices(1, { A: scene.keysOf('A') });
    expect(Object.keys((await scene.query()).device_keys[scene.user])).toEqual(['A']);
    scene.world.answers.set(`GET ${scene.devicesPath()}`, () => 400);
    expect(Object.keys((await scene.query()).device_keys[scene.user])).toEqual(['A']);
  });

  test('are waited for no longer than the client wants', async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    let answer: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      scene.world.answers.set(`GET ${scene.devicesPath()}`, async () => {
        resolve();
        await new Promise<void>((release) => (answer = release));
        return 400;
      });
    });
    const pending = scene.query(undefined, { timeout: 3000 });
    await asked;
    await scene.world.server.clock.sleeper(3000);
    scene.world.server.clock.advance(3000);
    expect(Object.keys((await pending).failures)).toEqual([scene.world.peerName]);
    answer?.();
    await scene.settled();
  });

  test('of many users of one server are asked for at once, and their lists are fetched afterwards', async () => {
    const users = Array.from({ length: 25 }, (_, index) => scene.world.remote(`many${index}`));
    for (const each of users) {
      await scene.world.member(scene.room, each, 'join');
      scene.answerDevices(1, { A: scene.keysOf('A', 'later', each) }, {}, each);
    }
    scene.world.answers.set(`POST ${queryPath}`, ({ body }) => ({
      device_keys: Object.fromEntries(
        Object.keys(JSON.parse(body).device_keys).map((each) => [each, { A: scene.keysOf('A', 'at once', each) }]),
      ),
    }));
    const wish = Object.fromEntries(users.map((each) => [each, []]));
    const first = (await scene.query(wish)).device_keys;
    expect(users.map((each) => first[each].A.keys['ed25519:A'])).toEqual(users.map(() => 'at once'));
    await scene.settled();
    const second = (await scene.query(wish)).device_keys;
    expect(users.map((each) => second[each].A.keys['ed25519:A'])).toEqual(users.map(() => 'later'));
  });

  test('carry the viewer’s own signature on a master key that he has signed', async () => {
    await scene.world.member(scene.room, scene.user as never, 'join');
    const id = 'nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk';
    const master = { user_id: scene.user, usage: ['master'], keys: { [`ed25519:${id}`]: id } };
    scene.answerDevices(1, {}, { master_key: master });
    expect((await scene.query()).master_keys).toEqual({ [scene.user]: master });
    const { db, users } = scene.world.server;
    const key = db.read((snapshot) => users.remoteLists.signingKey(snapshot, scene.user as never, 'master'));
    expect(key?.id).toBe(id);
    const path = `${v3}/keys/signatures/upload`;
    const unsigned = await scene.world.server.client.post(path, { [scene.user]: { [id]: master } }, scene.alice.token);
    expect(unsigned.json.failures[scene.user][id].errcode).toBe('M_INVALID_SIGNATURE');
  });
});

test('one-time keys are claimed from the user’s server, and only those asked for are given out', async () => {
  const path = '/_matrix/federation/v1/user/keys/claim';
  const claimedKey = { key: 'k', signatures: {} };
  scene.world.answers.set(`POST ${path}`, ({ body }) => {
    expect(JSON.parse(body)).toEqual({
      one_time_keys: { [scene.user]: { A: 'signed_curve25519', B: 'signed_curve25519' } },
    });
    return {
      one_time_keys: {
        [scene.user]: {
          A: { 'signed_curve25519:1': claimedKey },
          B: { 'other:1': 'x' },
          C: { 'signed_curve25519:1': 'x' },
        },
        [scene.alice.userId]: { A: { 'signed_curve25519:1': 'x' } },
      },
    };
  });
  const claim = (users: object) =>
    scene.world.server.client
      .post(`${v3}/keys/claim`, { one_time_keys: users }, scene.alice.token)
      .then(({ json }) => json);
  expect(await claim({ [scene.user]: { A: 'signed_curve25519', B: 'signed_curve25519' } })).toEqual({
    one_time_keys: { [scene.user]: { A: { 'signed_curve25519:1': claimedKey } } },
    failures: {},
  });
  scene.world.answers.delete(`POST ${path}`);
  const failed = await claim({ [scene.user]: { A: 'signed_curve25519' } });
  expect(failed.one_time_keys).toEqual({});
  expect(Object.keys(failed.failures)).toEqual([scene.world.peerName]);
});
