/** Device lists and keys of remote users (INVARIANTS 19): fetched, brought forward by EDUs, dropped with the last room. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/storage/index.ts';
import { startRemoteWorld, type RemoteWorld } from '../support/remote-users.ts';
import { openRoom, register, sync, temporaryFolder, v3, type TestSession } from '../support/userapi.ts';

const selectWanted = sql<[userId: string], { fresh: number }>(
  'SELECT fresh FROM userapi_remote_lists WHERE user_id = ?',
);
let world: RemoteWorld;
let alice: TestSession;
/** Each test has a remote user of its own. */
let user: string;
let room: string;
let made = 0;

beforeAll(async () => {
  world = await startRemoteWorld();
  alice = await register(world.server.client, 'alice');
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});
beforeEach(async () => {
  made += 1;
  user = world.remote(`user${made}`);
  room = await openRoom(world.server.client, alice);
});

const keysOf = (deviceId: string, key = 'A', owner = user) => ({
  user_id: owner,
  device_id: deviceId,
  algorithms: ['m.olm.v1.curve25519-aes-sha2'],
  keys: { [`ed25519:${deviceId}`]: key },
  signatures: { [owner]: { [`ed25519:${deviceId}`]: 'own' } },
});
const devicesPath = (of = user) => `/_matrix/federation/v1/user/devices/${of}`;
const queryPath = '/_matrix/federation/v1/user/keys/query';

/** The remote server's list of the user's devices from now on. */
function answerDevices(streamId: number, devices: Record<string, object>, more: object = {}, of = user): void {
  world.answers.set(`GET ${devicesPath(of)}`, () => ({
    user_id: of,
    stream_id: streamId,
    devices: Object.entries(devices).map(([device_id, keys]) => ({ device_id, keys })) as never,
    ...more,
  }));
}

const query = async (users: Record<string, string[]> = { [user]: [] }, more: object = {}) =>
  (await world.server.client.post(`${v3}/keys/query`, { device_keys: users, ...more }, alice.token)).json;
