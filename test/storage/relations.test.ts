import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import { sql } from '../../src/storage/index.ts';
import { repairThreadEvents, verifyThreadEvents } from '../../src/syncapi/index.ts';
import { type RelationsPage, type TestReads, openTestReads } from '../support/room-reads.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const notFound = { status: 404, errcode: 'M_NOT_FOUND' };

let reads: TestReads;
let room: Room;
let root: StoredEvent;
beforeEach(async () => {
  reads = openTestReads();
  room = await reads.openRoom(alice);
  await reads.join(room, bob);
  root = await reads.say(room, alice, 'root');
});
afterEach(async () => {
  await reads[Symbol.asyncDispose]();
});

const idsOf = ({ chunk }: RelationsPage): string[] => chunk.map(({ event_id: id }) => id);
const ids = (...events: readonly StoredEvent[]): string[] => events.map(({ eventId }) => eventId);
const redact = (target: StoredEvent): Promise<StoredEvent> =>
  reads.send(room, {
    type: 'm.room.redaction',
    sender: alice,
    content: { redacts: target.eventId },
    redacts: target.eventId,
  });

describe('children of an event', () => {
  test('are listed newest first, by relation type and by event type', async () => {
    const inThread = await reads.relate(room, bob, 'm.thread', root);
    const relatesTo = { 'm.relates_to': { rel_type: 'm.thread', event_id: root.eventId } };
    const dummy = await reads.send(room, { type: 'm.dummy', sender: bob, content: relatesTo });
    const edit = await reads.relate(room, alice, 'm.replace', root, { 'm.new_content': { body: 'new' } });
    await reads.say(room, alice, 'unrelated');
    expect(idsOf(await reads.relations(room, bob, root))).toEqual(ids(edit, dummy, inThread));
    const threaded = { relType: 'm.thread' };
    expect(idsOf(await reads.relations(room, bob, root, threaded))).toEqual(ids(dummy, inThread));
    const kind = { ...threaded, eventType: 'm.room.message' };
    expect(idsOf(await reads.relations(room, bob, root, kind))).toEqual(ids(inThread));
    expect(idsOf(await reads.relations(room, bob, inThread))).toEqual([]);
  });

  test('come in pages in both directions, with tokens of /sync too', async () => {
    const children: StoredEvent[] = [];
    for (let index = 0; index < 7; index++) children.push(await reads.relate(room, bob, 'm.thread', root));
    const token = String(reads.db.head);
    children.push(await reads.relate(room, bob, 'm.thread', root));
    for (const direction of ['b', 'f'] as const) {
      const expected = ids(...(direction === 'b' ? children.toReversed() : children));
      const first = await reads.relations(room, alice, root, { direction, limit: 3 });
      expect(first).not.toHaveProperty('prev_batch');
      const second = await reads.relations(room, alice, root, { direction, limit: 3, from: first.next_batch });
      expect(second.prev_batch).toBe(first.next_batch);
      const third = await reads.relations(room, alice, root, { direction, limit: 3, from: second.next_batch });
      expect([first, second, third].flatMap(idsOf)).toEqual(expected);
      expect(third).not.toHaveProperty('next_batch');
    }
    const newest = await reads.relations(room, alice, root, { direction: 'f', from: token });
    expect(idsOf(newest)).toEqual(ids(...children.slice(7)));
    expect(idsOf(await reads.relations(room, alice, root, { to: token }))).toEqual(ids(...children.slice(7)));
    await expect(reads.relations(room, alice, root, { from: 'nonsense' })).rejects.toMatchObject({
      errcode: 'M_INVALID_PARAM',
    });
  });

  test('with recurse, children of children down to the third level, each once', async () => {
    const one = await reads.relate(room, bob, 'm.thread', root);
    const two = await reads.relate(room, alice, 'm.annotation', one, { key: '+' });
    const three = await reads.relate(room, bob, 'm.annotation', two, { key: '+' });
    await reads.relate(room, bob, 'm.annotation', three, { key: '+' });
    const all = await reads.relations(room, alice, root, { recurse: true });
    expect(idsOf(all)).toEqual(ids(three, two, one));
    expect(all.recursion_depth).toBe(3);
    const annotations = await reads.relations(room, alice, root, { recurse: true, relType: 'm.annotation' });
    // What relates only through a child of another kind is not among them.
    expect(idsOf(annotations)).toEqual([]);
    expect(await reads.relations(room, alice, root)).not.toHaveProperty('recursion_depth');
  });

  test('leave out redacted ones and those of ignored users', async () => {
    const kept = await reads.relate(room, alice, 'm.thread', root);
    const redacted = await reads.relate(room, alice, 'm.thread', root);
    await redact(redacted);
    await reads.relate(room, bob, 'm.thread', root);
    reads.ignored.set(alice, new Set([bob]));
    expect(idsOf(await reads.relations(room, alice, root))).toEqual(ids(kept));
  });

  test('of an unknown or invisible event are M_NOT_FOUND', async () => {
    const other = await reads.openRoom(alice);
    await expect(reads.relations(other, alice, root)).rejects.toMatchObject(notFound);
    await reads.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    const hidden = await reads.say(room, alice, 'hidden');
    await reads.join(room, '@carol:one.example');
    await expect(reads.relations(room, '@carol:one.example', hidden)).rejects.toMatchObject(notFound);
  });
});

