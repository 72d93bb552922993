import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { collectState, verifyRoomserver } from '../../src/roomserver/index.ts';
import { emptySnapshot } from '../../src/roomserver/state/snapshots.ts';
import { openTestRooms } from '../support/room-core.ts';

const alice = '@alice:one.example';
const minute = 60_000;
const none = { snapshots: 0, blocks: 0 };

describe('INVARIANTS 14: collecting unreferenced state', () => {
  test('what nothing names goes at the second pass after ten minutes, its blocks two passes later', async () => {
    await using rooms = openTestRooms();
    const { db, core } = rooms;
    const { states } = core.stores;
    const room = await rooms.openRoom(alice);
    const lost = Array.from({ length: 80 }, (_, index) => ({ type: 40, key: index + 1, event: 1 }));
    const orphan = await db.write((tx) => states.overlay(tx, emptySnapshot, lost));
    expect(await collectState(db, core.stores, 0)).toEqual(none);
    expect(await collectState(db, core.stores, 9 * minute)).toEqual(none);
    expect(await collectState(db, core.stores, 10 * minute)).toEqual({ snapshots: 1, blocks: 0 });
    expect(() => rooms.read((snapshot) => states.entries(snapshot, orphan))).toThrow('is missing');
    await collectState(db, core.stores, 20 * minute);
    expect(await collectState(db, core.stores, 30 * minute)).toEqual({ snapshots: 0, blocks: 1 });
    expect(await collectState(db, core.stores, 60 * minute)).toEqual(none);
    await rooms.join(room, '@bob:one.example');
    expect([...verifyRoomserver(db, 'one.example' as ServerName)]).toEqual([]);
  });

  test('what is named again between two passes, or while one runs, stays', async () => {
    await using rooms = openTestRooms();
    const { db, core } = rooms;
    const { states } = core.stores;
    const entries = [{ type: 40, key: 1, event: 1 }];
    const orphan = await db.write((tx) => states.overlay(tx, emptySnapshot, entries));
    await collectState(db, core.stores, 0);
    const pass = collectState(db, core.stores, 20 * minute);
    const again = await db.write((tx) => states.overlay(tx, emptySnapshot, entries));
    expect(again).toBe(orphan);
    expect(await pass).toEqual(none);
    // Its time counts anew.
    expect(await collectState(db, core.stores, 21 * minute)).toEqual(none);
    expect(await collectState(db, core.stores, 31 * minute)).toEqual({ snapshots: 1, blocks: 0 });
  });
});