const update = (content: object) => world.edu('m.device_list_update', { user_id: user, ...content });
/** Resolves when no list is being fetched. */
async function settled(): Promise<void> {
  const { fetcher } = world.server.modules.remoteUsers;
  for (let idle = 0; idle < 5; idle = fetcher.running === 0 ? idle + 1 : 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
/** Lists that were fetched are told to clients after a moment. */
async function told(): Promise<void> {
  await settled();
  world.server.clock.advance(250);
  await settled();
  await world.server.db.flushed();
}
const changedSince = async (since: string) => {
  await told();
  return (await sync(world.server.client, alice, since)).device_lists ?? {};
};
const now = async (): Promise<string> => {
  await told();
  return (await sync(world.server.client, alice)).next_batch;
};

describe('Keys of remote users', () => {
  test('are asked of their server each time when no room is shared', async () => {
    world.answers.set(`POST ${queryPath}`, () => ({
      device_keys: {
        [user]: {
          A: { ...keysOf('A'), unsigned: { device_display_name: 'phone', more: 1 } },
          B: keysOf('C'),
          D: keysOf('D', 'x', '@other:example.org'),
        },
        '@unasked:example.org': { A: keysOf('A') },
      },
    }));
    const before = world.asked(queryPath).length;
    const answer = await query();
    expect(answer.device_keys).toEqual({
      [user]: { A: { ...keysOf('A'), unsigned: { device_display_name: 'phone' } } },
    });
    expect(answer.failures).toEqual({});
    await query();
    expect(world.asked(queryPath)).toHaveLength(before + 2);
  });

  test('come from a list that is fetched once while a room is shared', async () => {
    await world.member(room, user as never, 'join');
    answerDevices(5, { A: keysOf('A'), B: keysOf('B') });
    const [one, two] = await Promise.all([query(), query()]);
    expect(one.device_keys[user]).toEqual({
      A: { ...keysOf('A'), unsigned: {} },
      B: { ...keysOf('B'), unsigned: {} },
    });
    expect(two).toEqual(one);
    expect((await query({ [user]: ['B'] })).device_keys[user]).toEqual({ B: { ...keysOf('B'), unsigned: {} } });
    expect(world.asked(devicesPath())).toHaveLength(1);
  });

  test('keep only their owner’s signatures, and keys of others are left out', async () => {
    await world.member(room, user as never, 'join');
    const signed = { ...keysOf('A'), signatures: { ...keysOf('A').signatures, [alice.userId]: { 'ed25519:x': 'x' } } };
    answerDevices(1, { A: signed, B: keysOf('B', 'x', alice.userId), C: keysOf('D') });
    expect((await query()).device_keys[user]).toEqual({ A: { ...keysOf('A'), unsigned: {} } });
  });

  test('cannot be had from a server that fails, which stands in `failures`; a known list is not asked for', async () => {
    await world.member(room, user as never, 'join');
    world.answers.set(`GET ${devicesPath()}`, () => 400);
    const failed = await query();
    expect(failed.device_keys).toEqual({});
    expect(Object.keys(failed.failures)).toEqual([world.peerName]);
    answerDevices(1, { A: keysOf('A') });
    expect(Object.keys((await query()).device_keys[user])).toEqual(['A']);
    world.answers.set(`GET ${devicesPath()}`, () => 400);
    expect(Object.keys((await query()).device_keys[user])).toEqual(['A']);
  });

  test('are waited for no longer than the client wants', async () => {
    await world.member(room, user as never, 'join');
    let answer: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      world.answers.set(`GET ${devicesPath()}`, async () => {
        resolve();
        await new Promise<void>((release) => (answer = release));
        return 400;
      });
    });
    const pending = query(undefined, { timeout: 3000 });
    await asked;
    await world.server.clock.sleeper(3000);
    world.server.clock.advance(3000);
    expect(Object.keys((await pending).failures)).toEqual([world.peerName]);
    answer?.();
    await settled();
  });

  test('of many users of one server are asked for at once, and their lists are fetched afterwards', async () => {
    const users = Array.from({ length: 25 }, (_, index) => world.remote(`many${index}`));
    for (const each of users) {
      await world.member(room, each, 'join');
      answerDevices(1, { A: keysOf('A', 'later', each) }, {}, each);
    }
    world.answers.set(`POST ${queryPath}`, ({ body }) => ({
      device_keys: Object.fromEntries(
        Object.keys(JSON.parse(body).device_keys).map((each) => [each, { A: keysOf('A', 'at once', each) }]),
      ),
    }));
    const wish = Object.fromEntries(users.map((each) => [each, []]));
    const first = (await query(wish)).device_keys;
    expect(users.map((each) => first[each].A.keys['ed25519:A'])).toEqual(users.map(() => 'at once'));
    await settled();
    const second = (await query(wish)).device_keys;
    expect(users.map((each) => second[each].A.keys['ed25519:A'])).toEqual(users.map(() => 'later'));
  });

  test('carry the viewer’s own signature on a master key that he has signed', async () => {
    await world.member(room, user as never, 'join');
    const id = 'nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk';
    const master = { user_id: user, usage: ['master'], keys: { [`ed25519:${id}`]: id } };
    answerDevices(1, {}, { master_key: master });
    expect((await query()).master_keys).toEqual({ [user]: master });
    const { db, users } = world.server;
    const key = db.read((snapshot) => users.remoteLists.signingKey(snapshot, user as never, 'master'));
    expect(key?.id).toBe(id);
    const path = `${v3}/keys/signatures/upload`;
    const unsigned = await world.server.client.post(path, { [user]: { [id]: master } }, alice.token);
    expect(unsigned.json.failures[user][id].errcode).toBe('M_INVALID_SIGNATURE');
  });
});

