/** Search as users ask for it: what is found, who may find it, how it is put together. */
import { describe, expect, test } from '@jest/globals';
import type { TestResponse } from '../support/http.ts';
import { ids, ok, useTalkers } from '../support/talkers.ts';
import { register, v3 } from '../support/userapi.ts';

const enc = encodeURIComponent;
const scene = useTalkers();

describe('searching', () => {
  test('finds messages by their words, in any order, with the event and what to highlight', async () => {
    const room = await scene.create(scene.alice);
    const first = await scene.say(scene.alice, room, 'Hello, brave new World');
    const second = await scene.say(scene.alice, room, 'the world says hello to messages');
    await scene.say(scene.alice, room, 'nothing of it');
    const answer = await scene.search(scene.alice, 'world HELLO');
    expect(ids(answer)).toEqual([second, first]);
    expect(answer.count).toBe(2);
    expect(answer.highlights).toEqual(['world', 'hello']);
    expect(answer.results[1].result).toMatchObject({
      event_id: first,
      room_id: room,
      sender: scene.alice.userId,
      type: 'm.room.message',
      content: { body: 'Hello, brave new World' },
    });
    expect(answer.results[0].rank).toBeGreaterThan(0);
    expect(answer.next_batch).toBeUndefined();
    expect(await scene.found(scene.alice, 'message')).toEqual([second]);
    expect(await scene.found(scene.alice, '"new world"')).toEqual([first]);
    expect(await scene.found(scene.alice, '"world new"')).toEqual([]);
    expect(await scene.found(scene.alice, '…')).toEqual([]);
  });

  test('finds parts of texts that are written without blanks', async () => {
    const room = await scene.create(scene.alice);
    const japanese = await scene.say(scene.alice, room, '明日は東京都庁に行きます。');
    const chinese = await scene.say(scene.alice, room, '我们在京都见面');
    const thai = await scene.say(scene.alice, room, 'ยินดีต้อนรับสู่กรุงเทพ');
    expect(await scene.found(scene.alice, '東京')).toEqual([japanese]);
    expect(await scene.found(scene.alice, '京都')).toEqual([chinese, japanese]);
    expect(await scene.found(scene.alice, '都庁')).toEqual([japanese]);
    expect(await scene.found(scene.alice, '面')).toEqual([chinese]);
    expect(await scene.found(scene.alice, '都東')).toEqual([]);
    expect(await scene.found(scene.alice, 'กรุงเทพ')).toEqual([thai]);
  });

  test('looks into the keys that are asked for', async () => {
    const room = await scene.create(scene.alice);
    const name = await scene.setState(scene.alice, room, 'm.room.name', { name: 'Zebra club' });
    const topic = await scene.setState(scene.alice, room, 'm.room.topic', {
      topic: 'all about zebras',
      'm.topic': { 'm.text': [{ body: 'quaggas' }] },
    });
    const body = await scene.say(scene.alice, room, 'a zebra!');
    expect(await scene.found(scene.alice, 'zebra')).toEqual([body, topic, name]);
    expect(await scene.found(scene.alice, 'zebra', { keys: ['content.body'] })).toEqual([body]);
    expect(await scene.found(scene.alice, 'zebra', { keys: ['content.name', 'content.topic'] })).toEqual([topic, name]);
    expect(await scene.found(scene.alice, 'quaggas', { keys: ['content.topic'] })).toEqual([topic]);
    expect((await scene.ask(scene.alice, { search_term: 'zebra', keys: ['content.url'] })).status).toBe(400);
  });

  test('takes rooms, senders and types from the filter', async () => {
    const [one, other] = [await scene.create(scene.alice, { preset: 'public_chat' }), await scene.create(scene.alice)];
    await scene.post(scene.bob, one, 'join');
    const events = [
      await scene.say(scene.alice, one, 'filtered'),
      await scene.say(scene.bob, one, 'filtered'),
      await scene.say(scene.alice, other, 'filtered'),
    ];
    const by = (filter: object): Promise<string[]> => scene.found(scene.alice, 'filtered', { filter });
    expect(await by({ rooms: [one] })).toEqual([events[1], events[0]]);
    expect(await by({ not_rooms: [one] })).toEqual([events[2]]);
    expect(await by({ senders: [scene.bob.userId] })).toEqual([events[1]]);
    expect(await by({ types: ['m.room.name'] })).toEqual([]);
    expect(await by({ limit: 1 })).toEqual([events[2]]);
    expect((await scene.ask(scene.alice, { search_term: 'x', filter: { rooms: 'all' } })).status).toBe(400);
  });

  test('ranks what fits best first, unless the newest are asked for', async () => {
    const room = await scene.create(scene.alice);
    const best = await scene.say(scene.alice, room, 'quokka quokka');
    const good = await scene.say(scene.alice, room, 'a quokka');
    const poor = await scene.say(
      scene.alice,
      room,
      'a long story with many words that has a quokka in it somewhere near its end',
    );
    expect(await scene.found(scene.alice, 'quokka', { order_by: 'rank' })).toEqual([best, good, poor]);
    expect(await scene.found(scene.alice, 'quokka')).toEqual([poor, good, best]);
  });
});

