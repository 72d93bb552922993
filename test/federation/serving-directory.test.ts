/** Aliases, lists, spaces and files as other servers get them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseRoomAlias } from '../../src/matrix/ids.ts';
import { federationMediaRoutes } from '../../src/federation/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { Room } from '../../src/roomserver/index.ts';
import { startTestServer } from '../support/http.ts';
import { picture, startMediaServer } from '../support/media.ts';
import { user } from '../support/room-core.ts';
import { startServing, trusting, type Serving } from '../support/serving.ts';

const alice = '@alice:us.test';
const them = 'them.test';
const id = encodeURIComponent;

let serving: Serving;
beforeAll(async () => {
  serving = await startServing();
});
afterAll(async () => serving[Symbol.asyncDispose]());

const setState = (room: Room, type: string, content: Record<string, unknown>, stateKey = '') =>
  serving.rooms.send(room, { type, stateKey, sender: alice, content });
async function makeRoom(name: string, joinRule: object, createContent = {}): Promise<Room> {
  const { rooms } = serving;
  const room = await rooms.createRoom(alice, '12', createContent);
  await setState(room, 'm.room.member', { membership: 'join' }, alice);
  await setState(room, 'm.room.name', { name });
  await setState(room, 'm.room.join_rules', { ...joinRule });
  return room;
}
const open = { join_rule: 'public' };
const closed = { join_rule: 'invite' };

describe('aliases', () => {
  test('are told with the servers in the room, ours first', async () => {
    const room = await makeRoom('Aliased', open);
    await serving.rooms.join(room, `@rita:${them}`);
    const alias = parseRoomAlias('#here:us.test');
    if (alias === undefined) throw new Error('no alias');
    await serving.rooms.db.write((tx) => serving.perform.aliases.add(tx, alias, room, user(alice)));
    const { json } = await serving.ask('any.test', `/query/directory?room_alias=${id(alias)}`);
    expect(json).toEqual({ room_id: room.roomId, servers: ['us.test', them] });
  });

  test('that are not known are not found, and other types of query not recognised', async () => {
    const missing = await serving.ask(them, `/query/directory?room_alias=${id('#none:us.test')}`);
    expect([missing.status, missing.json.errcode]).toEqual([404, 'M_NOT_FOUND']);
    const odd = await serving.ask(them, '/query/weather');
    expect([odd.status, odd.json.errcode]).toEqual([404, 'M_UNRECOGNIZED']);
  });
});

describe('published rooms', () => {
  test('are listed, searched by POST, and left out when they are for this server alone', async () => {
    const listed = await makeRoom('Gardening', open);
    const alone = await makeRoom('Alone', open, { 'm.federate': false });
    await serving.rooms.db.write((tx) => {
      for (const room of [listed, alone]) serving.perform.aliases.setPublished(tx, room, true);
    });
    const all = (await serving.ask(them, '/publicRooms')).json;
    expect(all.chunk).toMatchObject([{ room_id: listed.roomId, name: 'Gardening', num_joined_members: 1 }]);
    const none = await serving.ask(them, '/publicRooms', { filter: { generic_search_term: 'fish' } });
    expect(none.json.chunk).toEqual([]);
    const some = await serving.ask(them, '/publicRooms', { limit: 5, filter: { generic_search_term: 'garden' } });
    expect(some.json.chunk).toHaveLength(1);
  });
});

describe('spaces', () => {
  const space = async (...children: readonly Room[]): Promise<Room> => {
    const room = await makeRoom('Space', open, { type: 'm.space' });
    for (const [index, child] of children.entries()) {
      await setState(room, 'm.space.child', { via: ['us.test'], suggested: index === 0 }, child.roomId);
    }
    return room;
  };
  const names = (rooms: { name: string }[]): string[] => rooms.map(({ name }) => name);
  const ask = (room: Room, query = '', origin = them) => serving.ask(origin, `/hierarchy/${id(room.roomId)}${query}`);

  test('are told with the rooms that users of the other server could come into, and the ids of the others', async () => {
    const [leaf, hidden] = [await makeRoom('Leaf', open), await makeRoom('Hidden', closed)];
    const invited = await makeRoom('Invited', closed);
    await setState(invited, 'm.room.member', { membership: 'invite' }, `@rita:${them}`);
    const root = await space(leaf, hidden, invited);
    await setState(root, 'm.space.child', { via: ['far.test'] }, '!unknown:far.test');
    const { json } = await ask(root);
    expect(json.room).toMatchObject({ name: 'Space', room_type: 'm.space', room_version: '12' });
    expect(json.room.children_state).toHaveLength(4);
    expect(names(json.children)).toEqual(['Leaf', 'Invited']);
    expect(json.inaccessible_children).toEqual([hidden.roomId]);
    expect(names((await ask(root, '?suggested_only=true')).json.children)).toEqual(['Leaf']);
  });

  test('show restricted rooms to servers that are in one of the rooms that let in', async () => {
    const club = await makeRoom('Club', open);
    const allow = [{ type: 'm.room_membership', room_id: club.roomId }];
    const inner = await makeRoom('Inner', { join_rule: 'restricted', allow });
    const root = await space(inner);
    expect((await ask(root)).json.inaccessible_children).toEqual([inner.roomId]);
    await serving.rooms.join(club, `@rita:${them}`);
    expect((await ask(root)).json.children).toMatchObject([{ name: 'Inner', allowed_room_ids: [club.roomId] }]);
  });

  test('that a server could not come into are not found', async () => {
    const hidden = await makeRoom('Hidden', closed, { type: 'm.space' });
    expect((await ask(hidden)).json.errcode).toBe('M_NOT_FOUND');
    expect((await serving.ask(them, `/hierarchy/${id('!nowhere:us.test')}`)).json.errcode).toBe('M_NOT_FOUND');
  });
});

describe('files', () => {
  test('come in two parts: an empty object and the bytes; those of other servers are not handed on', async () => {
    await using media = await startMediaServer();
    const parts = { media: media.media, serverName: 'localhost' as ServerName };
    await using server = await startTestServer(federationMediaRoutes(parts), { servers: trusting, db: media.db });
    const get = (path: string) =>
      fetch(`${server.url}/_matrix/federation/v1/media/${path}`, { headers: { Authorization: 'Test them.test' } });
    const uploaded = await media.upload(Buffer.from('plain words'), { type: 'text/plain', filename: 'a "b".txt' });
    const [, mediaId = ''] = uploaded.split('/');
    const response = await get(`download/${mediaId}`);
    const type = response.headers.get('content-type') ?? '';
    const boundary = /^multipart\/mixed; boundary=([0-9a-f]+)$/.exec(type)?.[1] ?? '';
    expect((await response.text()).split(`--${boundary}`)).toEqual([
      '',
      '\r\nContent-Type: application/json\r\n\r\n{}\r\n',
      '\r\nContent-Type: text/plain\r\nContent-Disposition: inline; filename="a \\"b\\".txt"\r\n\r\nplain words\r\n',
      '--\r\n',
    ]);
    const image = (await media.upload(await picture(800, 600), { type: 'image/png' })).split('/')[1] ?? '';
    const thumbnail = await get(`thumbnail/${image}?width=32&height=32&method=crop`);
    expect(await thumbnail.text()).toContain('Content-Type: image/png');
    expect((await get(`thumbnail/${mediaId}?width=32&height=32`)).status).toBe(400);
    expect((await get(`thumbnail/${image}?width=x&height=32`)).status).toBe(400);
    expect((await get('download/missing')).status).toBe(404);
    expect((await get(`download/${mediaId}`.replace('download', 'nothing'))).status).toBe(404);
  });
});