describe('Updates of device lists', () => {
  const device = (deviceId: string, key: string, more: object = {}) => ({
    device_id: deviceId,
    keys: keysOf(deviceId, key),
    ...more,
  });
  const shownKey = async (deviceId = 'A') => (await query()).device_keys[user]?.[deviceId]?.keys[`ed25519:${deviceId}`];

  beforeEach(async () => {
    await world.member(room, user as never, 'join');
    answerDevices(10, { A: keysOf('A', 'ten') });
  });

  test('of an unknown list have it fetched, and clients are told when it is here', async () => {
    const since = await now();
    await update({ ...device('A', 'x'), stream_id: 10 });
    await settled();
    expect((await changedSince(since)).changed).toEqual([user]);
    expect(world.asked(devicesPath())).toHaveLength(1);
    expect(await shownKey()).toBe('ten');
    expect(world.asked(devicesPath())).toHaveLength(1);
  });

  test('that follow on what is known are applied without asking', async () => {
    await query();
    const since = await now();
    await update({ ...device('A', 'eleven', { device_display_name: 'phone' }), stream_id: 11, prev_id: [10] });
    await update({ ...device('B', 'twelve'), stream_id: 12, prev_id: [11] });
    expect((await changedSince(since)).changed).toEqual([user]);
    const answer = (await query()).device_keys[user];
    expect(answer.A).toEqual({ ...keysOf('A', 'eleven'), unsigned: { device_display_name: 'phone' } });
    expect(answer.B.keys['ed25519:B']).toBe('twelve');
    await update({ device_id: 'A', deleted: true, stream_id: 13, prev_id: [12] });
    expect(Object.keys((await query()).device_keys[user])).toEqual(['B']);
    expect(world.asked(devicesPath())).toHaveLength(1);
  });

  test('after a gap have the list fetched again', async () => {
    await query();
    const since = await now();
    answerDevices(12, { A: keysOf('A', 'twelve'), B: keysOf('B', 'eleven') });
    await update({ ...device('A', 'twelve'), stream_id: 12, prev_id: [11] });
    await settled();
    expect(world.asked(devicesPath())).toHaveLength(2);
    expect((await changedSince(since)).changed).toEqual([user]);
    expect(await shownKey('B')).toBe('eleven');
  });

  test('out of order end in the newest list, and what it holds already is not applied again', async () => {
    await query();
    answerDevices(12, { A: keysOf('A', 'twelve') });
    await update({ ...device('A', 'twelve'), stream_id: 12, prev_id: [11] });
    await update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    await settled();
    expect(await shownKey()).toBe('twelve');
    await update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    expect(await shownKey()).toBe('twelve');
    await update({ ...device('A', 'thirteen'), stream_id: 13, prev_id: [12] });
    expect(await shownKey()).toBe('thirteen');
    expect(world.asked(devicesPath())).toHaveLength(2);
  });

  test('side by side are joined by the next one', async () => {
    await query();
    await update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    await update({ ...device('B', 'twelve'), stream_id: 12, prev_id: [10] });
    await update({ ...device('C', 'thirteen'), stream_id: 13, prev_id: [11, 12] });
    expect(Object.keys((await query()).device_keys[user])).toEqual(['A', 'B', 'C']);
    await update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    expect(world.asked(devicesPath())).toHaveLength(1);
  });

  test('that come while the list is being fetched have it fetched again if it is older', async () => {
    let release: (() => void) | undefined;
    let asked: (() => void) | undefined;
    const held = () =>
      new Promise<void>((resolve) => {
        world.answers.set(`GET ${devicesPath()}`, async () => {
          resolve();
          await new Promise<void>((go) => (release = go));
          asked?.();
          return { user_id: user, stream_id: 10, devices: [{ device_id: 'A', keys: keysOf('A', 'ten') }] as never };
        });
      });
    const first = held();
    const pending = query();
    await first;
    await update({ ...device('A', 'eleven'), stream_id: 11, prev_id: [10] });
    const answered = new Promise<void>((resolve) => (asked = resolve));
    release?.();
    answerDevices(11, { A: keysOf('A', 'eleven') });
    await answered;
    await pending;
    await settled();
    expect(await shownKey()).toBe('eleven');
    expect(world.asked(devicesPath())).toHaveLength(2);
  });

  test('of users who share no room, of other servers and with keys of others are dropped', async () => {
    const since = await now();
    const stranger = world.remote('stranger');
    await world.edu('m.device_list_update', { user_id: stranger, device_id: 'A', stream_id: 1 });
    await world.edu('m.device_list_update', { user_id: alice.userId, device_id: 'A', stream_id: 1 });
    await update({ device_id: 'A', stream_id: 1, keys: keysOf('A', 'x', alice.userId) });
    await update({ device_id: 'A', stream_id: 1.5 });
    await update({ device_id: '', stream_id: 1 });
    await update({ device_id: 'A', stream_id: 1, prev_id: 'x' });
    await settled();
    expect(await changedSince(since)).toEqual({});
    expect(world.asked(devicesPath(stranger))).toHaveLength(0);
    expect(world.asked(devicesPath())).toHaveLength(0);
  });

  test('that cannot be fetched are tried again with growing pauses', async () => {
    world.answers.set(`GET ${devicesPath()}`, () => 400);
    const since = await now();
    await update({ ...device('A', 'x'), stream_id: 10 });
    await settled();
    expect(await changedSince(since)).toEqual({});
    world.server.clock.advance(3000);
    await settled();
    expect(world.asked(devicesPath())).toHaveLength(1);
    answerDevices(10, { A: keysOf('A', 'ten') });
    world.server.clock.advance(3000);
    while (world.asked(devicesPath()).length < 2) await new Promise((resolve) => setImmediate(resolve));
    await settled();
    expect((await changedSince(since)).changed).toEqual([user]);
  });

  test('bring cross-signing keys: the new master ends the old self-signing key', async () => {
    await query();
    const since = await now();
    const key = (usage: string, id: string) => ({ user_id: user, usage: [usage], keys: { [`ed25519:${id}`]: id } });
    const [one, two, three] = [
      'nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk',
      'EmkqvokUn8p+vQAGZitOk4PWjp7Ukp3txV2TbMPEiBQ',
      'TnqFT6HgVG9VMsd3DtaOYVNtQGAhGsTLJJZbRf0Fl5M',
    ];
    const keys = { user_id: user, master_key: key('master', one), self_signing_key: key('self_signing', two) };
    await world.edu('m.signing_key_update', keys);
    expect((await changedSince(since)).changed).toEqual([user]);
    const again = await now();
    await world.edu('org.matrix.signing_key_update', keys);
    expect(await changedSince(again)).toEqual({});
    expect((await query()).self_signing_keys[user]).toEqual(key('self_signing', two));
    await world.edu('m.signing_key_update', { user_id: user, master_key: key('master', three) });
    const answer = await query();
    expect(answer.master_keys[user]).toEqual(key('master', three));
    expect(answer.self_signing_keys[user]).toBeUndefined();
    const last = await now();
    await world.edu('m.signing_key_update', { user_id: user, master_key: key('self_signing', one) });
    await world.edu('m.signing_key_update', { user_id: alice.userId, master_key: key('master', one) });
    await world.edu('m.signing_key_update', { user_id: user });
    expect(await changedSince(last)).toEqual({});
    expect(world.asked(devicesPath())).toHaveLength(1);
  });
});

