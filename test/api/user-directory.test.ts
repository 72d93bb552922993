import SqliteDatabase from 'better-sqlite3';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { testConfig, type TestResponse } from '../support/http.ts';
import {
  register,
  startUserServer,
  temporaryFolder,
  v3,
  type TestSession,
  type UserServer,
} from '../support/userapi.ts';

const enc = encodeURIComponent;
const ok = ({ status, json, text }: TestResponse) => {
  if (status !== 200) throw new Error(`${status} ${text}`);
  return json;
};
const search = async ({ client }: UserServer, by: TestSession, term: string, limit?: number) =>
  ok(await client.post(`${v3}/user_directory/search`, { search_term: term, limit }, by.token));
const found = async (server: UserServer, by: TestSession, term: string): Promise<string[]> =>
  (await search(server, by, term)).results.map(({ user_id: user }: { user_id: string }) => user);
const create = async ({ client }: UserServer, by: TestSession, body: object = {}): Promise<string> =>
  ok(await client.post(`${v3}/createRoom`, body, by.token)).room_id;
const act = async ({ client }: UserServer, by: TestSession, roomId: string, action: string, body: object = {}) => {
  ok(await client.post(`${v3}/rooms/${enc(roomId)}/${action}`, body, by.token));
};
const setState = async ({ client }: UserServer, by: TestSession, roomId: string, path: string, content: object) => {
  ok(await client.put(`${v3}/rooms/${enc(roomId)}/state/${path}`, content, by.token));
};
const rename = async ({ client }: UserServer, user: TestSession, displayname: string): Promise<void> => {
  ok(await client.put(`${v3}/profile/${enc(user.userId)}/displayname`, { displayname }, user.token));
};
/** Alice has a name of her own; Bob is a stranger. */
const people = async (server: UserServer): Promise<[TestSession, TestSession]> => {
  const alice = await register(server.client, 'alice');
  await rename(server, alice, 'Älice 田中太郎');
  return [alice, await register(server.client, 'bob')];
};

describe('the user directory', () => {
  test('finds who shares a room, by words of name and id, whatever their case', async () => {
    await using server = await startUserServer();
    const [alice, bob] = await people(server);
    expect(await found(server, bob, 'alice')).toEqual([]);
    const room = await create(server, alice, { invite: [bob.userId] });
    expect(await found(server, bob, 'alice')).toEqual([]);
    await act(server, bob, room, 'join');
    expect(await search(server, bob, 'ALICE')).toEqual({
      results: [{ user_id: alice.userId, display_name: 'Älice 田中太郎' }],
      limited: false,
    });
    for (const term of ['ali', 'älice', '@alice', alice.userId, 'alice localhost', '太郎', '中太']) {
      expect(await found(server, bob, term)).toEqual([alice.userId]);
    }
    for (const term of ['lice', 'alice bob', '郎太', '', '…']) expect(await found(server, bob, term)).toEqual([]);
    await act(server, bob, room, 'leave');
    expect(await found(server, bob, 'alice')).toEqual([]);
  });

  test('follows changes of names, and shows nobody who has closed the account', async () => {
    await using server = await startUserServer();
    const [alice, bob] = await people(server);
    await create(server, alice, { preset: 'public_chat' });
    await rename(server, alice, 'Renamed');
    expect(await found(server, bob, 'renamed')).toEqual([alice.userId]);
    expect(await found(server, bob, '太郎')).toEqual([]);
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'correct horse',
    };
    ok(await server.client.post(`${v3}/account/deactivate`, { auth }, alice.token));
    expect(await found(server, bob, 'alice')).toEqual([]);
  });

  test('finds who is in a room that anybody may join or read, as long as that is so', async () => {
    await using server = await startUserServer();
    const [alice, bob] = await people(server);
    const room = await create(server, alice);
    const visible = async (): Promise<boolean> => (await found(server, bob, 'alice')).length === 1;
    expect(await visible()).toBe(false);
    await setState(server, alice, room, 'm.room.join_rules/', { join_rule: 'public' });
    expect(await visible()).toBe(true);
    expect(await found(server, alice, 'alice')).toEqual([alice.userId]);
    await setState(server, alice, room, 'm.room.history_visibility/', { history_visibility: 'world_readable' });
    await setState(server, alice, room, 'm.room.join_rules/', { join_rule: 'invite' });
    expect(await visible()).toBe(true);
    await setState(server, alice, room, 'm.room.history_visibility/', { history_visibility: 'shared' });
    expect(await visible()).toBe(false);
    expect(await found(server, alice, 'alice')).toEqual([]);
  });

  test('tells nobody the name that a user has in one room only', async () => {
    await using server = await startUserServer();
    const [alice, bob] = await people(server);
    await create(server, alice, { preset: 'public_chat' });
    const secret = await create(server, alice, { invite: [bob.userId] });
    await act(server, bob, secret, 'join');
    const content = { membership: 'join', displayname: 'Freddy' };
    await setState(server, alice, secret, `m.room.member/${enc(alice.userId)}`, content);
    expect(await found(server, bob, 'freddy')).toEqual([]);
    expect((await search(server, bob, 'alice')).results[0].display_name).toBe('Älice 田中太郎');
  });

  test('ends at the limit and says so', async () => {
    await using server = await startUserServer();
    const [alice, bob] = await people(server);
    const room = await create(server, alice, { preset: 'public_chat' });
    for (const name of ['carl', 'carla', 'carlo']) await act(server, await register(server.client, name), room, 'join');
    const all = await search(server, bob, 'carl');
    expect([all.results.length, all.limited]).toEqual([3, false]);
    const some = await search(server, bob, 'carl', 2);
    expect([some.results.length, some.limited]).toEqual([2, true]);
    expect(some.results).toEqual(all.results.slice(0, 2));
  });

  test('shows everyone to everyone where the configuration says so', async () => {
    const { userDirectory } = testConfig();
    await using server = await startUserServer({ userDirectory: { ...userDirectory, searchAllUsers: true } });
    const [alice, bob] = await people(server);
    expect(await found(server, bob, 'alice')).toEqual([alice.userId]);
    await register(server.client, 'nobody');
    expect(await found(server, bob, 'nobody')).toEqual(['@nobody:localhost']);
  });

  test('made anew is the same as the one that followed the log', async () => {
    await using place = await temporaryFolder();
    const { folder } = place;
    await using server = await startUserServer({}, { folder });
    const [alice, bob] = await people(server);
    const room = await create(server, alice, { preset: 'public_chat' });
    await act(server, bob, room, 'join');
    await rename(server, bob, 'Bob the other');
    await register(server.client, 'third');
    const words = async (): Promise<unknown[]> => {
      await server.modules.directoryIndex.caughtUp();
      const database = new SqliteDatabase(join(folder, 'neurite.db'), { readonly: true });
      database.exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'userapi_directory_text', 'instance')");
      const rows = database
        .prepare('SELECT user_id, term, offset FROM temp.words JOIN userapi_directory ON id = doc ORDER BY 1, 3, 2')
        .all();
      database.close();
      return rows;
    };
    const before = await words();
    expect(before.length).toBeGreaterThan(6);
    await server.modules.directoryIndex.rebuild();
    expect(await words()).toEqual(before);
  });
});
