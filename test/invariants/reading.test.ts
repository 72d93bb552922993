/** Invariants of log entries, projections, counts and redactions that no test beside the module shows whole. */
import { describe, expect, test } from '@jest/globals';
import type { ServerName } from '../../src/matrix/ids.ts';
import { UnreadCounts } from '../../src/push/counts.ts';
import { deleteOriginals, type Room, verifyRoomserver } from '../../src/roomserver/index.ts';
import { sql } from '../../src/storage/index.ts';
import { fork } from '../support/fork.ts';
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
const redact = (redacts: string, sender = alice) =>
  scene.server.rooms.send(scene.room, { type: 'm.room.redaction', sender, redacts: redacts as never, content: {} });
const receipt = (who: typeof alice, eventId: string, threadId: string | null = null) =>
  scene.server.write((tx) =>
    scene.server.users.receipts.set(tx, {
      room: scene.room,
      user: who,
      type: 'm.read',
      threadId,
      eventId: eventId as never,
    }),
  );

describe('INVARIANTS 5: log entries say where to look, never what is there', () => {
  test('what was redacted, or whose sender was ignored, since its entry was written is read as it is now', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    const id = await scene.server.say(scene.room, bob, 'secret');
    expect(bodies(joined(await both(alice, since)))).toEqual(['secret']);
    await redact(id);
    expect(JSON.stringify(await both(alice, since))).not.toContain('secret');
    await scene.server.say(scene.room, bob, 'noise');
    await scene.server.write((tx) =>
      scene.server.users.accountData.put(tx, alice, null, 'm.ignored_user_list', { ignored_users: { [bob]: {} } }),
    );
    expect(bodies(joined(await both(alice, since)))).toEqual(['m.room.redaction']);
    const log = scene.server.rooms.read((db) => db.all(sql<[], { body: string }>('SELECT body FROM bus_log')));
    expect(JSON.stringify(log)).not.toMatch(/secret|noise/);
  });

  test('of one key only the last value is told, at its last Position', async () => {
    const ids = [await scene.server.say(scene.room, alice, '1'), await scene.server.say(scene.room, alice, '2')];
    const { next_batch: since } = await scene.server.sync(alice);
    for (const id of ids) await receipt(bob, id);
    for (const value of [1, 2, 3]) {
      await scene.server.write((tx) => scene.server.users.accountData.put(tx, alice, null, 'org.example', { value }));
    }
    scene.server.users.typing.start(scene.room, bob, 30_000);
    scene.server.users.typing.stop(scene.room.nid, bob);
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
    scene.server.users.presence.set(bob, 'DEVICE', 'online', 'here');
    const { head } = scene.server.rooms.db;
    scene.server.users.presence.set(bob, 'DEVICE', 'online', 'here');
    scene.server.users.presence.active(bob, 'DEVICE');
    expect(scene.server.rooms.db.head).toBe(head);
    scene.server.users.presence.set(bob, 'DEVICE', 'online', 'there');
    expect(scene.server.rooms.db.head).toBeGreaterThan(head);
  });
});

describe('INVARIANTS 6: essential and side projections', () => {
  test('an essential projection that fails takes its unit with it', async () => {
    let fails = true;
    scene.server.rooms.bus.addProjection({
      name: 'test',
      apply: (_tx, entry) => {
        if (fails && entry.topic === 'room.event') throw new Error('the projection failed');
      },
    });
    const { next_batch: since } = await scene.server.sync(alice);
    await expect(scene.server.say(scene.room, alice, 'lost')).rejects.toThrow('the projection failed');
    expect((await both(alice, since)).rooms).toBeUndefined();
    fails = false;
    await scene.server.say(scene.room, alice, 'kept');
    expect(bodies(joined(await both(alice, since)))).toEqual(['kept']);
  });
});

describe('INVARIANTS 7: facts and derivations', () => {
  test('who is notified is decided once, with the event: later push rules change nothing about it', async () => {
    const { next_batch: since } = await scene.server.sync(bob);
    await scene.server.say(scene.room, alice, 'counted');
    await scene.server.write((tx) =>
      scene.server.push.rules.change(tx, bob, 'override', '.m.rule.master', { enabled: true }),
    );
    await scene.server.say(scene.room, alice, 'muted');
    const unread = { notification_count: 1, highlight_count: 0 };
    expect(joined(await both(bob, since))?.unread_notifications).toEqual(unread);
    await scene.server.write((tx) =>
      scene.server.push.rules.change(tx, bob, 'override', '.m.rule.master', { enabled: false }),
    );
    expect(joined(await both(bob, since))?.unread_notifications).toEqual(unread);
  });
});