describe('The end of the last shared room', () => {
  beforeEach(async () => {
    await world.member(room, user as never, 'join');
    answerDevices(1, { A: keysOf('A', 'before') });
    await query();
  });
  const leave = async () => {
    const path = `${v3}/rooms/${encodeURIComponent(room)}/leave`;
    expect((await world.server.client.post(path, {}, alice.token)).status).toBe(200);
  };
  const isListed = () =>
    world.server.db.read((snapshot) => world.server.users.remoteLists.isFresh(snapshot, user as never));

  test('by the remote user drops his list, which is fetched anew when he comes back', async () => {
    expect(isListed()).toBe(true);
    const since = await now();
    await world.member(room, user as never, 'leave');
    expect(isListed()).toBe(false);
    expect(await changedSince(since)).toEqual({ left: [user] });
    await world.member(room, user as never, 'join');
    expect((await changedSince(since)).changed).toEqual([user]);
    answerDevices(2, { A: keysOf('A', 'after') });
    expect((await query()).device_keys[user].A.keys['ed25519:A']).toBe('after');
  });

  test('by the last local user drops it too; another shared room keeps it', async () => {
    const other = await openRoom(world.server.client, alice);
    await world.member(other, user as never, 'join');
    await leave();
    expect(isListed()).toBe(true);
    await world.member(other, user as never, 'leave');
    expect(isListed()).toBe(false);
  });

  test('by the last local user alone drops it', async () => {
    await leave();
    expect(isListed()).toBe(false);
    const since = await now();
    await update({ device_id: 'A', stream_id: 2, prev_id: [1] });
    await settled();
    expect(await changedSince(since)).toEqual({});
    expect(world.asked(devicesPath())).toHaveLength(1);
  });

  test('voids a fetch under way', async () => {
    await world.member(room, user as never, 'leave');
    await world.member(room, user as never, 'join');
    let release: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      world.answers.set(`GET ${devicesPath()}`, async () => {
        resolve();
        await new Promise<void>((go) => (release = go));
        return { user_id: user, stream_id: 1, devices: [{ device_id: 'A', keys: keysOf('A', 'old') }] as never };
      });
    });
    const pending = query();
    await asked;
    await update({ device_id: 'A', stream_id: 1 });
    await world.member(room, user as never, 'leave');
    await world.member(room, user as never, 'join');
    answerDevices(2, { A: keysOf('A', 'new') });
    release?.();
    await pending;
    expect((await query()).device_keys[user].A.keys['ed25519:A']).toBe('new');
  });
});

