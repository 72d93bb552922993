import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import { type MessagesPage, type TestReads, openTestReads } from '../support/room-reads.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const carol = '@carol:one.example';

let reads: TestReads;
let room: Room;
beforeEach(async () => {
  reads = openTestReads();
  room = await reads.openRoom(alice);
});
afterEach(async () => {
  await reads[Symbol.asyncDispose]();
});

const idsOf = (page: MessagesPage): string[] => page.chunk.map(({ event_id: id }) => id);
const bodiesOf = (page: MessagesPage): unknown[] => page.chunk.map(({ content }) => content.body);

const sayAll = async (count: number, sender = alice): Promise<StoredEvent[]> => {
  const sent: StoredEvent[] = [];
  for (let index = 0; index < count; index++) sent.push(await reads.say(room, sender, `${index}`));
  return sent;
};

describe('paging through a room', () => {
  test('pages go back ten by ten until the room begins, and an empty page ends it', async () => {
    const sent = await sayAll(20);
    const first = await reads.messages(room, alice);
    expect(idsOf(first)).toEqual(
      sent
        .slice(10)
        .map(({ eventId }) => eventId)
        .reverse(),
    );
    const second = await reads.messages(room, alice, { from: first.end });
    expect(bodiesOf(second)).toEqual(['9', '8', '7', '6', '5', '4', '3', '2', '1', '0']);
    expect(second.start).toBe(first.end);
    const third = await reads.messages(room, alice, { from: second.end });
    expect(third.chunk.map(({ type }) => type)).toEqual([
      'm.room.join_rules',
      'm.room.power_levels',
      'm.room.member',
      'm.room.create',
    ]);
    expect(await reads.messages(room, alice, { from: third.end })).toEqual({ chunk: [], start: third.end });
  });

  test('without a token, forwards starts at the first event and stops at the last, where more may come', async () => {
    await sayAll(3);
    const page = await reads.messages(room, alice, { direction: 'f', limit: 5 });
    expect(page.chunk[0]?.type).toBe('m.room.create');
    const rest = await reads.messages(room, alice, { direction: 'f', from: page.end });
    expect(bodiesOf(rest)).toEqual(['1', '2']);
    await reads.say(room, alice, 'new');
    const more = await reads.messages(room, alice, { direction: 'f', from: rest.end });
    expect(bodiesOf(more)).toEqual(['new']);
    const nothing = await reads.messages(room, alice, { direction: 'f', from: more.end });
    expect(nothing.chunk).toEqual([]);
    expect(nothing).not.toHaveProperty('end');
  });

  test('a sync token means everything up to it, in both directions', async () => {
    await sayAll(3);
    const token = String(reads.db.head);
    await reads.say(room, alice, 'after');
    expect(bodiesOf(await reads.messages(room, alice, { from: token, limit: 2 }))).toEqual(['2', '1']);
    expect(bodiesOf(await reads.messages(room, alice, { from: token, direction: 'f' }))).toEqual(['after']);
    expect(bodiesOf(await reads.messages(room, alice, { to: token }))).toEqual(['after']);
  });

  test('a limit of a thousand is honoured, a higher one cut to it', async () => {
    await sayAll(1005);
    expect((await reads.messages(room, alice, { limit: 1000 })).chunk).toHaveLength(1000);
    expect((await reads.messages(room, alice, { limit: 5000 })).chunk).toHaveLength(1000);
    expect((await reads.messages(room, alice, { limit: 0 })).chunk).toEqual([]);
  });

  test.each(['x', '-1', '1.5', '5_2', '5_0', '5_0_1', '5_1_1_1', '99999999999999999', 's1_2'])(
    'the malformed token %s is M_INVALID_PARAM',
    async (from) => {
      const error = { status: 400, errcode: 'M_INVALID_PARAM' };
      await expect(reads.messages(room, alice, { from })).rejects.toMatchObject(error);
      await expect(reads.messages(room, alice, { to: from })).rejects.toMatchObject(error);
    },
  );
});

