/** Invariants of memberships, visibility and devices that no test beside the module shows whole. */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { type Room, verifyRoomserver } from '../../src/roomserver/index.ts';
import { asPosition } from '../../src/storage/index.ts';
import { alice, bob, carol, useSharedRoom } from '../support/sync-scene.ts';
import { bodies, type SyncBody } from '../support/sync.ts';

const scene = useSharedRoom(({ server }) =>
  expect([...verifyRoomserver(server.rooms.db, 'one.example' as ServerName)]).toEqual([]),
);

const both = async (who: string, since: string): Promise<SyncBody> => {
  const linear = await scene.server.composeBy('linear', who, { since });
  expect(await scene.server.composeBy('polylog', who, { since })).toEqual(linear);
  return linear;
};
const joined = (body: SyncBody, of: Room = scene.room) => body.rooms?.join?.[of.roomId];

describe('INVARIANTS 16: memberships', () => {
  test('the section is the membership at next_batch, and newly joined means not joined at since nor in between', async () => {
    const { next_batch: since } = await scene.server.sync(carol);
    await scene.server.member(scene.room, alice, carol, 'invite');
    await scene.server.rooms.join(scene.room, carol);
    expect(Object.keys((await both(carol, since)).rooms ?? {})).toEqual(['join']);
    const { next_batch: then } = await scene.server.sync(carol);
    await scene.server.member(scene.room, carol, carol, 'leave');
    await scene.server.member(scene.room, alice, carol, 'invite');
    expect(Object.keys((await both(carol, then)).rooms ?? {})).toEqual(['invite']);
  });

  test('out-of-band rows never touch room state and yield to the same event when it comes live', async () => {
    const { core } = scene.server.rooms;
    await scene.server.write((tx) => core.setOutOfBandMembership(tx, scene.room, carol, 'invite', 0, '[]'));
    scene.server.rooms.read((db) => {
      expect(core.membership(db, scene.room.nid, carol)).toBeUndefined();
      expect(core.invitedCount(db, scene.room.nid)).toBe(0);
    });
    await scene.server.member(scene.room, alice, carol, 'invite');
    scene.server.rooms.read((db) => expect(core.localMemberships(db, carol)[0]).toMatchObject({ outOfBand: false }));
  });
});

describe('INVARIANTS 17: who may see', () => {
  const timeline = async (who: string): Promise<unknown[]> => {
    const filter = { room: { timeline: { types: ['m.room.message'], limit: 50 }, include_leave: true } };
    const { rooms } = await scene.server.sync(who, { filter });
    return bodies(rooms?.join?.[scene.room.roomId] ?? rooms?.leave?.[scene.room.roomId]);
  };

  test('who is not joined sees nothing above his last leave, unless it is world-readable', async () => {
    await scene.server.say(scene.room, alice, 'together');
    await scene.server.member(scene.room, bob, bob, 'leave');
    const after = await scene.server.say(scene.room, alice, 'alone');
    expect(await timeline(bob)).toEqual(['together']);
    const seen = (): boolean =>
      scene.server.rooms.read((db) => {
        const { core } = scene.server.rooms;
        const event = core.eventById(db, after);
        return event !== undefined && core.mayView(db, bob, event);
      });
    expect(seen()).toBe(false);
    await scene.server.state(scene.room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    const open = await scene.server.say(scene.room, alice, 'open');
    scene.server.rooms.read((db) => {
      const { core } = scene.server.rooms;
      expect(core.visibleTo(db, bob, [core.eventById(db, open) as never])).toHaveLength(1);
    });
    // `shared` also admits who joins at a later slot.
    await scene.server.rooms.join(scene.room, bob);
    expect(seen()).toBe(true);
  });

  test('events of an erased sender come redacted to who was not in the room then', async () => {
    await scene.server.say(scene.room, bob, 'my past');
    await scene.server.member(scene.room, bob, bob, 'join', { displayname: 'Bob' });
    await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'stays' });
    await scene.server.write((tx) => scene.server.rooms.core.eraseSender(tx, bob));
    await scene.server.rooms.join(scene.room, carol);
    const filter = { room: { timeline: { limit: 50 } } };
    const events = async (who: string, more = {}) =>
      joined(await scene.server.sync(who, { filter: { ...filter, ...more } }))?.timeline.events ?? [];
    const said = (list: Awaited<ReturnType<typeof events>>) =>
      list.filter(({ sender, type }) => sender === bob && type === 'm.room.message').map(({ content }) => content);
    expect(said(await events(alice))).toMatchObject([{ body: 'my past' }]);
    expect(said(await events(bob))).toMatchObject([{ body: 'my past' }]);
    expect(said(await events(carol))).toEqual([{}]);
    expect(said(await events(carol, { event_format: 'federation' }))).toEqual([{}]);
    const text = JSON.stringify(await events(carol));
    expect(text).not.toContain('"displayname":"Bob"');
    expect(text).toContain('stays');
  });

  test('a text that viewers share is never the one of another membership', async () => {
    await scene.server.state(scene.room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    const tokens = new Map<string, string>();
    for (const who of [alice, bob, carol]) tokens.set(who, (await scene.server.sync(who)).next_batch);
    const id = await scene.server.say(scene.room, alice, 'to all');
    await scene.server.rooms.join(scene.room, carol);
    const answers = await Promise.all(
      [alice, bob, carol].map((who) => scene.server.sync(who, { since: tokens.get(who) ?? '', timeout: 1000 })),
    );
    const membership = answers.map(
      (body) => joined(body)?.timeline.events.find(({ event_id: event }) => event === id)?.unsigned?.['membership'],
    );
    expect(membership).toEqual(['join', 'join', 'leave']);
  });
});

describe('INVARIANTS 19: device lists', () => {
  test('changed and left follow from S(since) and S(next), whatever happened in between', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    // Bob goes and comes back: he may have changed his keys unseen. Carol comes and goes: nothing of her is kept.
    await scene.server.member(scene.room, bob, bob, 'leave');
    await scene.server.rooms.join(scene.room, bob);
    await scene.server.rooms.join(scene.room, carol);
    await scene.server.member(scene.room, carol, carol, 'leave');
    expect((await both(alice, since)).device_lists).toEqual({ changed: [bob] });
    expect(asPosition(Number(since))).toBeGreaterThan(0);
  });
});