describe('INVARIANTS 18: counts', () => {
  const counts = async (who: typeof alice) =>
    joined(
      await scene.server.sync(who, { filter: { room: { timeline: { unread_thread_notifications: true } } } }),
    ) as unknown as Record<string, Record<string, unknown>>;
  const main = async (who: typeof alice): Promise<unknown> =>
    (await counts(who))['unread_notifications']?.['notification_count'];

  test('a count is the rows above the receipts; a threaded receipt clears its thread only; receipts go forward', async () => {
    const root = await scene.server.say(scene.room, alice, 'root');
    const second = await scene.server.say(scene.room, alice, 'second');
    const reply = await scene.server.say(scene.room, alice, 'reply', {
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
    await scene.server.rooms.join(scene.room, carol);
    const base = await scene.server.say(scene.room, carol, 'base');
    await receipt(bob, base);
    const gone = await scene.server.say(scene.room, alice, 'gone');
    await scene.server.say(scene.room, alice, 'stays');
    expect(await main(alice)).toBe(0);
    expect(await main(bob)).toBe(2);
    await redact(gone);
    expect(await main(bob)).toBe(1);
    await scene.server.member(scene.room, alice, carol, 'ban');
    const banned = await main(bob);
    const content = { msgtype: 'm.text', body: 'too late' };
    const late = await fork(scene.server.rooms, scene.room, base, { type: 'm.room.message', sender: carol, content });
    expect(late.kind).toBe('soft-failed');
    expect(await main(bob)).toBe(banned);
    await receipt(bob, '$not-yet-there');
    expect(await main(bob)).toBe(banned);
  });

  test('what is kept between two counts equals a count from nothing', async () => {
    const root = await scene.server.say(scene.room, alice, 'root');
    for (let index = 0; index < 10; index += 1) {
      await scene.server.say(scene.room, alice, `${bob} ${index}`, { 'm.mentions': { user_ids: [bob] } });
      if (index === 4) await receipt(bob, root, 'main');
      const fresh = new UnreadCounts(scene.server.rooms.core, scene.server.users.receipts);
      scene.server.rooms.read((db) => {
        const { head } = scene.server.rooms.db;
        expect(scene.server.push.counts.of(db, head, scene.room.nid, bob)).toEqual(
          fresh.of(db, head, scene.room.nid, bob),
        );
      });
    }
  });
});

describe('INVARIANTS 20: redaction', () => {
  test('everything served goes through the mark: timelines, prev_content, bundles', async () => {
    const { next_batch: since } = await scene.server.sync(alice);
    const root = await scene.server.say(scene.room, alice, 'root');
    const reply = await scene.server.say(scene.room, bob, 'secret reply', {
      'm.relates_to': { rel_type: 'm.thread', event_id: root },
    });
    const topic = await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'secret topic' });
    await scene.server.state(scene.room, alice, 'm.room.topic', { topic: 'new topic' });
    expect(JSON.stringify(await both(alice, since))).toContain('secret reply');
    await redact(reply);
    await redact(topic);
    const text = JSON.stringify(await both(alice, since));
    expect(text).not.toContain('secret');
    expect(text).not.toContain('m.thread"');
    expect(scene.server.rooms.topics().filter((name) => name === 'event.redacted')).toHaveLength(2);
  });

  test('the original is deleted later, and the mark stays', async () => {
    const id = await scene.server.say(scene.room, bob, 'secret');
    await redact(id);
    const originals = (): unknown[] =>
      scene.server.rooms.read((db) => db.all(sql<[]>('SELECT nid FROM room_originals')));
    expect(originals()).toHaveLength(1);
    const { now } = scene.server.rooms.time;
    await deleteOriginals(scene.server.rooms.db, now - 7 * 86_400_000);
    expect(originals()).toHaveLength(1);
    await deleteOriginals(scene.server.rooms.db, now + 1);
    expect(originals()).toHaveLength(0);
    const event = scene.server.rooms.read((db) => scene.server.rooms.core.eventById(db, id));
    expect(event?.redactedBy).toBeGreaterThan(0);
    expect(event?.client).not.toContain('secret');
  });
});
