/** Invariants of reading and of users that no test beside the module shows whole. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { UnreadCounts } from '../../src/push/counts.ts';
import { deleteOriginals, type Room, verifyRoomserver } from '../../src/roomserver/index.ts';
import { asPosition, sql } from '../../src/storage/index.ts';
import { fork } from '../support/fork.ts';
import { user } from '../support/room-core.ts';
import { bodies, openTestSync, type SyncBody, type TestSync } from '../support/sync.ts';

const alice = user('@alice:one.example');
const bob = user('@bob:one.example');
const carol = user('@carol:one.example');

let server: TestSync;
let room: Room;
beforeEach(async () => {
  server = openTestSync();
  room = await server.rooms.openRoom(alice);
  await server.rooms.join(room, bob);
});
afterEach(async () => {
  expect([...verifyRoomserver(server.rooms.db, 'one.example' as ServerName)]).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const both = async (who: string, since: string): Promise<SyncBody> => {
  const linear = await server.composeBy('linear', who, { since });
  expect(await server.composeBy('polylog', who, { since })).toEqual(linear);
  return linear;
};
const joined = (body: SyncBody, of: Room = room) => body.rooms?.join?.[of.roomId];
const redact = (redacts: string, sender = alice) =>
  server.rooms.send(room, { type: 'm.room.redaction', sender, redacts: redacts as never, content: {} });
const receipt = (who: typeof alice, eventId: string, threadId: string | null = null) =>
  server.write((tx) =>
    server.users.receipts.set(tx, { room, user: who, type: 'm.read', threadId, eventId: eventId as never }),
  );

describe('INVARIANTS 5: log entries say where to look, never what is there', () => {
  test('what was redacted, or whose sender was ignored, since its entry was written is read as it is now', async () => {
    const { next_batch: since } = await server.sync(alice);
    const id = await server.say(room, bob, 'secret');
    expect(bodies(joined(await both(alice, since)))).toEqual(['secret']);
    await redact(id);
    expect(JSON.stringify(await both(alice, since))).not.toContain('secret');
    await server.say(room, bob, 'noise');
    await server.write((tx) =>
      server.users.accountData.put(tx, alice, null, 'm.ignored_user_list', { ignored_users: { [bob]: {} } }),
    );
    expect(bodies(joined(await both(alice, since)))).toEqual(['m.room.redaction']);
    const log = server.rooms.read((db) => db.all(sql<[], { body: string }>('SELECT body FROM bus_log')));
    expect(JSON.stringify(log)).not.toMatch(/secret|noise/);
  });

  test('of one key only the last value is told, at its last Position', async () => {
    const ids = [await server.say(room, alice, '1'), await server.say(room, alice, '2')];
    const { next_batch: since } = await server.sync(alice);
    for (const id of ids) await receipt(bob, id);
    for (const value of [1, 2, 3]) {
      await server.write((tx) => server.users.accountData.put(tx, alice, null, 'org.example', { value }));
    }
    server.users.typing.start(room, bob, 30_000);
    server.users.typing.stop(room.nid, bob);
    const body = await both(alice, since);
    expect(body.account_data?.events).toEqual([{ type: 'org.example', content: { value: 3 } }]);
    expect(joined(body)?.ephemeral?.events).toEqual(
      expect.arrayContaining([
        { type: 'm.typing', content: { user_ids: [] } },
        { type: 'm.receipt', content: { [ids[1] ?? '']: { 'm.read': { [bob]: { ts: expect.any(Number) } } } } },
      ]),
    );
    // Told once, it is not told again.
    expect((await both(alice, body.next_batch)).account_data).toBeUndefined();
  });

  test('presence takes an entry only when state, status or currently_active change', async () => {
    server.users.presence.set(bob, 'DEVICE', 'online', 'here');
    const { head } = server.rooms.db;
    server.users.presence.set(bob, 'DEVICE', 'online', 'here');
    server.users.presence.active(bob, 'DEVICE');
    expect(server.rooms.db.head).toBe(head);
    server.users.presence.set(bob, 'DEVICE', 'online', 'there');
    expect(server.rooms.db.head).toBeGreaterThan(head);
  });
});

describe('INVARIANTS 6: essential and side projections', () => {
  test('an essential projection that fails takes its unit with it', async () => {
    let fails = true;
    server.rooms.bus.addProjection({
      name: 'test',
      apply: (_tx, entry) => {
        if (fails && entry.topic === 'room.event') throw new Error('the projection failed');
      },
    });
    const { next_batch: since } = await server.sync(alice);
    await expect(server.say(room, alice, 'lost')).rejects.toThrow('the projection failed');
    expect((await both(alice, since)).rooms).toBeUndefined();
    fails = false;
    await server.say(room, alice, 'kept');
    expect(bodies(joined(await both(alice, since)))).toEqual(['kept']);
  });
});

describe('INVARIANTS 7: facts and derivations', () => {
  test('who is notified is decided once, with the event: later push rules change nothing about it', async () => {
    const { next_batch: since } = await server.sync(bob);
    await server.say(room, alice, 'counted');
    await server.write((tx) => server.push.rules.change(tx, bob, 'override', '.m.rule.master', { enabled: true }));
    await server.say(room, alice, 'muted');
    const unread = { notification_count: 1, highlight_count: 0 };
    expect(joined(await both(bob, since))?.unread_notifications).toEqual(unread);
    await server.write((tx) => server.push.rules.change(tx, bob, 'override', '.m.rule.master', { enabled: false }));
    expect(joined(await both(bob, since))?.unread_notifications).toEqual(unread);
  });
});

describe('INVARIANTS 16: memberships', () => {
  test('the section is the membership at next_batch, and newly joined means not joined at since nor in between', async () => {
    const { next_batch: since } = await server.sync(carol);
    await server.member(room, alice, carol, 'invite');
    await server.rooms.join(room, carol);
    expect(Object.keys((await both(carol, since)).rooms ?? {})).toEqual(['join']);
    const { next_batch: then } = await server.sync(carol);
    await server.member(room, carol, carol, 'leave');
    await server.member(room, alice, carol, 'invite');
    expect(Object.keys((await both(carol, then)).rooms ?? {})).toEqual(['invite']);
  });

  test('out-of-band rows never touch room state and yield to the same event when it comes live', async () => {
    const { core } = server.rooms;
    await server.write((tx) => core.setOutOfBandMembership(tx, room, carol, 'invite', 0, '[]'));
    server.rooms.read((db) => {
      expect(core.membership(db, room.nid, carol)).toBeUndefined();
      expect(core.invitedCount(db, room.nid)).toBe(0);
    });
    await server.member(room, alice, carol, 'invite');
    server.rooms.read((db) => expect(core.localMemberships(db, carol)[0]).toMatchObject({ outOfBand: false }));
  });
});

describe('INVARIANTS 17: who may see', () => {
  const timeline = async (who: string): Promise<unknown[]> => {
    const filter = { room: { timeline: { types: ['m.room.message'], limit: 50 }, include_leave: true } };
    const { rooms } = await server.sync(who, { filter });
    return bodies(rooms?.join?.[room.roomId] ?? rooms?.leave?.[room.roomId]);
  };

  test('who is not joined sees nothing above his last leave, unless it is world-readable', async () => {
    await server.say(room, alice, 'together');
    await server.member(room, bob, bob, 'leave');
    const after = await server.say(room, alice, 'alone');
    expect(await timeline(bob)).toEqual(['together']);
    const seen = (): boolean =>
      server.rooms.read((db) => {
        const { core } = server.rooms;
        const event = core.eventById(db, after);
        return event !== undefined && core.mayView(db, bob, event);
      });
    expect(seen()).toBe(false);
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    const open = await server.say(room, alice, 'open');
    server.rooms.read((db) => {
      const { core } = server.rooms;
      expect(core.visibleTo(db, bob, [core.eventById(db, open) as never])).toHaveLength(1);
    });
    // `shared` also admits who joins at a later slot.
    await server.rooms.join(room, bob);
    expect(seen()).toBe(true);
  });

  test('events of an erased sender come redacted to who was not in the room then', async () => {
    await server.say(room, bob, 'my past');
    await server.member(room, bob, bob, 'join', { displayname: 'Bob' });
    await server.state(room, alice, 'm.room.topic', { topic: 'stays' });
    await server.write((tx) => server.rooms.core.eraseSender(tx, bob));
    await server.rooms.join(room, carol);
    const filter = { room: { timeline: { limit: 50 } } };
    const events = async (who: string, more = {}) =>
      joined(await server.sync(who, { filter: { ...filter, ...more } }))?.timeline.events ?? [];
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
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'world_readable' });
    const tokens = new Map<string, string>();
    for (const who of [alice, bob, carol]) tokens.set(who, (await server.sync(who)).next_batch);
    const id = await server.say(room, alice, 'to all');
    await server.rooms.join(room, carol);
    const answers = await Promise.all(
      [alice, bob, carol].map((who) => server.sync(who, { since: tokens.get(who) ?? '', timeout: 1000 })),
    );
    const membership = answers.map(
      (body) => joined(body)?.timeline.events.find(({ event_id: event }) => event === id)?.unsigned?.['membership'],
    );
    expect(membership).toEqual(['join', 'join', 'leave']);
  });
});

describe('INVARIANTS 18: counts', () => {
  const counts = async (who: typeof alice) =>
    joined(
      await server.sync(who, { filter: { room: { timeline: { unread_thread_notifications: true } } } }),
    ) as unknown as Record<string, Record<string, unknown>>;
  const main = async (who: typeof alice): Promise<unknown> =>
    (await counts(who))['unread_notifications']?.['notification_count'];

  test('a count is the rows above the receipts; a threaded receipt clears its thread only; receipts go forward', async () => {
    const root = await server.say(room, alice, 'root');
    const second = await server.say(room, alice, 'second');
    const reply = await server.say(room, alice, 'reply', {
      'm.relates_to': { rel_type: 'm.thread', event_id: root },
    });
    expect(await main(bob)).toBe(2);
    expect((await counts(bob))['unread_thread_notifications']).toHaveProperty([root]);
    await receipt(bob, reply, root);
    expect(await main(bob)).toBe(2);
    expect(await counts(bob)).not.toHaveProperty('unread_thread_notifications');
    await receipt(bob, second, 'main');
    expect(await main(bob)).toBe(0);
    await receipt(bob, root, 'main');
    expect(await main(bob)).toBe(0);
  });

  test('own, redacted and soft-failed events have no rows, and a receipt without a slot clears nothing', async () => {
    await server.rooms.join(room, carol);
    const base = await server.say(room, carol, 'base');
    await receipt(bob, base);
    const gone = await server.say(room, alice, 'gone');
    await server.say(room, alice, 'stays');
    expect(await main(alice)).toBe(0);
    expect(await main(bob)).toBe(2);
    await redact(gone);
    expect(await main(bob)).toBe(1);
    await server.member(room, alice, carol, 'ban');
    const banned = await main(bob);
    const content = { msgtype: 'm.text', body: 'too late' };
    const late = await fork(server.rooms, room, base, { type: 'm.room.message', sender: carol, content });
    expect(late.kind).toBe('soft-failed');
    expect(await main(bob)).toBe(banned);
    await receipt(bob, '$not-yet-there');
    expect(await main(bob)).toBe(banned);
  });

  test('what is kept between two counts equals a count from nothing', async () => {
    const root = await server.say(room, alice, 'root');
    for (let index = 0; index < 10; index += 1) {
      await server.say(room, alice, `${bob} ${index}`, { 'm.mentions': { user_ids: [bob] } });
      if (index === 4) await receipt(bob, root, 'main');
      const fresh = new UnreadCounts(server.rooms.core, server.users.receipts);
      server.rooms.read((db) => {
        const { head } = server.rooms.db;
        expect(server.push.counts.of(db, head, room.nid, bob)).toEqual(fresh.of(db, head, room.nid, bob));
      });
    }
  });
});

describe('INVARIANTS 20: redaction', () => {
  test('everything served goes through the mark: timelines, prev_content, bundles', async () => {
    const { next_batch: since } = await server.sync(alice);
    const root = await server.say(room, alice, 'root');
    const reply = await server.say(room, bob, 'secret reply', {
      'm.relates_to': { rel_type: 'm.thread', event_id: root },
    });
    const topic = await server.state(room, alice, 'm.room.topic', { topic: 'secret topic' });
    await server.state(room, alice, 'm.room.topic', { topic: 'new topic' });
    expect(JSON.stringify(await both(alice, since))).toContain('secret reply');
    await redact(reply);
    await redact(topic);
    const text = JSON.stringify(await both(alice, since));
    expect(text).not.toContain('secret');
    expect(text).not.toContain('m.thread"');
    expect(server.rooms.topics().filter((name) => name === 'event.redacted')).toHaveLength(2);
  });

  test('the original is deleted later, and the mark stays', async () => {
    const id = await server.say(room, bob, 'secret');
    await redact(id);
    const originals = (): unknown[] => server.rooms.read((db) => db.all(sql<[]>('SELECT nid FROM room_originals')));
    expect(originals()).toHaveLength(1);
    const { now } = server.rooms.time;
    await deleteOriginals(server.rooms.db, now - 7 * 86_400_000);
    expect(originals()).toHaveLength(1);
    await deleteOriginals(server.rooms.db, now + 1);
    expect(originals()).toHaveLength(0);
    const event = server.rooms.read((db) => server.rooms.core.eventById(db, id));
    expect(event?.redactedBy).toBeGreaterThan(0);
    expect(event?.client).not.toContain('secret');
  });
});

describe('INVARIANTS 19: device lists', () => {
  test('changed and left follow from S(since) and S(next), whatever happened in between', async () => {
    const { next_batch: since } = await server.sync(alice);
    // Bob goes and comes back: he may have changed his keys unseen. Carol comes and goes: nothing of her is kept.
    await server.member(room, bob, bob, 'leave');
    await server.rooms.join(room, bob);
    await server.rooms.join(room, carol);
    await server.member(room, carol, carol, 'leave');
    expect((await both(alice, since)).device_lists).toEqual({ changed: [bob] });
    expect(asPosition(Number(since))).toBeGreaterThan(0);
  });
});