describe('what is found', () => {
  test('is what the user may see, and nothing else is counted', async () => {
    const room = await scene.create(scene.alice, { preset: 'public_chat' });
    const early = await scene.say(scene.alice, room, 'visibly early');
    await scene.setState(scene.alice, room, 'm.room.history_visibility', { history_visibility: 'joined' });
    await scene.say(scene.alice, room, 'visibly hidden');
    await scene.post(scene.bob, room, 'join');
    const mine = await scene.say(scene.alice, room, 'visibly mine');
    await scene.post(scene.bob, room, 'leave');
    await scene.say(scene.alice, room, 'visibly later');
    const answer = await scene.search(scene.bob, 'visibly');
    expect([ids(answer), answer.count]).toEqual([[mine, early], 2]);
    await scene.post(scene.bob, room, 'forget');
    expect((await scene.search(scene.bob, 'visibly')).count).toBe(0);
    const carol = await register(scene.server.client, 'carol');
    expect((await scene.search(carol, 'visibly')).count).toBe(0);
  });

  test('leaves out redacted messages, ignored users and encrypted rooms', async () => {
    const room = await scene.create(scene.alice, { preset: 'public_chat' });
    await scene.post(scene.bob, room, 'join');
    const gone = await scene.say(scene.alice, room, 'vanishing');
    const ignored = await scene.say(scene.bob, room, 'vanishing too');
    expect(await scene.found(scene.alice, 'vanishing')).toEqual([ignored, gone]);
    await scene.redact(scene.alice, room, gone);
    expect(await scene.found(scene.alice, 'vanishing')).toEqual([ignored]);
    const list = `${v3}/user/${enc(scene.alice.userId)}/account_data/m.ignored_user_list`;
    await scene.server.client.put(list, { ignored_users: { [scene.bob.userId]: {} } }, scene.alice.token);
    expect(await scene.found(scene.alice, 'vanishing')).toEqual([]);
    await scene.server.client.put(list, { ignored_users: {} }, scene.alice.token);
    expect(await scene.found(scene.alice, 'vanishing')).toEqual([ignored]);
    await scene.setState(scene.alice, room, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' });
    expect(await scene.found(scene.alice, 'vanishing')).toEqual([]);
  });

  test('goes by the latest edit, for who may see it', async () => {
    const room = await scene.create(scene.alice, { preset: 'public_chat' });
    await scene.post(scene.bob, room, 'join');
    const event = await scene.say(scene.alice, room, 'draft wording');
    const fake = await scene.edit(scene.bob, room, event, 'forged');
    const first = await scene.edit(scene.alice, room, event, 'better wording');
    expect(await scene.found(scene.alice, 'draft')).toEqual([]);
    expect(await scene.found(scene.alice, 'better')).toEqual([event]);
    expect(await scene.found(scene.alice, 'forged')).toEqual([]);
    await scene.post(scene.bob, room, 'leave');
    scene.server.clock.advance(10);
    const second = await scene.edit(scene.alice, room, event, 'final wording');
    expect(await scene.found(scene.alice, 'final')).toEqual([event]);
    expect(await scene.found(scene.bob, 'final')).toEqual([]);
    await scene.redact(scene.alice, room, second);
    expect(await scene.found(scene.alice, 'better')).toEqual([event]);
    await scene.redact(scene.alice, room, first);
    expect(await scene.found(scene.alice, 'draft')).toEqual([event]);
    expect(fake).not.toBe(first);
  });
});

describe('a reply', () => {
  test('comes in pages that hold every result once', async () => {
    const room = await scene.create(scene.alice);
    const events: string[] = [];
    for (let index = 0; index < 20; index += 1)
      events.unshift(await scene.say(scene.alice, room, `pagination ${index}`));
    const more = { filter: { limit: 10, rooms: [room] } };
    const first = await scene.search(scene.alice, 'pagination', more);
    expect([ids(first), first.count]).toEqual([events.slice(0, 10), 20]);
    await scene.say(scene.alice, room, 'pagination of late');
    const second = await scene.search(scene.alice, 'pagination', more, first.next_batch);
    expect([ids(second), second.count]).toEqual([events.slice(10), 20]);
    const third = await scene.search(scene.alice, 'pagination', more, second.next_batch);
    expect([ids(third), third.count, third.next_batch]).toEqual([[], 20, undefined]);
    expect((await scene.ask(scene.alice, { search_term: 'pagination' }, 'nonsense')).status).toBe(400);
  });

  test('groups its results, and each group goes on by itself', async () => {
    const [one, other] = [await scene.create(scene.alice, { preset: 'public_chat' }), await scene.create(scene.alice)];
    await scene.post(scene.bob, one, 'join');
    const a = await scene.say(scene.alice, one, 'grouping');
    const b = await scene.say(scene.bob, one, 'grouping');
    const c = await scene.say(scene.alice, other, 'grouping');
    const groupings = { group_by: [{ key: 'room_id' }, { key: 'sender' }] };
    const { groups } = await scene.search(scene.alice, 'grouping', { groupings, filter: { limit: 2 } });
    expect(groups.room_id[other]).toEqual({ order: 1, results: [c] });
    expect(groups.room_id[one]).toEqual({ order: 2, results: [b], next_batch: expect.any(String) });
    expect(groups.sender[scene.bob.userId]).toEqual({ order: 2, results: [b] });
    const { next_batch: from } = groups.sender[scene.alice.userId];
    expect(ids(await scene.search(scene.alice, 'grouping', { groupings }, from))).toEqual([a]);
    expect((await scene.ask(scene.alice, { search_term: 'grouping' }, from)).status).toBe(400);
  });

  test('shows what was said around each result, who said it, and the room', async () => {
    await scene.server.client.put(
      `${v3}/profile/${enc(scene.alice.userId)}/displayname`,
      { displayname: 'Alice' },
      scene.alice.token,
    );
    const room = await scene.create(scene.alice, { name: 'Context' });
    const events: string[] = [];
    for (let index = 1; index <= 7; index += 1) events.push(await scene.say(scene.alice, room, `Line number ${index}`));
    const answer = await scene.search(scene.alice, 'Line 4', {
      event_context: { before_limit: 2, after_limit: 2, include_profile: true },
      include_state: true,
      filter: { limit: 1 },
    });
    const { context } = answer.results[0];
    const idsOf = (list: { event_id: string }[]): string[] => list.map(({ event_id: id }) => id);
    expect(answer.results).toHaveLength(1);
    expect(idsOf(context.events_before)).toEqual([events[2], events[1]]);
    expect(idsOf(context.events_after)).toEqual([events[4], events[5]]);
    expect(context.profile_info).toEqual({ [scene.alice.userId]: { displayname: 'Alice' } });
    expect(answer.state[room].map(({ type }: { type: string }) => type)).toContain('m.room.name');
    const path = `${v3}/rooms/${enc(room)}/messages?dir=b&limit=1&from=${context.start}`;
    const before = ok(await scene.server.client.get(path, scene.alice.token));
    expect(before.chunk[0].event_id).toBe(events[0]);
  });

  test('is empty for no category, and an error for a wrong one', async () => {
    const wrong = (body: object): Promise<TestResponse> =>
      scene.server.client.post(`${v3}/search`, body, scene.alice.token);
    expect(ok(await wrong({ search_categories: {} }))).toEqual({ search_categories: {} });
    expect((await wrong({})).status).toBe(400);
    expect((await wrong({ search_categories: { room_events: {} } })).status).toBe(400);
    expect((await scene.ask(scene.alice, { search_term: 'x', order_by: 'best' })).status).toBe(400);
  });
});