describe('filters', () => {
  test('types, senders and contains_url leave events out without ending the paging', async () => {
    await reads.join(room, bob);
    for (let index = 0; index < 30; index++) await reads.say(room, index % 10 === 0 ? bob : alice, `${index}`);
    const first = await reads.messages(room, alice, {
      limit: 2,
      filterJson: { senders: [bob], types: ['m.room.m*ge'] },
    });
    expect(bodiesOf(first)).toEqual(['20', '10']);
    const second = await reads.messages(room, alice, {
      from: first.end,
      filterJson: { senders: [bob], not_types: ['m.room.member'] },
    });
    expect(bodiesOf(second)).toEqual(['0']);
    expect(await reads.messages(room, alice, { from: second.end, filterJson: { senders: [bob] } })).toMatchObject({
      chunk: [{ type: 'm.room.member' }],
    });
    await reads.say(room, alice, 'picture', { url: 'mxc://a/b' });
    expect(bodiesOf(await reads.messages(room, alice, { filterJson: { contains_url: true } }))).toEqual(['picture']);
    expect((await reads.messages(room, alice, { filterJson: { not_rooms: [room.roomId] } })).chunk).toEqual([]);
  });

  test('related_by filters ask for events that others relate to', async () => {
    await reads.join(room, bob);
    const [first, second] = await sayAll(3);
    if (first === undefined || second === undefined) throw new Error('nothing sent');
    await reads.relate(room, bob, 'm.thread', first);
    await reads.relate(room, alice, 'm.reference', second);
    const threads = { related_by_rel_types: ['m.thread'] };
    expect(idsOf(await reads.messages(room, alice, { filterJson: threads }))).toEqual([first.eventId]);
    const byAlice = { related_by_senders: [alice] };
    expect(idsOf(await reads.messages(room, alice, { filterJson: byAlice }))).toEqual([second.eventId]);
    const both = { related_by_senders: [alice], related_by_rel_types: ['m.thread'] };
    expect(idsOf(await reads.messages(room, alice, { filterJson: both }))).toEqual([]);
  });

  test('lazy loading adds the member event of each sender, as of his events', async () => {
    await reads.join(room, bob);
    await reads.join(room, carol);
    await reads.say(room, bob, 'hello');
    await reads.member(room, bob, bob, 'leave');
    await reads.say(room, alice, 'he is gone');
    const types = ['m.room.message'];
    const page = await reads.messages(room, alice, { filterJson: { types, lazy_load_members: true } });
    expect(page.state?.map(({ state_key: key, content }) => [key, content.membership])).toEqual([
      [alice, 'join'],
      [bob, 'join'],
    ]);
    expect(await reads.messages(room, alice)).not.toHaveProperty('state');
  });
});

describe('who may read', () => {
  test('strangers, invited users and unknown rooms are M_FORBIDDEN', async () => {
    const error = { status: 403, errcode: 'M_FORBIDDEN' };
    await expect(reads.messages(room, bob)).rejects.toMatchObject(error);
    await reads.member(room, alice, bob, 'invite');
    await expect(reads.messages(room, bob)).rejects.toMatchObject(error);
    await expect(
      reads.messages({ ...room, roomId: '!nowhere:one.example' as Room['roomId'] }, alice),
    ).rejects.toMatchObject(error);
  });

  test('who has left reads up to the leave, in both directions, also when invited again', async () => {
    await reads.join(room, bob);
    await reads.say(room, alice, 'before');
    await reads.member(room, bob, bob, 'leave');
    const left = String(reads.db.head);
    await reads.say(room, alice, 'after');
    const expected = [undefined, 'before', undefined];
    expect(bodiesOf(await reads.messages(room, bob, { limit: 3 }))).toEqual(expected);
    expect(bodiesOf(await reads.messages(room, bob, { from: String(reads.db.head), limit: 3 }))).toEqual(expected);
    expect(await reads.messages(room, bob, { direction: 'f', from: left })).toEqual({ chunk: [], start: left });
    const all = await reads.messages(room, bob, { direction: 'f', limit: 100 });
    expect(all.chunk.at(-1)?.content.membership).toBe('leave');
    expect(await reads.messages(room, bob, { direction: 'f', from: all.end })).toEqual({ chunk: [], start: all.end });
    await reads.member(room, alice, bob, 'invite');
    expect(bodiesOf(await reads.messages(room, bob, { limit: 3 }))).toEqual(expected);
  });

  test('a forgotten room is closed until the next membership', async () => {
    await reads.join(room, bob);
    await reads.member(room, bob, bob, 'leave');
    await reads.db.write((tx) => reads.core.forget(tx, room, reads.asker(bob).userId));
    await expect(reads.messages(room, bob)).rejects.toMatchObject({ status: 403 });
    await reads.join(room, bob);
    expect((await reads.messages(room, bob, { limit: 1 })).chunk).toHaveLength(1);
  });

  test('with `joined` visibility nothing from before the join is shown, and paging ends there', async () => {
    await reads.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    await sayAll(40);
    await reads.join(room, bob);
    await reads.say(room, alice, 'welcome');
    const page = await reads.messages(room, bob, { limit: 2 });
    expect(page.chunk.map(({ type }) => type)).toEqual(['m.room.message', 'm.room.member']);
    const rest = await reads.messages(room, bob, { from: page.end ?? page.start });
    // What came before the visibility was set was shared.
    expect(rest.chunk.map(({ type }) => type)).not.toContain('m.room.message');
    expect(await reads.messages(room, bob, { from: rest.end })).toEqual({ chunk: [], start: rest.end });
  });

  test('a world-readable room is open to strangers, who see what was sent since', async () => {
    await reads.say(room, alice, 'inside');
    await reads.state(room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    await reads.say(room, alice, 'outside');
    const page = await reads.messages(room, bob);
    expect(bodiesOf(page)).toEqual(['outside', undefined]);
    expect(page.chunk[0]?.unsigned.membership).toBe('leave');
  });

  test('messages of ignored users are left out, their state events are not', async () => {
    await reads.join(room, bob);
    await reads.say(room, bob, 'noise');
    await reads.say(room, alice, 'signal');
    reads.ignored.set(alice, new Set([bob]));
    const page = await reads.messages(room, alice, { limit: 2 });
    expect(page.chunk.map(({ sender, type }) => [sender, type])).toEqual([
      [alice, 'm.room.message'],
      [bob, 'm.room.member'],
    ]);
  });
});