describe('threads of a room', () => {
  const latestOf = ({ chunk }: RelationsPage): unknown[] =>
    chunk.map(({ unsigned }) => {
      const latest = unsigned['m.relations']?.['m.thread']?.latest_event as { event_id?: string } | undefined;
      return latest?.event_id;
    });

  test('are ordered by their latest event, with it bundled', async () => {
    const second = await reads.say(room, bob, 'second root');
    const reply1 = await reads.relate(room, bob, 'm.thread', root);
    const reply2 = await reads.relate(room, alice, 'm.thread', second);
    const before = await reads.threads(room, alice);
    expect(idsOf(before)).toEqual(ids(second, root));
    expect(latestOf(before)).toEqual(ids(reply2, reply1));
    const reply3 = await reads.relate(room, alice, 'm.thread', root);
    const after = await reads.threads(room, alice);
    expect(idsOf(after)).toEqual(ids(root, second));
    expect(latestOf(after)).toEqual(ids(reply3, reply2));
    expect(after.chunk[0]?.unsigned['m.relations']?.['m.thread']).toMatchObject({
      count: 2,
      current_user_participated: true,
    });
    expect(after).not.toHaveProperty('next_batch');
  });

  test('come in pages, each thread once, also when one moves up between them', async () => {
    const roots = [root];
    for (let index = 0; index < 4; index++) roots.push(await reads.say(room, alice, `root ${index}`));
    for (let turn = 0; turn < 3; turn++) for (const each of roots) await reads.relate(room, bob, 'm.thread', each);
    const first = await reads.threads(room, alice, { limit: 2 });
    expect(idsOf(first)).toEqual(ids(...roots.slice(3).toReversed()));
    await reads.relate(room, alice, 'm.thread', root);
    const second = await reads.threads(room, alice, { limit: 2, from: first.next_batch });
    expect(idsOf(second)).toEqual(ids(...roots.slice(1, 3).toReversed()));
    // The first one has moved to the top, which is behind the token.
    expect(second).not.toHaveProperty('next_batch');
  });

  test('are narrowed to those in which the user took part', async () => {
    const bobs = await reads.say(room, bob, 'root of bob');
    await reads.relate(room, bob, 'm.thread', root);
    await reads.relate(room, bob, 'm.thread', bobs);
    expect(idsOf(await reads.threads(room, alice, { include: 'participated' }))).toEqual(ids(root));
    await reads.relate(room, alice, 'm.thread', bobs);
    expect(idsOf(await reads.threads(room, alice, { include: 'participated' }))).toEqual(ids(bobs, root));
  });

  test('do not count redacted events and ignored users; the root of an ignored user comes redacted', async () => {
    const bobs = await reads.say(room, bob, 'root of bob');
    await reads.relate(room, alice, 'm.thread', bobs);
    const gone = await reads.relate(room, alice, 'm.thread', root);
    await redact(gone);
    const third = await reads.say(room, alice, 'only bob answers');
    await reads.relate(room, bob, 'm.thread', third);
    expect(idsOf(await reads.threads(room, alice))).toEqual(ids(third, bobs));
    reads.ignored.set(alice, new Set([bob]));
    const page = await reads.threads(room, alice);
    expect(idsOf(page)).toEqual(ids(bobs));
    expect(page.chunk[0]?.content).toEqual({});
  });

  test('are closed to strangers and to banned users', async () => {
    await expect(reads.threads(room, '@carol:one.example')).rejects.toMatchObject({ status: 403 });
    await reads.member(room, alice, bob, 'ban');
    await expect(reads.threads(room, bob)).rejects.toMatchObject({ status: 403 });
    await expect(reads.messages(room, bob, { limit: 1 })).rejects.toMatchObject({ status: 403 });
  });

  test('a list rebuilt from the timelines equals the live one', async () => {
    const second = await reads.say(room, bob, 'second root');
    for (const each of [root, second, root]) await reads.relate(room, bob, 'm.thread', each);
    const live = await reads.threads(room, alice);
    expect([...verifyThreadEvents(reads.db, reads.core)]).toEqual([]);
    await redact(await reads.relate(room, bob, 'm.thread', root));
    expect([...verifyThreadEvents(reads.db, reads.core)]).toEqual([]);
    await reads.db.write((tx) => void tx.run(sql<[]>('DELETE FROM syncapi_thread_events')));
    expect([...verifyThreadEvents(reads.db, reads.core)]).toHaveLength(3);
    await repairThreadEvents(reads.db, reads.core, () => undefined);
    expect([...verifyThreadEvents(reads.db, reads.core)]).toEqual([]);
    expect(idsOf(await reads.threads(room, alice))).toEqual(idsOf(live));
  });
});

