/** What a sync costs: look-ups counted, not time measured. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { emptyFilter } from '../../src/matrix/filters.ts';
import type { Room, RoomReader } from '../../src/roomserver/index.ts';
import { createSyncApi, parseSyncToken } from '../../src/syncapi/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { user } from '../support/room-core.ts';
import { bodyOf, neverAborted, openTestSync, type SyncBody, type TestSync } from '../support/sync.ts';

const alice = user('@alice:one.example');
const bob = user('@bob:one.example');
let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => server[Symbol.asyncDispose]());

/** A sync by a server that was started just now, so that the token is older than its tail; with its look-ups of rooms. */
async function oldTokenSync(since: string): Promise<{ body: SyncBody; lookUps: number }> {
  const { db, bus, core } = server.rooms;
  let lookUps = 0;
  const counted = Object.fromEntries(
    Object.entries(core as RoomReader).map(([name, method]) => [
      name,
      typeof method === 'function'
        ? (...args: unknown[]): unknown => {
            lookUps += 1;
            return (method as (...given: unknown[]) => unknown)(...args);
          }
        : method,
    ]),
  ) as unknown as RoomReader;
  const api = createSyncApi({
    ...{ db, bus, rooms: counted, clock: server.clock, userData: server.users.syncData, push: server.push },
    log: createLogger({ level: 'silent', format: 'json' }),
    config: { linearMaxEntries: 1024, timelineLimit: { default: 10, max: 1000 } },
  });
  const token = parseSyncToken(since);
  lookUps = 0;
  const { body } = await api.engine.sync({
    ...{ user: bob, deviceId: 'DEVICE', since: token, received: token, filter: emptyFilter, fullState: false },
    ...{ timeout: 0, stateAfter: undefined, presence: 'offline', shown: db.shown(), signal: neverAborted },
  });
  return { body: bodyOf(body.chunks), lookUps };
}

async function roomsOfBob(count: number): Promise<Room[]> {
  const rooms: Room[] = [];
  for (let index = 0; index < count; index += 1) {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    rooms.push(room);
  }
  return rooms;
}

describe('the cost of a sync', () => {
  test('an old token costs O(changes): neither the rooms of the user nor those of others count', async () => {
    const few = await roomsOfBob(3);
    const [one] = few;
    if (one === undefined) throw new Error('no room');
    const { next_batch: since } = await server.sync(bob);
    await server.say(one, alice, 'news');
    const before = await oldTokenSync(since);
    expect(Object.keys(before.body.rooms?.join ?? {})).toEqual([one.roomId]);

    await roomsOfBob(60);
    const { next_batch: later } = await server.sync(bob);
    await server.say(one, alice, 'news');
    const after = await oldTokenSync(later);
    expect(Object.keys(after.body.rooms?.join ?? {})).toEqual([one.roomId]);
    expect(after.lookUps).toBeLessThanOrEqual(before.lookUps + 2);
  });

  test('with nothing new it costs next to nothing', async () => {
    await roomsOfBob(30);
    const { next_batch: since } = await server.sync(bob);
    const { body, lookUps } = await oldTokenSync(since);
    expect(body.rooms).toBeUndefined();
    expect(lookUps).toBeLessThan(10);
  });
});