test('who is invited to a room counts as changed before he joins', async () => {
  const since = await now();
  const bob = await register(world.server.client, 'bob');
  const path = `${v3}/rooms/${encodeURIComponent(room)}/invite`;
  await world.server.client.post(path, { user_id: bob.userId }, alice.token);
  expect((await changedSince(since)).changed).toEqual([bob.userId]);
});

test('one-time keys are claimed from the user’s server, and only those asked for are given out', async () => {
  const path = '/_matrix/federation/v1/user/keys/claim';
  const claimedKey = { key: 'k', signatures: {} };
  world.answers.set(`POST ${path}`, ({ body }) => {
    expect(JSON.parse(body)).toEqual({ one_time_keys: { [user]: { A: 'signed_curve25519', B: 'signed_curve25519' } } });
    return {
      one_time_keys: {
        [user]: {
          A: { 'signed_curve25519:1': claimedKey },
          B: { 'other:1': 'x' },
          C: { 'signed_curve25519:1': 'x' },
        },
        [alice.userId]: { A: { 'signed_curve25519:1': 'x' } },
      },
    };
  });
  const claim = (users: object) =>
    world.server.client.post(`${v3}/keys/claim`, { one_time_keys: users }, alice.token).then(({ json }) => json);
  expect(await claim({ [user]: { A: 'signed_curve25519', B: 'signed_curve25519' } })).toEqual({
    one_time_keys: { [user]: { A: { 'signed_curve25519:1': claimedKey } } },
    failures: {},
  });
  world.answers.delete(`POST ${path}`);
  const failed = await claim({ [user]: { A: 'signed_curve25519' } });
  expect(failed.one_time_keys).toEqual({});
  expect(Object.keys(failed.failures)).toEqual([world.peerName]);
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
