import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Room } from '../../src/roomserver/index.ts';
import { openTestSync, type SyncRoom, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => server[Symbol.asyncDispose]());

const say = async (room: Room, sender: string, body: string): Promise<string> =>
  (await server.rooms.send(room, { type: 'm.room.message', sender, content: { msgtype: 'm.text', body } })).eventId;
const setState = async (room: Room, sender: string, type: string, content: Record<string, unknown>, stateKey = '') =>
  (await server.rooms.send(room, { type, stateKey, sender, content })).eventId;
const bodies = (room: SyncRoom | undefined): unknown[] =>
  (room?.timeline.events ?? []).map(({ type, content }) => content['body'] ?? type);

describe('timelines', () => {
  test('an initial sync carries the newest events and the state before them', async () => {
    const room = await server.rooms.openRoom(alice);
    for (let index = 0; index < 12; index += 1) await say(room, alice, `${index}`);
    const { rooms, next_batch: next } = await server.sync(alice);
    const joined = rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['2', '3', '4', '5', '6', '7', '8', '9', '10', '11']);
    expect(joined?.timeline.limited).toBe(true);
    expect(joined?.state?.events.map(({ type }) => type).sort()).toEqual([
      'm.room.create',
      'm.room.join_rules',
      'm.room.member',
      'm.room.power_levels',
    ]);
    await say(room, alice, 'news');
    const later = await server.sync(alice, { since: next });
    expect(bodies(later.rooms?.join?.[room.roomId])).toEqual(['news']);
    expect(later.rooms?.join?.[room.roomId]?.state?.events).toEqual([]);
    expect((await server.sync(alice, { since: later.next_batch })).rooms).toBeUndefined();
  });
});
