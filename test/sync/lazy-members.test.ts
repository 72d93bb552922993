import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Room } from '../../src/roomserver/index.ts';
import { LazyMembers } from '../../src/syncapi/lazy-members.ts';
import { keysOf, openTestSync, type SyncRoom, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const carol = '@carol:one.example';
let server: TestSync;
let room: Room;
beforeEach(async () => {
  server = openTestSync();
  room = await server.rooms.openRoom(alice);
  await server.state(room, alice, 'm.room.name', { name: 'Named, so that there are no heroes' });
  await server.rooms.join(room, bob);
  await server.rooms.join(room, carol);
  for (let index = 0; index < 12; index += 1) await server.say(room, alice, `${index}`);
});
afterEach(async () => server[Symbol.asyncDispose]());

const lazy = (more: JsonObject = {}): JsonObject => ({
  room: { state: { lazy_load_members: true, ...more }, timeline: { limit: 5 } },
});
const members = (joined: SyncRoom | undefined): string[] =>
  keysOf(joined?.state ?? joined?.state_after)
    .filter((key) => key.startsWith('m.room.member|'))
    .map((key) => key.slice('m.room.member|'.length));
const sync = async (since?: string, more: JsonObject = {}) => {
  const body = await server.sync(alice, { filter: lazy(more), ...(since === undefined ? {} : { since }) });
  return { next: body.next_batch, members: members(body.rooms?.join?.[room.roomId]) };
};

describe('lazy-loaded members', () => {
  test('an initial sync has those who speak in the timeline and the user himself', async () => {
    expect((await sync()).members).toEqual([alice]);
    const other = await server.sync(carol, { filter: lazy() });
    expect(members(other.rooms?.join?.[room.roomId])).toEqual([alice, carol]);
  });

  test('redundant members are not sent again, unless asked for with include_redundant_members', async () => {
    const first = await sync();
    await server.say(room, bob, 'one');
    const second = await sync(first.next);
    expect(second.members).toEqual([bob]);
    await server.say(room, bob, 'two');
    const third = await sync(second.next);
    expect(third.members).toEqual([]);
    expect((await sync(second.next, { include_redundant_members: true })).members).toEqual([bob]);
  });

  test('they are sent again after a lost reply', async () => {
    const first = await sync();
    await server.say(room, bob, 'one');
    expect((await sync(first.next)).members).toEqual([bob]);
    // The client never got that, and asks again with its old token.
    expect((await sync(first.next)).members).toEqual([bob]);
    await server.say(room, bob, 'two');
    expect((await sync(first.next)).members).toEqual([bob]);
  });

  test('a member whose profile changed is sent again when he speaks', async () => {
    const first = await sync();
    await server.say(room, bob, 'one');
    const second = await sync(first.next);
    await server.member(room, bob, bob, 'join', { displayname: 'Bobby' });
    const third = await sync(second.next);
    // The change itself stands in the timeline, and counts as sent.
    expect(third.members).toEqual([]);
    await server.say(room, bob, 'two');
    expect((await sync(third.next)).members).toEqual([]);
  });

  test('a gapped sync has the members that changed in the gap, whoever speaks', async () => {
    const first = await sync();
    await server.member(room, carol, carol, 'leave');
    for (let index = 0; index < 6; index += 1) await server.say(room, alice, `${index}`);
    expect((await sync(first.next)).members).toEqual([carol]);
  });

  test('heroes are among the members', async () => {
    const unnamed = await server.rooms.openRoom(alice);
    await server.rooms.join(unnamed, bob);
    for (let index = 0; index < 6; index += 1) await server.say(unnamed, alice, `${index}`);
    const body = await server.sync(alice, { filter: lazy() });
    expect(members(body.rooms?.join?.[unnamed.roomId])).toEqual([alice, bob]);
  });

  test('state_after is loaded lazily as well', async () => {
    const first = await sync();
    await server.say(room, bob, 'one');
    const body = await server.sync(alice, { filter: lazy(), since: first.next, stateAfter: 'state_after' });
    expect(members(body.rooms?.join?.[room.roomId])).toEqual([bob]);
  });
});

describe('the memory of sent members', () => {
  const sent = (index: number) => ({ room: 1 as never, user: `@u${index}:h`, event: index });

  test('is bounded, and drops whole devices, those least recently used first', () => {
    const memory = new LazyMembers(10);
    const members = (from: number) => Array.from({ length: 5 }, (_, index) => sent(from + index));
    memory.add('@a:h' as never, 'A', members(1), 1 as never);
    memory.add('@a:h' as never, 'B', members(1), 2 as never);
    memory.add('@a:h' as never, 'A', [sent(1)], 3 as never);
    memory.add('@a:h' as never, 'C', members(1), 4 as never);
    expect(memory.size).toBe(10);
    expect(memory.knows('@a:h' as never, 'B', sent(1))).toBe(false);
    expect(memory.knows('@a:h' as never, 'A', sent(1))).toBe(true);
  });

  test('counts only for a since at or after the token that carried them', () => {
    const memory = new LazyMembers();
    memory.add('@a:h' as never, 'A', [sent(1)], 10 as never);
    memory.add('@a:h' as never, 'A', [sent(2)], 20 as never);
    memory.rewind('@a:h' as never, 'A', 15 as never);
    expect(memory.knows('@a:h' as never, 'A', sent(1))).toBe(true);
    expect(memory.knows('@a:h' as never, 'A', sent(2))).toBe(false);
    expect(memory.size).toBe(1);
  });
});
