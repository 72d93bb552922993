/** What our clients read of rooms, aliases, lists, spaces and files that only another server knows. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { picture } from '../support/media.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

const v3 = '/_matrix/client/v3';
const v1 = '/_matrix/client/v1';
const enc = encodeURIComponent;

let servers: readonly FederatedServer[];
let near: FederatedServer;
let far: FederatedServer;
let alice: Client;
let bob: Client;
beforeAll(async () => {
  ({ servers } = await startServers(2));
  const [one, two] = servers;
  if (one === undefined || two === undefined) throw new Error('no servers');
  [near, far] = [one, two];
  [alice, bob] = [await near.user('alice'), await far.user('bob')];
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const create = async (by: Client, body: object): Promise<string> =>
  String((await by.must('POST', `${v3}/createRoom`, body)).room_id);
const addChild = (by: Client, space: string, child: string, via: readonly string[], more = {}) =>
  by.must('PUT', `${v3}/rooms/${enc(space)}/state/m.space.child/${enc(child)}`, { via, ...more });
const names = (chunk: unknown): unknown[] => (chunk as { name?: string }[]).map(({ name }) => name);

describe('aliases of another server', () => {
  test('are looked up there, with servers that know the room', async () => {
    const roomId = await create(bob, { room_alias_name: 'far-away' });
    const answer = await alice.must('GET', `${v3}/directory/room/${enc(`#far-away:${far.name}`)}`);
    expect(answer).toEqual({ room_id: roomId, servers: [far.name] });
  });

  test('that nobody knows are not found', async () => {
    const { status, body } = await alice.ask('GET', `${v3}/directory/room/${enc(`#nowhere:${far.name}`)}`);
    expect([status, body.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });

  test('of a server that cannot be reached are refused as such', async () => {
    const { status, body } = await alice.ask('GET', `${v3}/directory/room/${enc('#x:localhost:1')}`);
    expect([status, body.errcode]).toEqual([502, 'M_CONNECTION_FAILED']);
  });
});

describe('the published rooms of another server', () => {
  test('are listed, searched and paged through', async () => {
    const roomId = await create(bob, { visibility: 'public', name: 'Wombles', room_alias_name: 'wombles' });
    await create(bob, { visibility: 'public', name: 'Clangers' });
    await create(bob, { visibility: 'public', name: 'Alone', creation_content: { 'm.federate': false } });
    const all = await alice.must('GET', `${v3}/publicRooms?server=${enc(far.name)}`);
    expect(names(all.chunk).sort()).toEqual(['Clangers', 'Wombles']);
    const found = await alice.must('POST', `${v3}/publicRooms?server=${enc(far.name)}`, {
      filter: { generic_search_term: 'womb' },
    });
    expect(found.chunk).toMatchObject([{ room_id: roomId, name: 'Wombles', num_joined_members: 1 }]);
    const page = await alice.must('GET', `${v3}/publicRooms?server=${enc(far.name)}&limit=1`);
    const next = await alice.must(
      'GET',
      `${v3}/publicRooms?server=${enc(far.name)}&limit=1&since=${enc(String(page.next_batch))}`,
    );
    expect([...names(page.chunk), ...names(next.chunk)].sort()).toEqual(['Clangers', 'Wombles']);
  });

  test('cannot be listed when the server does not answer', async () => {
    const { status } = await alice.ask('GET', `${v3}/publicRooms?server=${enc('localhost:1')}`);
    expect(status).toBe(502);
  });
});

describe('rooms that this server is not in', () => {
  test('are summarised by the servers named, and by that of an alias', async () => {
    const roomId = await create(bob, { preset: 'public_chat', name: 'Open', room_alias_name: 'open' });
    const byId = await alice.must('GET', `${v1}/room_summary/${enc(roomId)}?via=${enc(far.name)}`);
    expect(byId).toMatchObject({ room_id: roomId, name: 'Open', join_rule: 'public', membership: 'leave' });
    const byAlias = await alice.must('GET', `${v1}/room_summary/${enc(`#open:${far.name}`)}`);
    expect(byAlias).toMatchObject({ room_id: roomId, name: 'Open' });
  });

  test('stay unknown to who may not come in, and to strangers', async () => {
    const roomId = await create(bob, { preset: 'private_chat', name: 'Closed' });
    const summary = `${v1}/room_summary/${enc(roomId)}?via=${enc(far.name)}`;
    expect((await alice.ask('GET', summary)).status).toBe(404);
  });

  test('are filled into the tree of a space', async () => {
    const open = await create(bob, { preset: 'public_chat', name: 'Open leaf' });
    const closed = await create(bob, { preset: 'private_chat', name: 'Closed leaf' });
    const inner = await create(bob, { preset: 'public_chat', name: 'Inner', creation_content: { type: 'm.space' } });
    await addChild(bob, inner, open, [far.name], { order: 'a' });
    await addChild(bob, inner, closed, [far.name], { order: 'b' });
    const outer = await create(alice, { name: 'Outer', creation_content: { type: 'm.space' } });
    const own = await create(alice, { name: 'Own' });
    await addChild(alice, outer, inner, ['localhost:1', far.name], { order: 'a' });
    await addChild(alice, outer, own, [near.name], { order: 'b' });
    const tree = await alice.must('GET', `${v1}/rooms/${enc(outer)}/hierarchy`);
    expect(names(tree.rooms)).toEqual(['Outer', 'Inner', 'Open leaf', 'Own']);
    const inTree = tree.rooms as { children_state: { state_key: string }[] }[];
    expect(inTree[1]?.children_state.map(({ state_key: key }) => key)).toEqual([open, closed]);
    const first = await alice.must('GET', `${v1}/rooms/${enc(outer)}/hierarchy?limit=2`);
    const rest = await alice.must('GET', `${v1}/rooms/${enc(outer)}/hierarchy?from=${enc(String(first.next_batch))}`);
    expect([...names(first.rooms), ...names(rest.rooms)]).toEqual(names(tree.rooms));
    const remoteRoot = await alice.must('GET', `${v1}/rooms/${enc(inner)}/hierarchy?via=${enc(far.name)}`);
    expect(names(remoteRoot.rooms)).toEqual(['Inner', 'Open leaf']);
    expect((await alice.ask('GET', `${v1}/rooms/${enc(inner)}/hierarchy`)).status).toBe(403);
  });
});

describe('files of another server', () => {
  const upload = async (bytes: Uint8Array, type: string, name: string): Promise<string> => {
    const response = await fetch(`${far.baseUrl}/_matrix/media/v3/upload?filename=${enc(name)}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${bob.token}`, 'Content-Type': type },
      body: Buffer.from(bytes),
    });
    const { content_uri: uri } = (await response.json()) as { content_uri: string };
    return uri.slice('mxc://'.length);
  };
  const get = (path: string) =>
    fetch(`${near.baseUrl}${v1}/media/${path}`, { headers: { Authorization: `Bearer ${alice.token}` } });

  test('come whole, with their type and name', async () => {
    const bytes = Buffer.alloc(700_000, 'abc\r\n--');
    const media = await upload(bytes, 'text/plain', 'Übersicht.txt');
    const response = await get(`download/${media}`);
    expect(response.headers.get('content-type')).toBe('text/plain');
    expect(response.headers.get('content-disposition')).toContain(enc('Übersicht.txt'));
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
  });

  test('are thumbnailed', async () => {
    const media = await upload(await picture(640, 480), 'image/png', 'big.png');
    const response = await get(`thumbnail/${media}?width=32&height=32&method=crop`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/png']);
  });

  test('that are not there are not found', async () => {
    expect((await get(`download/${far.name}/missing`)).status).toBe(404);
  });
});
