import SqliteDatabase from 'better-sqlite3';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { verifyConsumer } from '../../src/bus/index.ts';
import type { UserId } from '../../src/matrix/ids.ts';
import { openReadOnly, sql } from '../../src/storage/index.ts';
import { searchConsumer } from '../../src/syncapi/index.ts';
import { repairDerived } from '../../src/verify.ts';
import type { TestResponse } from '../support/http.ts';
import { migrations } from '../support/room-core.ts';
import {
  register,
  startUserServer,
  temporaryFolder,
  v3,
  type TestSession,
  type UserServer,
} from '../support/userapi.ts';

const enc = encodeURIComponent;

let server: UserServer;
let alice: TestSession;
let bob: TestSession;
beforeAll(async () => {
  server = await startUserServer();
  alice = await register(server.client, 'alice');
  bob = await register(server.client, 'bob');
});
afterAll(async () => server[Symbol.asyncDispose]());

const ok = ({ status, json, text }: TestResponse) => {
  if (status !== 200) throw new Error(`${status} ${text}`);
  return json;
};
const create = async (by: TestSession, body: object = {}, on = server): Promise<string> =>
  ok(await on.client.post(`${v3}/createRoom`, body, by.token)).room_id;
const post = async (by: TestSession, roomId: string, action: string, body: object = {}): Promise<void> => {
  ok(await server.client.post(`${v3}/rooms/${enc(roomId)}/${action}`, body, by.token));
};
let transactions = 0;
const send = async (by: TestSession, roomId: string, content: object, type = 'm.room.message', on = server) => {
  const path = `${v3}/rooms/${enc(roomId)}/send/${type}/${(transactions += 1)}`;
  return ok(await on.client.put(path, content, by.token)).event_id as string;
};
const say = (by: TestSession, roomId: string, body: string, on = server): Promise<string> =>
  send(by, roomId, { msgtype: 'm.text', body }, undefined, on);
const edit = (by: TestSession, roomId: string, target: string, body: string): Promise<string> =>
  send(by, roomId, {
    msgtype: 'm.text',
    body: `* ${body}`,
    'm.new_content': { msgtype: 'm.text', body },
    'm.relates_to': { rel_type: 'm.replace', event_id: target },
  });
const setState = async (by: TestSession, roomId: string, type: string, content: object): Promise<string> =>
  ok(await server.client.put(`${v3}/rooms/${enc(roomId)}/state/${type}/`, content, by.token)).event_id;
const redact = (by: TestSession, roomId: string, eventId: string): Promise<TestResponse> =>
  server.client.put(
    `${v3}/rooms/${enc(roomId)}/redact/${enc(eventId)}/r${(transactions += 1)}`,
    { reason: 'test' },
    by.token,
  );
const ask = (by: TestSession, criteria: object, from = '', on = server): Promise<TestResponse> =>
  on.client.post(
    `${v3}/search${from === '' ? '' : `?next_batch=${from}`}`,
    {
      search_categories: { room_events: criteria },
    },
    by.token,
  );
const search = async (by: TestSession, term: string, more: object = {}, from = '', on = server) =>
  ok(await ask(by, { search_term: term, order_by: 'recent', ...more }, from, on)).search_categories.room_events;
const ids = ({ results }: { results: { result: { event_id: string } }[] }): string[] =>
  results.map(({ result }) => result.event_id);
const found = async (by: TestSession, term: string, more: object = {}): Promise<string[]> =>
  ids(await search(by, term, more));

