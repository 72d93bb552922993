/** A process that dies at any commit of a join without members, or of the resync after it, goes on where it was (DESIGN §7). */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as pathOf } from 'node:path';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { me, mod, PartialWorld } from '../support/partial-world.ts';
import { openTestRooms } from '../support/room-core.ts';

let world: PartialWorld;
let folder: string;
let copies: string[];
beforeEach(async () => {
  world = await PartialWorld.open();
  folder = mkdtempSync(pathOf(tmpdir(), 'neurite-kills-'));
  copies = [];
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Keeps the files of the database as they are after each commit. */
function copyEachCommit(): void {
  const { db, path } = world.joiner;
  const write = db.write.bind(db);
  const copying: typeof db.write = async (...work) => {
    const result = await write(...work);
    const copy = pathOf(folder, `${copies.length}.db`);
    for (const part of ['', '-wal']) if (existsSync(`${path}${part}`)) copyFileSync(`${path}${part}`, `${copy}${part}`);
    copies.push(copy);
    return result;
  };
  Object.assign(db, { write: copying });
}

/** What servers send again until it is taken. */
async function deliverAgain(events: readonly RoomEvent[]): Promise<void> {
  for (const event of events) {
    const known = world.joiner.read((snapshot) => world.joiner.core.eventById(snapshot, event.eventId));
    if (known?.outlier !== false) await world.deliver([event]);
  }
}

test('whichever commit was the last one, the room becomes whole and nothing is wrong', async () => {
  copyEachCommit();
  const join = await world.join();
  const events: RoomEvent[] = [];
  const say = async (proto: Parameters<PartialWorld['receive']>[0]): Promise<void> =>
    void events.push(await world.receive(proto));
  await say({ type: 'm.room.message', sender: '@user3:s0.example', content: { body: 'hi' } });
  await say({ type: 'm.room.topic', stateKey: '', sender: mod, content: { topic: 'mine' } });
  await world.joiner.send(world.local, { type: 'm.room.message', sender: me, content: { body: 'hello' } });
  await say({
    ...{ type: 'm.room.member', stateKey: '@user4:s1.example', sender: '@user4:s1.example' },
    content: { membership: 'leave' },
  });
  await world.finish();
  expect(world.states().joiner).toEqual(world.states().resident);
  expect(copies.length).toBeGreaterThan(10);
  for (const copy of copies.slice()) {
    await world.partial[Symbol.asyncDispose]();
    await world.joiner[Symbol.asyncDispose]();
    world.joiner = openTestRooms('two.example', copy);
    world.partial = world.resync(world.joiner);
    world.partial.start();
    if (!world.joined()) await world.bring(join);
    await deliverAgain(events);
    await world.finish();
    expect({ copy, partial: world.isPartial(), faults: await world.faults() }).toEqual({
      ...{ copy, partial: false, faults: [] },
    });
    expect(world.states().joiner).toEqual(world.states().resident);
  }
}, 60_000);

test('a leave that takes the resync with it is whole or not there, whichever commit was the last one', async () => {
  const join = await world.join();
  copyEachCommit();
  world.partial.begin(world.local.nid);
  await world.joiner.send(world.local, {
    ...{ type: 'm.room.member', stateKey: me, sender: me, content: { membership: 'leave' } },
  });
  for (const copy of copies.slice()) {
    await world.partial[Symbol.asyncDispose]();
    await world.joiner[Symbol.asyncDispose]();
    world.joiner = openTestRooms('two.example', copy);
    world.partial = world.resync(world.joiner);
    world.partial.start();
    // Partial exactly as long as somebody is in it and it is not whole.
    if (!world.joined()) expect(world.isPartial()).toBe(false);
    else await world.finish();
    expect(await world.faults()).toEqual([]);
    expect(world.joiner.read((snapshot) => world.joiner.core.eventById(snapshot, join.eventId))).toBeDefined();
  }
}, 60_000);
