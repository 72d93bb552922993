import { describe, expect, test } from '@jest/globals';
import type { TestResponse } from '../support/http.ts';
import { registerAll, register, v3, type TestSession } from '../support/userapi.ts';
import { ok, useTalkers } from '../support/talkers.ts';

const enc = encodeURIComponent;
const v1 = '/_matrix/client/v1';

const scene = useTalkers();
const outcome = ({ status, json }: TestResponse): unknown[] => [status, json.errcode];
const setState = async (by: TestSession, roomId: string, type: string, key: string, content: object): Promise<void> => {
  ok(await scene.server.client.put(`${v3}/rooms/${enc(roomId)}/state/${type}/${enc(key)}`, content, by.token));
};
const join = (by: TestSession, roomId: string): Promise<TestResponse> =>
  scene.server.client.post(`${v3}/join/${enc(roomId)}`, {}, by.token);
const state = (type: string, content: object) => ({ type, content });

describe('the published directory', () => {
  const list = async (body: object, query = ''): Promise<TestResponse> =>
    scene.server.client.post(`${v3}/publicRooms${query}`, body, scene.bob.token);
  const names = ({ chunk }: { chunk: { name?: string }[] }): unknown[] => chunk.map(({ name }) => name);

  test('shows rooms with all that is known of them, largest first, and asks strangers for a token', async () => {
    const small = await scene.create(scene.alice, { visibility: 'public', name: 'Small' });
    const large = await scene.create(scene.alice, {
      visibility: 'public',
      name: 'Large',
      topic: 'A place for Wombles',
      room_alias_name: 'large',
      initial_state: [
        state('m.room.avatar', { url: 'mxc://localhost/face' }),
        state('m.room.guest_access', { guest_access: 'can_join' }),
        state('m.room.history_visibility', { history_visibility: 'world_readable' }),
      ],
    });
    await join(scene.bob, large);
    const all = ok(await scene.server.client.get(`${v3}/publicRooms`, scene.bob.token));
    expect(all.chunk.map(({ room_id: id }: { room_id: string }) => id)).toEqual([large, small]);
    expect(all.chunk[0]).toEqual({
      room_id: large,
      name: 'Large',
      topic: 'A place for Wombles',
      canonical_alias: '#large:localhost',
      avatar_url: 'mxc://localhost/face',
      num_joined_members: 2,
      world_readable: true,
      guest_can_join: true,
      join_rule: 'public',
    });
    expect(all.total_room_count_estimate).toBe(2);
    expect(outcome(await scene.server.client.get(`${v3}/publicRooms`))).toEqual([401, 'M_MISSING_TOKEN']);
    expect(names(ok(await list({ filter: { generic_search_term: 'wombles' } })))).toEqual(['Large']);
    expect(names(ok(await list({ filter: { generic_search_term: '#SMALL' } })))).toEqual([]);
    await scene.server.client.put(
      `${v3}/directory/list/room/${enc(small)}`,
      { visibility: 'private' },
      scene.alice.token,
    );
    expect(names(ok(await list({})))).toEqual(['Large']);
  });

  test('filters by room type, null being those without one', async () => {
    await scene.create(scene.alice, { visibility: 'public', name: 'Space', creation_content: { type: 'm.space' } });
    expect(names(ok(await list({ filter: { room_types: ['m.space'] } })))).toEqual(['Space']);
    expect(names(ok(await list({ filter: { room_types: [null] } })))).toEqual(['Large']);
    expect(names(ok(await list({ filter: { room_types: [null, 'm.space'] } })))).toEqual(['Large', 'Space']);
  });

  test('pages forwards and back through every room once', async () => {
    for (let index = 0; index < 6; index += 1)
      await scene.create(scene.alice, { visibility: 'public', name: `Room ${index}` });
    const seen: unknown[] = [];
    let page = ok(await list({ limit: 3 }));
    expect(page.prev_batch).toBeUndefined();
    for (;;) {
      seen.push(...names(page));
      if (page.next_batch === undefined) break;
      page = ok(await list({ limit: 3, since: page.next_batch }));
    }
    expect(seen).toHaveLength(8);
    expect(new Set(seen).size).toBe(8);
    const back: unknown[] = [];
    while (page.prev_batch !== undefined) {
      page = ok(await list({ limit: 3, since: page.prev_batch }));
      back.unshift(...names(page));
    }
    expect(back).toEqual(seen.slice(0, 6));
    expect(outcome(await list({ since: 'nonsense' }))).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('answers for this server by its name, and for no other', async () => {
    expect(ok(await list({ limit: 1 }, '?server=localhost')).chunk).toHaveLength(1);
    expect(outcome(await list({}, '?server=elsewhere.example'))).toEqual([502, 'M_CONNECTION_FAILED']);
    expect(outcome(await list({}, '?server=no+name'))).toEqual([400, 'M_INVALID_PARAM']);
    expect(ok(await list({ third_party_instance_id: 'irc' })).chunk).toEqual([]);
  });
});

describe('the tree of a space', () => {
  const space = { preset: 'public_chat', creation_content: { type: 'm.space' } };
  const child = (by: TestSession, parent: string, roomId: string, content: object = {}): Promise<void> => {
    // Children without an order stand in that of their times.
    scene.server.clock.advance(1);
    return setState(by, parent, 'm.space.child', roomId, { via: ['localhost'], ...content });
  };
  const hierarchy = (by: TestSession, roomId: string, query = ''): Promise<TestResponse> =>
    scene.server.client.get(`${v1}/rooms/${enc(roomId)}/hierarchy${query}`, by.token);
  const ids = ({ rooms }: { rooms: { room_id: string }[] }): string[] => rooms.map(({ room_id: id }) => id);

  test('is walked depth first in the order of the children, and ends at its own loops', async () => {
    const [root, inner] = [await scene.create(scene.alice, space), await scene.create(scene.alice, space)];
    const [a, b, c, d] = await Promise.all(['a', 'b', 'c', 'd'].map((name) => scene.create(scene.alice, { name })));
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('no rooms');
    await child(scene.alice, root, a);
    await child(scene.alice, root, inner, { suggested: true });
    await child(scene.alice, root, b, { order: 'zz' });
    await child(scene.alice, root, c, { order: 'aa' });
    await child(scene.alice, inner, d);
    await child(scene.alice, inner, root);
    const whole = ok(await hierarchy(scene.alice, root));
    expect(ids(whole)).toEqual([root, c, b, a, inner, d]);
    expect(whole.rooms[0].children_state.map(({ state_key: key }: { state_key: string }) => key)).toEqual([
      c,
      b,
      a,
      inner,
    ]);
    expect(whole.rooms[0]).toMatchObject({ room_type: 'm.space', room_version: '12', join_rule: 'public' });
    expect(whole.rooms[0].children_state[0]).toEqual({
      type: 'm.space.child',
      state_key: c,
      sender: scene.alice.userId,
      content: { via: ['localhost'], order: 'aa' },
      origin_server_ts: expect.any(Number),
    });
    expect(whole.rooms[1].children_state).toEqual([]);
    expect(ids(ok(await hierarchy(scene.alice, root, '?max_depth=1')))).toEqual([root, c, b, a, inner]);
    expect(ids(ok(await hierarchy(scene.alice, root, '?max_depth=0')))).toEqual([root]);
    expect(ids(ok(await hierarchy(scene.alice, root, '?suggested_only=true')))).toEqual([root, inner]);
    await setState(scene.alice, root, 'm.space.child', inner, {});
    expect(ids(ok(await hierarchy(scene.alice, root)))).toEqual([root, c, b, a]);
  });

  test('comes in pages that are bound to their request', async () => {
    const root = await scene.create(scene.alice, space);
    const rooms = await Promise.all([1, 2, 3, 4, 5].map(() => scene.create(scene.alice, {})));
    for (const [index, room] of rooms.entries()) await child(scene.alice, root, room, { order: String(index) });
    const seen: string[] = [];
    let from = '';
    do {
      const page = ok(await hierarchy(scene.alice, root, `?limit=2${from === '' ? '' : `&from=${from}`}`));
      expect(page.rooms.length).toBeLessThanOrEqual(2);
      seen.push(...ids(page));
      from = page.next_batch ?? '';
      if (seen.length === 2) {
        for (const changed of ['suggested_only=true', 'max_depth=1']) {
          const refused = await hierarchy(scene.alice, root, `?from=${from}&${changed}`);
          expect(outcome(refused)).toEqual([400, 'M_INVALID_PARAM']);
        }
      }
    } while (from !== '');
    expect(seen).toEqual([root, ...rooms]);
    expect(outcome(await hierarchy(scene.alice, root, '?from=nonsense'))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await hierarchy(scene.alice, root, '?limit=0'))).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('shows a user the rooms that he is in, may join, knock on or read, and no others', async () => {
    const root = await scene.create(scene.alice, space);
    const restricted = await scene.create(scene.alice, {
      initial_state: [
        state('m.room.join_rules', {
          join_rule: 'restricted',
          allow: [{ type: 'm.room_membership', room_id: root }],
        }),
      ],
    });
    const rooms = {
      secret: await scene.create(scene.alice, {}),
      invited: await scene.create(scene.alice, { invite: [scene.bob.userId] }),
      open: await scene.create(scene.alice, { preset: 'public_chat' }),
      knock: await scene.create(scene.alice, { initial_state: [state('m.room.join_rules', { join_rule: 'knock' })] }),
      readable: await scene.create(scene.alice, {
        initial_state: [state('m.room.history_visibility', { history_visibility: 'world_readable' })],
      }),
      restricted,
    };
    for (const room of Object.values(rooms)) await child(scene.alice, root, room);
    const { secret, restricted: _restricted, ...others } = rooms;
    expect(ids(ok(await hierarchy(scene.bob, root)))).toEqual([root, ...Object.values(others)]);
    await join(scene.bob, root);
    const inside = ok(await hierarchy(scene.bob, root));
    expect(ids(inside)).toEqual([root, ...Object.values(others), restricted]);
    expect(inside.rooms.at(-1)).toMatchObject({ join_rule: 'restricted', allowed_room_ids: [root] });
    expect(outcome(await hierarchy(scene.bob, secret))).toEqual([403, 'M_FORBIDDEN']);
    expect(outcome(await hierarchy(scene.bob, '!none:localhost'))).toEqual([403, 'M_FORBIDDEN']);
    const ban = { user_id: scene.bob.userId };
    ok(await scene.server.client.post(`${v3}/rooms/${enc(root)}/ban`, ban, scene.alice.token));
    expect(outcome(await hierarchy(scene.bob, root))).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('a room’s summary', () => {
  const summary = (idOrAlias: string, by?: TestSession): Promise<TestResponse> =>
    scene.server.client.get(`${v1}/room_summary/${enc(idOrAlias)}`, by?.token);

  test('tells by id or alias what the room is about and what the user is in it', async () => {
    const roomId = await scene.create(scene.alice, {
      preset: 'public_chat',
      room_alias_name: 'summed',
      initial_state: [
        state('m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' }),
        state('m.room.topic', {
          topic: 'old',
          'm.topic': { 'm.text': [{ mimetype: 'text/html', body: '<b>new</b>' }, { body: 'new' }] },
        }),
      ],
    });
    const expected = {
      room_id: roomId,
      canonical_alias: '#summed:localhost',
      topic: 'new',
      num_joined_members: 1,
      world_readable: false,
      guest_can_join: false,
      join_rule: 'public',
      room_version: '12',
      encryption: 'm.megolm.v1.aes-sha2',
    };
    expect(ok(await summary(roomId, scene.alice))).toEqual({ ...expected, membership: 'join' });
    expect(ok(await summary('#summed:localhost', scene.bob))).toEqual({ ...expected, membership: 'leave' });
    expect(ok(await summary(roomId))).toEqual(expected);
    const unstable = '/_matrix/client/unstable/im.nheko.summary';
    for (const path of [`/summary/${enc(roomId)}`, `/rooms/${enc(roomId)}/summary`]) {
      const found = ok(await scene.server.client.get(unstable + path, scene.bob.token));
      expect(found).toMatchObject({ ...expected, 'im.nheko.summary.encryption': 'm.megolm.v1.aes-sha2' });
    }
  });

  test('is withheld from who may not come in', async () => {
    const roomId = await scene.create(scene.alice, { invite: [scene.bob.userId] });
    expect(ok(await summary(roomId, scene.bob)).membership).toBe('invite');
    const carol = await register(scene.server.client, 'carol');
    expect(outcome(await summary(roomId, carol))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await summary(roomId))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await summary('#none:localhost', scene.bob))).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('mutual rooms', () => {
  test('are those in which both are, in batches', async () => {
    const { client } = scene.server;
    const [one, other] = await registerAll(client, 'one', 'other');
    const shared = await Promise.all(Array.from({ length: 102 }, () => scene.create(one, { preset: 'public_chat' })));
    await Promise.all(shared.map((roomId) => join(other, roomId)));
    await scene.create(one, { invite: [other.userId] });
    shared.sort();
    const ask = (query: string): Promise<TestResponse> => client.get(`${v1}/mutual_rooms?${query}`, one.token);
    const first = ok(await ask(`user_id=${enc(other.userId)}`));
    expect([first.joined, first.count]).toEqual([shared.slice(0, 100), 102]);
    const second = ok(await ask(`user_id=${enc(other.userId)}&from=${first.next_batch}`));
    expect(second).toEqual({ joined: shared.slice(100), count: 102 });
    const older = '/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms';
    const third = ok(await client.get(`${older}?user_id=${enc(other.userId)}`, one.token));
    expect(third.next_batch_token).toBe(first.next_batch);
    expect(ok(await ask('user_id=@nobody:localhost'))).toEqual({ joined: [], count: 0 });
    for (const wrong of [`user_id=${enc(one.userId)}`, 'user_id=x', `user_id=${enc(other.userId)}&from=x`]) {
      expect(outcome(await ask(wrong))).toEqual([400, 'M_INVALID_PARAM']);
    }
    expect((await ask('')).status).toBe(400);
  });
});