describe('searching', () => {
  test('finds messages by their words, in any order, with the event and what to highlight', async () => {
    const room = await create(alice);
    const first = await say(alice, room, 'Hello, brave new World');
    const second = await say(alice, room, 'the world says hello to messages');
    await say(alice, room, 'nothing of it');
    const answer = await search(alice, 'world HELLO');
    expect(ids(answer)).toEqual([second, first]);
    expect(answer.count).toBe(2);
    expect(answer.highlights).toEqual(['world', 'hello']);
    expect(answer.results[1].result).toMatchObject({
      event_id: first,
      room_id: room,
      sender: alice.userId,
      type: 'm.room.message',
      content: { body: 'Hello, brave new World' },
    });
    expect(answer.results[0].rank).toBeGreaterThan(0);
    expect(answer.next_batch).toBeUndefined();
    expect(await found(alice, 'message')).toEqual([second]);
    expect(await found(alice, '"new world"')).toEqual([first]);
    expect(await found(alice, '"world new"')).toEqual([]);
    expect(await found(alice, '…')).toEqual([]);
  });

  test('finds parts of texts that are written without blanks', async () => {
    const room = await create(alice);
    const japanese = await say(alice, room, '明日は東京都庁に行きます。');
    const chinese = await say(alice, room, '我们在京都见面');
    const thai = await say(alice, room, 'ยินดีต้อนรับสู่กรุงเทพ');
    expect(await found(alice, '東京')).toEqual([japanese]);
    expect(await found(alice, '京都')).toEqual([chinese, japanese]);
    expect(await found(alice, '都庁')).toEqual([japanese]);
    expect(await found(alice, '面')).toEqual([chinese]);
    expect(await found(alice, '都東')).toEqual([]);
    expect(await found(alice, 'กรุงเทพ')).toEqual([thai]);
  });

  test('looks into the keys that are asked for', async () => {
    const room = await create(alice);
    const name = await setState(alice, room, 'm.room.name', { name: 'Zebra club' });
    const topic = await setState(alice, room, 'm.room.topic', {
      topic: 'all about zebras',
      'm.topic': { 'm.text': [{ body: 'quaggas' }] },
    });
    const body = await say(alice, room, 'a zebra!');
    expect(await found(alice, 'zebra')).toEqual([body, topic, name]);
    expect(await found(alice, 'zebra', { keys: ['content.body'] })).toEqual([body]);
    expect(await found(alice, 'zebra', { keys: ['content.name', 'content.topic'] })).toEqual([topic, name]);
    expect(await found(alice, 'quaggas', { keys: ['content.topic'] })).toEqual([topic]);
    expect((await ask(alice, { search_term: 'zebra', keys: ['content.url'] })).status).toBe(400);
  });

  test('takes rooms, senders and types from the filter', async () => {
    const [one, other] = [await create(alice, { preset: 'public_chat' }), await create(alice)];
    await post(bob, one, 'join');
    const events = [
      await say(alice, one, 'filtered'),
      await say(bob, one, 'filtered'),
      await say(alice, other, 'filtered'),
    ];
    const by = (filter: object): Promise<string[]> => found(alice, 'filtered', { filter });
    expect(await by({ rooms: [one] })).toEqual([events[1], events[0]]);
    expect(await by({ not_rooms: [one] })).toEqual([events[2]]);
    expect(await by({ senders: [bob.userId] })).toEqual([events[1]]);
    expect(await by({ types: ['m.room.name'] })).toEqual([]);
    expect(await by({ limit: 1 })).toEqual([events[2]]);
    expect((await ask(alice, { search_term: 'x', filter: { rooms: 'all' } })).status).toBe(400);
  });

  test('ranks what fits best first, unless the newest are asked for', async () => {
    const room = await create(alice);
    const best = await say(alice, room, 'quokka quokka');
    const good = await say(alice, room, 'a quokka');
    const poor = await say(alice, room, 'a long story with many words that has a quokka in it somewhere near its end');
    expect(await found(alice, 'quokka', { order_by: 'rank' })).toEqual([best, good, poor]);
    expect(await found(alice, 'quokka')).toEqual([poor, good, best]);
  });
});

