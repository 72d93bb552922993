import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { me, mod, never, PartialWorld } from '../support/partial-world.ts';

let world: PartialWorld;
beforeEach(async () => {
  world = await PartialWorld.open();
});
afterEach(async () => world[Symbol.asyncDispose]());

describe('a room joined without its members', () => {
  test('is partial, knows its servers, and becomes whole with the state of the resident', async () => {
    await world.join();
    expect(world.isPartial()).toBe(true);
    expect(world.joiner.read((snapshot) => world.joiner.core.partialServers(snapshot, world.local.nid))).toHaveLength(
      4,
    );
    expect(await world.faults()).toEqual([]);
    await world.finish();
    expect(world.isPartial()).toBe(false);
    const { resident, joiner } = world.states();
    expect(joiner).toEqual(resident);
    expect(world.joiner.read((snapshot) => world.joiner.core.wholeSince(snapshot, world.local.nid))).toBeGreaterThan(0);
    expect(await world.faults()).toEqual([]);
  });

  test('takes events of members that it does not know, and what our user says', async () => {
    await world.join();
    const said = await world.receive({ type: 'm.room.message', sender: '@user3:s0.example', content: { body: 'hi' } });
    await world.joiner.send(world.local, { type: 'm.room.message', sender: me, content: { body: 'hello' } });
    const stored = world.joiner.read((snapshot) => world.joiner.core.eventById(snapshot, said.eventId));
    expect(stored).toMatchObject({ rejected: false, outlier: false });
    await world.finish();
    expect(await world.faults()).toEqual([]);
  });

  test('asks another server when the one that let us in does not answer, and keeps a next attempt', async () => {
    await world.join();
    world.answer = (server) => {
      if (server !== 's1.example') throw new Error('no answer');
    };
    await world.finish();
    expect(world.asked).toContain('res.example');
    expect(world.asked.at(-1)).toBe('s1.example');
  });

  test('withdraws what the full state forbids: state accepted wrongly', async () => {
    await world.join();
    // The moderator has lost his level; who sends with his old level cites what he had.
    const topic = { type: 'm.room.topic', stateKey: '', sender: mod, content: { topic: 'mine' } };
    const allowed = await world.receive(topic);
    expect(world.states().joiner).toContain(allowed.eventId);
    await world.finish();
    expect(world.states().joiner).toEqual(world.states().resident);
    expect(await world.faults()).toEqual([]);
  });

  test('is given up when its last local user leaves; a later join begins anew and takes nothing for whole', async () => {
    await world.join();
    await world.joiner.send(world.local, {
      type: 'm.room.member',
      stateKey: me,
      sender: me,
      content: { membership: 'leave' },
    });
    expect(world.isPartial()).toBe(false);
    await world.partial.awaitFull(world.local.nid, never);
    await world.resident.send(world.room, {
      type: 'm.room.member',
      stateKey: me,
      sender: me,
      content: { membership: 'leave' },
    });
    await world.join();
    expect(world.isPartial()).toBe(true);
    await world.finish();
    expect(world.states().joiner).toEqual(world.states().resident);
  });
});

describe('a resync that waits for its next attempt', () => {
  test('waits no longer than the longest pause when the clock is set back, and not at all when it is set forward', async () => {
    await world.join();
    const time = { now: 1_800_000_000_000 };
    const sleeps: number[] = [];
    await world.partial[Symbol.asyncDispose]();
    world.answer = () => {
      if (sleeps.length < 3) throw new Error('no answer');
    };
    const yearMs = 365 * 86_400_000;
    world.partial = world.resync(world.joiner, {
      now: () => time.now,
      sleep: async (ms) => {
        sleeps.push(ms);
        // Once a year back, once a year ahead, then as it was.
        time.now += sleeps.length === 1 ? -yearMs : sleeps.length === 2 ? 2 * yearMs : 0;
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    await world.finish();
    expect(world.isPartial()).toBe(false);
    expect(sleeps.length).toBeGreaterThanOrEqual(2);
    for (const ms of sleeps) expect(ms).toBeLessThanOrEqual(600_000);
  });
});
