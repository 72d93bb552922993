/** Other servers that tell nonsense about aliases, lists and spaces: what is malformed is left out, others are asked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { RoomAlias, RoomId, ServerName } from '../../src/matrix/ids.ts';
import { RemoteAliases } from '../../src/roomserver/remote/aliases.ts';
import { RemoteDirectory } from '../../src/roomserver/remote/directory.ts';
import {
  sendJson,
  startFed,
  startKeyedPeer,
  TestNetwork,
  type KeyedPeer,
  type TestFed,
} from '../support/federation.ts';

let us: TestFed;
let bad: KeyedPeer;
let good: KeyedPeer;
let answer: unknown;
const room = '!space:peer.test' as RoomId;
const plain = { room_id: room, num_joined_members: 1, world_readable: false, guest_can_join: false };

beforeAll(async () => {
  const network = new TestNetwork();
  bad = await startKeyedPeer(network, 'bad.test', (_request, response) => sendJson(response, answer));
  good = await startKeyedPeer(network, 'good.test', (_request, response) =>
    sendJson(response, { room: { ...plain, name: 'Good', children_state: [] }, children: [] }),
  );
  us = await startFed(network);
});
afterAll(async () => {
  await us[Symbol.asyncDispose]();
  await bad[Symbol.asyncDispose]();
  await good[Symbol.asyncDispose]();
});

let directory: RemoteDirectory;
beforeEach(() => {
  directory = new RemoteDirectory(us.fed);
});

describe('lists of published rooms', () => {
  test('lose what is no summary of a room, and members of the wrong type', async () => {
    answer = {
      chunk: [
        { ...plain, name: 7, topic: 'x', avatar_url: {}, num_joined_members: -3, join_rule: null, more: 'no' },
        { ...plain, room_id: '!other:peer.test', world_readable: 'yes' },
      ],
      total_room_count_estimate: 1.5,
    };
    expect(await directory.publicRooms(bad.name, {})).toEqual({
      chunk: [
        { ...plain, num_joined_members: 0, join_rule: 'public', topic: 'x' },
        { ...plain, room_id: '!other:peer.test', join_rule: 'public' },
      ],
    });
  });

  test('that are none are refused as such', async () => {
    answer = { chunk: 'none' };
    await expect(directory.publicRooms(bad.name, {})).rejects.toMatchObject({ status: 502 });
  });
});

describe('spaces', () => {
  test('are asked of the next server when one tells of another room', async () => {
    answer = { room: { ...plain, room_id: '!evil:bad.test', children_state: [] }, children: [] };
    expect((await directory.space(room, [bad.name, good.name], false))?.summary.name).toBe('Good');
    expect(await directory.space('!gone:peer.test' as RoomId, [bad.name], false)).toBeUndefined();
  });

  test('lose children that are none, and are asked for once by all who ask meanwhile', async () => {
    const child = (key: string, content: object, more = {}) => ({
      ...{ type: 'm.space.child', state_key: key, sender: '@a:peer.test', content, origin_server_ts: 1 },
      ...more,
    });
    const via = { via: ['peer.test', 5] };
    answer = {
      room: {
        ...plain,
        children_state: [
          child('!b:peer.test', via, { origin_server_ts: 2 }),
          child('!a:peer.test', via),
          child('no room', via),
          child('!c:peer.test', {}),
          child('!d:peer.test', via, { sender: 'nobody' }),
          child('!e:peer.test', via, { type: 'm.room.name' }),
          child('!f:peer.test', via, { origin_server_ts: 'late' }),
        ],
      },
      children: [{ ...plain, room_id: '!a:peer.test', name: 'A' }],
      inaccessible_children: ['!b:peer.test'],
    };
    const before = bad.requests.length;
    const [one, other] = await Promise.all([
      directory.space(room, [bad.name], false),
      directory.space(room, [bad.name], false),
    ]);
    expect(one).toBe(other);
    expect(one?.children.map(({ state_key: key }) => key)).toEqual(['!a:peer.test', '!b:peer.test']);
    expect(one?.told.get('!a:peer.test')?.name).toBe('A');
    expect(one?.inaccessible.has('!b:peer.test')).toBe(true);
    const asked = bad.requests.slice(before).filter(({ url }) => url.includes('/hierarchy/'));
    expect(asked).toHaveLength(1);
  });
});

describe('aliases', () => {
  const alias = (server: ServerName) => `#x:${server}` as RoomAlias;

  test('lose servers that are none, and name their own server', async () => {
    answer = { room_id: room, servers: ['a.test', 'a.test', 'not a name', ''] };
    expect(await new RemoteAliases(us.fed).lookUp(alias(bad.name))).toEqual({
      roomId: room,
      servers: ['a.test', bad.name],
    });
  });

  test('that lead to no room id are refused', async () => {
    answer = { room_id: 'somewhere', servers: [] };
    await expect(new RemoteAliases(us.fed).lookUp(alias(bad.name))).rejects.toMatchObject({ status: 502 });
  });
});