describe('what is found', () => {
  test('is what the user may see, and nothing else is counted', async () => {
    const room = await create(alice, { preset: 'public_chat' });
    const early = await say(alice, room, 'visibly early');
    await setState(alice, room, 'm.room.history_visibility', { history_visibility: 'joined' });
    await say(alice, room, 'visibly hidden');
    await post(bob, room, 'join');
    const mine = await say(alice, room, 'visibly mine');
    await post(bob, room, 'leave');
    await say(alice, room, 'visibly later');
    const answer = await search(bob, 'visibly');
    expect([ids(answer), answer.count]).toEqual([[mine, early], 2]);
    await post(bob, room, 'forget');
    expect((await search(bob, 'visibly')).count).toBe(0);
    const carol = await register(server.client, 'carol');
    expect((await search(carol, 'visibly')).count).toBe(0);
  });

  test('leaves out redacted messages, ignored users and encrypted rooms', async () => {
    const room = await create(alice, { preset: 'public_chat' });
    await post(bob, room, 'join');
    const gone = await say(alice, room, 'vanishing');
    const ignored = await say(bob, room, 'vanishing too');
    expect(await found(alice, 'vanishing')).toEqual([ignored, gone]);
    await redact(alice, room, gone);
    expect(await found(alice, 'vanishing')).toEqual([ignored]);
    const list = `${v3}/user/${enc(alice.userId)}/account_data/m.ignored_user_list`;
    await server.client.put(list, { ignored_users: { [bob.userId]: {} } }, alice.token);
    expect(await found(alice, 'vanishing')).toEqual([]);
    await server.client.put(list, { ignored_users: {} }, alice.token);
    expect(await found(alice, 'vanishing')).toEqual([ignored]);
    await setState(alice, room, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' });
    expect(await found(alice, 'vanishing')).toEqual([]);
  });

  test('goes by the latest edit, for who may see it', async () => {
    const room = await create(alice, { preset: 'public_chat' });
    await post(bob, room, 'join');
    const event = await say(alice, room, 'draft wording');
    const fake = await edit(bob, room, event, 'forged');
    const first = await edit(alice, room, event, 'better wording');
    expect(await found(alice, 'draft')).toEqual([]);
    expect(await found(alice, 'better')).toEqual([event]);
    expect(await found(alice, 'forged')).toEqual([]);
    await post(bob, room, 'leave');
    server.clock.advance(10);
    const second = await edit(alice, room, event, 'final wording');
    expect(await found(alice, 'final')).toEqual([event]);
    expect(await found(bob, 'final')).toEqual([]);
    await redact(alice, room, second);
    expect(await found(alice, 'better')).toEqual([event]);
    await redact(alice, room, first);
    expect(await found(alice, 'draft')).toEqual([event]);
    expect(fake).not.toBe(first);
  });
});

describe('a reply', () => {
  test('comes in pages that hold every result once', async () => {
    const room = await create(alice);
    const events: string[] = [];
    for (let index = 0; index < 20; index += 1) events.unshift(await say(alice, room, `pagination ${index}`));
    const more = { filter: { limit: 10, rooms: [room] } };
    const first = await search(alice, 'pagination', more);
    expect([ids(first), first.count]).toEqual([events.slice(0, 10), 20]);
    await say(alice, room, 'pagination of late');
    const second = await search(alice, 'pagination', more, first.next_batch);
    expect([ids(second), second.count]).toEqual([events.slice(10), 20]);
    const third = await search(alice, 'pagination', more, second.next_batch);
    expect([ids(third), third.count, third.next_batch]).toEqual([[], 20, undefined]);
    expect((await ask(alice, { search_term: 'pagination' }, 'nonsense')).status).toBe(400);
  });

  test('groups its results, and each group goes on by itself', async () => {
    const [one, other] = [await create(alice, { preset: 'public_chat' }), await create(alice)];
    await post(bob, one, 'join');
    const a = await say(alice, one, 'grouping');
    const b = await say(bob, one, 'grouping');
    const c = await say(alice, other, 'grouping');
    const groupings = { group_by: [{ key: 'room_id' }, { key: 'sender' }] };
    const { groups } = await search(alice, 'grouping', { groupings, filter: { limit: 2 } });
    expect(groups.room_id[other]).toEqual({ order: 1, results: [c] });
    expect(groups.room_id[one]).toEqual({ order: 2, results: [b], next_batch: expect.any(String) });
    expect(groups.sender[bob.userId]).toEqual({ order: 2, results: [b] });
    const { next_batch: from } = groups.sender[alice.userId];
    expect(ids(await search(alice, 'grouping', { groupings }, from))).toEqual([a]);
    expect((await ask(alice, { search_term: 'grouping' }, from)).status).toBe(400);
  });

  test('shows what was said around each result, who said it, and the room', async () => {
    await server.client.put(`${v3}/profile/${enc(alice.userId)}/displayname`, { displayname: 'Alice' }, alice.token);
    const room = await create(alice, { name: 'Context' });
    const events: string[] = [];
    for (let index = 1; index <= 7; index += 1) events.push(await say(alice, room, `Line number ${index}`));
    const answer = await search(alice, 'Line 4', {
      event_context: { before_limit: 2, after_limit: 2, include_profile: true },
      include_state: true,
      filter: { limit: 1 },
    });
    const { context } = answer.results[0];
    const idsOf = (list: { event_id: string }[]): string[] => list.map(({ event_id: id }) => id);
    expect(answer.results).toHaveLength(1);
    expect(idsOf(context.events_before)).toEqual([events[2], events[1]]);
    expect(idsOf(context.events_after)).toEqual([events[4], events[5]]);
    expect(context.profile_info).toEqual({ [alice.userId]: { displayname: 'Alice' } });
    expect(answer.state[room].map(({ type }: { type: string }) => type)).toContain('m.room.name');
    const path = `${v3}/rooms/${enc(room)}/messages?dir=b&limit=1&from=${context.start}`;
    const before = ok(await server.client.get(path, alice.token));
    expect(before.chunk[0].event_id).toBe(events[0]);
  });

  test('is empty for no category, and an error for a wrong one', async () => {
    const wrong = (body: object): Promise<TestResponse> => server.client.post(`${v3}/search`, body, alice.token);
    expect(ok(await wrong({ search_categories: {} }))).toEqual({ search_categories: {} });
    expect((await wrong({})).status).toBe(400);
    expect((await wrong({ search_categories: { room_events: {} } })).status).toBe(400);
    expect((await ask(alice, { search_term: 'x', order_by: 'best' })).status).toBe(400);
  });
});

describe('the index', () => {
  const contentOf = (folder: string): unknown[] => {
    const database = new SqliteDatabase(join(folder, 'neurite.db'), { readonly: true });
    database.exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'search_text', 'instance')");
    const words = database.prepare('SELECT * FROM temp.words ORDER BY doc, col, offset, term').all();
    const events = database.prepare('SELECT * FROM search_events ORDER BY nid').all();
    database.close();
    return [words, events];
  };

  test('made anew is the same as the one that followed the log, also across a restart', async () => {
    await using place = await temporaryFolder();
    const { folder } = place;
    let last: unknown[] = [];
    {
      await using first = await startUserServer({}, { folder });
      const one = await register(first.client, 'one');
      const room = await create(one, { name: 'Index', topic: 'all of it' }, first);
      const kept = await say(one, room, 'kept words', first);
      const gone = await say(one, room, 'words that go', first);
      await send(
        one,
        room,
        {
          body: '* x',
          'm.new_content': { body: 'changed words' },
          'm.relates_to': { rel_type: 'm.replace', event_id: kept },
        },
        'm.room.message',
        first,
      );
      ok(await first.client.put(`${v3}/rooms/${enc(room)}/redact/${enc(gone)}/1`, {}, one.token));
      // Not followed yet: the server stops first.
    }
    {
      await using second = await startUserServer({}, { folder });
      const { searchIndex } = second.modules.sync;
      last = contentOf(folder);
      await searchIndex.rebuild();
      expect(contentOf(folder)).toEqual(last);
    }
    expect(JSON.stringify(last)).toContain('changed');
    expect(JSON.stringify(last)).not.toContain('kept');
    expect(JSON.stringify(last)).not.toContain('go"');
  });

  test('is verified against the events, word by word, and repaired', async () => {
    await using second = await startUserServer();
    const { db, rooms, sync } = second.modules;
    const reading = openReadOnly({ path: db.path, migrations });
    const verify = async (): Promise<string[]> => {
      const lines: string[] = [];
      const options = { wait: false, onSkipped: (name: string) => void lines.push(name) };
      for await (const line of verifyConsumer(reading, searchConsumer(rooms), options)) lines.push(line);
      return lines;
    };
    const one = await register(second.client, 'one');
    const room = await create(one, { name: 'Verified' }, second);
    await say(one, room, 'first', second);
    await say(one, room, 'second', second);
    await sync.searchIndex.caughtUp();
    expect(await verify()).toEqual([]);
    await db.write((tx) => {
      tx.run(sql<[]>('DELETE FROM search_events WHERE nid = (SELECT max(nid) FROM search_events)'));
      tx.run(sql<[]>('DELETE FROM search_text WHERE rowid = (SELECT max(rowid) FROM search_text)'));
    });
    expect(await verify()).toEqual([
      expect.stringMatching(/^search: event \d+ should be /),
      expect.stringMatching(/^search: words of event \d+ should be .*body:second/),
    ]);
    const lines: string[] = [];
    await repairDerived(second.modules, ['search'], (line) => void lines.push(line));
    expect(lines).toEqual(['search: all of it']);
    expect(await verify()).toEqual([]);
    reading.close();
    expect((await search(one, 'second', {}, '', second)).count).toBe(1);
  });

  test('is asked about many rooms at once', async () => {
    const many = await register(server.client, 'many');
    const { db, rooms } = server.modules;
    const sender = many.userId as UserId;
    const addRooms = (count: number): Promise<string[]> =>
      db.write((tx) =>
        Array.from({ length: count }, () => {
          const room = rooms.createRoom(tx, { version: '12', sender, content: {} });
          rooms.send(tx, room, { type: 'm.room.member', stateKey: sender, sender, content: { membership: 'join' } });
          return room.roomId;
        }),
      );
    const [, , room = ''] = await addRooms(200);
    const event = await say(many, room, 'needle');
    expect(await found(many, 'needle')).toEqual([event]);
    await addRooms(10);
    expect(await found(many, 'needle')).toEqual([event]);
  }, 30_000);
});