describe('the event closest to a time', () => {
  test('is the first at or after it, or the last at or before it', async () => {
    const before = reads.time.now;
    reads.time.now += 1000;
    const first = await reads.say(room, alice, 'first');
    reads.time.now += 1000;
    const second = await reads.say(room, alice, 'second');
    const after = reads.time.now + 1000;
    expect(await reads.eventAt(room, bob, before + 500, 'f')).toBe(first.eventId);
    expect(await reads.eventAt(room, bob, second.originServerTs - 1, 'b')).toBe(first.eventId);
    expect(await reads.eventAt(room, bob, second.originServerTs, 'b')).toBe(second.eventId);
    expect(await reads.eventAt(room, bob, after, 'b')).toBe(second.eventId);
    await expect(reads.eventAt(room, bob, after, 'f')).rejects.toMatchObject(notFound);
    await expect(reads.eventAt(room, bob, 0, 'b')).rejects.toMatchObject(notFound);
    await expect(reads.eventAt(room, '@carol:one.example', 0, 'f')).rejects.toMatchObject({ status: 403 });
  });

  test('of several with one time is the nearest in room order, and one that the user sees', async () => {
    const originServerTs = reads.time.now + 5000;
    const content = { body: 'x' };
    const message = { type: 'm.room.message', sender: alice, content, originServerTs };
    const one = await reads.send(room, message);
    const two = await reads.send(room, message);
    expect(await reads.eventAt(room, bob, originServerTs, 'f')).toBe(one.eventId);
    expect(await reads.eventAt(room, bob, originServerTs, 'b')).toBe(two.eventId);
    await reads.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    for (let index = 0; index < 60; index++)
      await reads.send(room, { ...message, originServerTs: originServerTs + 10 });
    await reads.join(room, '@carol:one.example');
    const seen = await reads.say(room, alice, 'seen');
    expect(await reads.eventAt(room, '@carol:one.example', originServerTs + 1, 'b')).toBe(
      await reads.eventAt(room, '@carol:one.example', originServerTs + 20, 'b'),
    );
    expect(await reads.eventAt(room, '@carol:one.example', seen.originServerTs, 'f')).toBe(seen.eventId);
  });
});
