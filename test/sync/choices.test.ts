/** What an operator may choose about /sync. */
import { afterEach, expect, test } from '@jest/globals';
import type { Config } from '../../src/config/index.ts';
import { parseCut } from '../../src/syncapi/index.ts';
import { fork } from '../support/fork.ts';
import { bodies, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync | undefined;
afterEach(async () => server?.[Symbol.asyncDispose]());

function open(choices: Partial<Config['sync']>): TestSync {
  server = openTestSync({ choices });
  return server;
}

/** Ids of the events of a room up to a token, newest first. */
const upTo = ({ rooms }: TestSync, room: Parameters<TestSync['say']>[0], token: string | undefined): string[] =>
  rooms.read((snapshot) =>
    rooms.core
      .timelineBackward(snapshot, room.nid, parseCut(token ?? ''), parseCut('0') as never, 100)
      .map(({ eventId }) => eventId),
  );

test('an initial timeline in the order of the graph ends with its end, and tells late state besides', async () => {
  const sync = open({ initialTimeline: 'graph' });
  const room = await sync.rooms.openRoom(alice);
  const base = await sync.say(room, alice, 'E1');
  const third = await sync.say(room, alice, 'E3');
  const fourth = await sync.say(room, alice, 'E4');
  const content = { name: 'late' };
  await fork(sync.rooms, room, base, { type: 'm.room.name', stateKey: '', sender: alice, content });
  const { nid } = room;
  const late = sync.rooms.read((db) => sync.rooms.core.currentEvent(db, nid, 'm.room.name', '')?.eventId);
  await sync.rooms.send(room, { type: 'kept.back', sender: alice, content: {} });
  const filter = { room: { timeline: { not_types: ['kept.back'], limit: 1 } } };
  const joined = (await sync.sync(alice, { filter })).rooms?.join?.[room.roomId];
  expect(joined?.timeline.events.map(({ event_id: id }) => id)).toEqual([fourth]);
  expect(joined?.timeline.limited).toBe(true);
  expect(joined?.state?.events.map(({ event_id: id }) => id)).toContain(late);
  // What is not in the timeline is met by paging back.
  expect(upTo(sync, room, joined?.timeline.prev_batch)).toEqual(expect.arrayContaining([late, third, base]));
});

test('whose prev_batch leaves out what it holds, where nothing came late', async () => {
  const sync = open({ initialTimeline: 'graph' });
  const room = await sync.rooms.openRoom(alice);
  for (let index = 0; index < 12; index += 1) await sync.say(room, alice, `${index}`);
  const joined = (await sync.sync(alice)).rooms?.join?.[room.roomId];
  expect(bodies(joined)).toEqual(['2', '3', '4', '5', '6', '7', '8', '9', '10', '11']);
  const before = upTo(sync, room, joined?.timeline.prev_batch);
  expect(before).toHaveLength(6);
  for (const { event_id: id } of joined?.timeline.events ?? []) expect(before).not.toContain(id);
});

test.each(['arrival', 'graph'] as const)('prev_batch of a whole room, in order of %s', async (initialTimeline) => {
  const sync = open({ initialTimeline });
  const room = await sync.rooms.openRoom(alice);
  const events = (await sync.sync(alice)).rooms?.join?.[room.roomId]?.timeline;
  expect(events?.limited).toBe(false);
  const before = upTo(sync, room, events?.prev_batch);
  expect(before).toHaveLength(initialTimeline === 'arrival' ? 0 : (events?.events.length ?? 0));
});

test.each([true, false])('the leave of a room that was forgotten at once is told once: %s', async (forgottenLeaves) => {
  const sync = open({ forgottenLeaves });
  const room = await sync.rooms.openRoom(alice);
  await sync.rooms.join(room, bob);
  const { next_batch: since } = await sync.sync(bob);
  await sync.member(room, bob, bob, 'leave');
  await sync.write((tx) => sync.rooms.core.forget(tx, room, bob as never));
  await sync.say(room, alice, 'gone on');
  const filter = { room: { include_leave: true } };
  const { rooms, next_batch: next } = await sync.sync(bob, { since, filter });
  const left = rooms?.leave?.[room.roomId];
  expect(bodies(left)).toEqual(forgottenLeaves ? ['m.room.member'] : []);
  for (const way of ['linear', 'polylog'] as const) {
    const { rooms: same } = await sync.composeBy(way, bob, { since, filter });
    expect(bodies(same?.leave?.[room.roomId])).toEqual(bodies(left));
  }
  expect((await sync.sync(bob, { since: next, filter })).rooms).toBeUndefined();
  expect((await sync.sync(bob, { filter })).rooms).toBeUndefined();
});
