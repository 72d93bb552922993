/** When a timeline is limited. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { bodies, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => server[Symbol.asyncDispose]());

describe('limited is true exactly when events that the user may see lie between since and the timeline', () => {
  const limit = { room: { timeline: { limit: 3, types: ['m.room.message'] } } };
  const limitedAfter = async (count: number): Promise<boolean | undefined> => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    for (let index = 0; index < count; index += 1) await server.say(room, alice, `${index}`);
    return (await server.sync(alice, { since, filter: limit })).rooms?.join?.[room.roomId]?.timeline.limited;
  };

  test.each([
    [2, false],
    [3, false],
    [4, true],
  ])('with %d events and a limit of 3: %s', async (count, limited) => {
    expect(await limitedAfter(count)).toBe(limited);
  });

  test('what lies there but is not for the user does not count', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    await server.member(room, bob, bob, 'leave');
    for (let index = 0; index < 5; index += 1) await server.say(room, alice, `hidden ${index}`);
    await server.rooms.join(room, bob);
    await server.say(room, alice, 'seen');
    const filter = { room: { timeline: { limit: 1, types: ['m.room.message'] } } };
    const joined = (await server.sync(bob, { filter })).rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['seen']);
    expect(joined?.timeline.limited).toBe(false);
  });

  test('in a newly joined room what the filter keeps back counts, in others it does not', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.say(room, alice, 'one');
    const { next_batch: since } = await server.sync(bob);
    await server.rooms.join(room, bob);
    const filter = { room: { timeline: { limit: 10, types: ['m.room.message'] } } };
    const first = await server.sync(bob, { since, filter });
    expect(bodies(first.rooms?.join?.[room.roomId])).toEqual(['one']);
    expect(first.rooms?.join?.[room.roomId]?.timeline.limited).toBe(true);
    await server.state(room, alice, 'm.room.topic', { topic: 'Topic' });
    await server.say(room, alice, 'two');
    const second = await server.sync(bob, { since: first.next_batch, filter });
    expect(second.rooms?.join?.[room.roomId]?.timeline.limited).toBe(false);
  });

  test('for a newly joined room it is counted from the start of the room', async () => {
    const room = await server.rooms.openRoom(alice);
    for (let index = 0; index < 3; index += 1) await server.say(room, alice, `${index}`);
    const { next_batch: since } = await server.sync(bob);
    await server.rooms.join(room, bob);
    const joined = (await server.sync(bob, { since, filter: { room: { timeline: { limit: 4 } } } })).rooms?.join?.[
      room.roomId
    ];
    expect(joined?.timeline.events).toHaveLength(4);
    expect(joined?.timeline.limited).toBe(true);
    const all = (await server.sync(bob, { since, filter: { room: { timeline: { limit: 100 } } } })).rooms?.join?.[
      room.roomId
    ];
    expect(all?.timeline.limited).toBe(false);
    expect(all?.timeline.events[0]?.type).toBe('m.room.create');
    // The state before the first event of a room is empty.
    expect(all?.state?.events).toEqual([]);
  });
});
