/** EDUs that are sent: typing, presence, receipts, messages to devices. */
import { describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import { sql } from '../../src/storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { useReceivers, recovered, tick } from '../support/sender-scene.ts';
import { alice, sharedRoom } from '../support/sender.ts';

const scene = useReceivers();

describe('typing', () => {
  test('begins and ends at the servers of the room, once each', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    server.users.typing.start(room, alice, 30_000);
    server.users.typing.start(room, alice, 30_000);
    // Who is typing elsewhere is told by his own server.
    server.users.typing.start(room, scene.bob, 30_000);
    await scene.one.until(() => scene.one.edus('m.typing').length === 1);
    server.users.typing.stop(room.nid, alice);
    await scene.one.until(() => scene.one.edus('m.typing').length === 2);
    const content = { room_id: room.roomId, user_id: alice };
    expect(scene.one.edus('m.typing')).toEqual([
      { ...content, typing: true },
      { ...content, typing: false },
    ]);
    expect(scene.two.sent).toEqual([]);
  });
});

describe('presence', () => {
  test('flows to the servers that share a room, and to one that comes to share one', async () => {
    const server = await scene.start();
    const made = sharedRoom([scene.bob]);
    await server.receive(made);
    server.users.presence.set(alice, 'A', 'online', 'at work');
    await scene.one.until(() => scene.one.edus('m.presence').length === 1);
    expect(scene.one.edus('m.presence')).toEqual([
      {
        push: [
          {
            user_id: alice,
            presence: 'online',
            status_msg: 'at work',
            currently_active: true,
            last_active_ago: expect.any(Number),
          },
        ],
      },
    ]);
    expect(scene.two.sent).toEqual([]);
    made.join(scene.carol);
    await server.receive(made);
    await scene.two.until(() => scene.two.edus('m.presence').length === 1);
    expect(scene.two.edus('m.presence')).toMatchObject([{ push: [{ user_id: alice, presence: 'online' }] }]);
  });

  test('of what changed while a server was away it gets the last', async () => {
    const server = await scene.start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([scene.bob]));
    scene.one.statuses = [500];
    await server.say(room, 'hello');
    await scene.one.until(() => scene.one.sent.length === 1);
    for (const status of ['a', 'b', 'c']) server.users.presence.set(alice, 'A', 'online', status);
    server.users.typing.start(room, alice, 30_000);
    await recovered(server, scene.one);
    await tick(server, () => scene.one.edus('m.presence').length > 0);
    expect(scene.one.edus('m.presence')).toMatchObject([{ push: [{ status_msg: 'c' }] }]);
  });
});

describe('receipts', () => {
  test('public ones reach the servers of the room, threads apart, private ones nobody', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    const read = await server.say(room, 'read');
    await scene.one.until(() => scene.one.bodies().length === 1);
    const set = (type: 'm.read' | 'm.read.private', threadId: string | null): Promise<void> =>
      server.db.write((tx) => {
        server.users.receipts.set(tx, { room, user: alice, type, threadId, eventId: read.eventId as EventId, ts: 5 });
      });
    await Promise.all([set('m.read.private', null), set('m.read', null), set('m.read', 'main')]);
    await scene.one.until(() => scene.one.edus('m.receipt').length === 2);
    const receipt = (data: object) => ({
      [room.roomId]: { 'm.read': { [alice]: { data, event_ids: [read.eventId] } } },
    });
    expect(scene.one.edus('m.receipt')).toEqual([receipt({ ts: 5 }), receipt({ ts: 5, thread_id: 'main' })]);
  });
});

describe('messages to devices', () => {
  const message = (messageId: string) => ({
    sender: alice,
    type: 'm.room_key',
    messageId,
    messages: { [scene.bob]: { '*': { key: messageId } } },
  });
  const ids = (): unknown[] => scene.one.edus('m.direct_to_device').map((content) => content.message_id);

  test('reach their server in order, with what names them', async () => {
    const server = await scene.start();
    for (const id of ['1', '2', '3']) {
      await server.db.write((tx) => server.sender.queueToDevice(tx, scene.one.name, message(id)));
    }
    await scene.one.until(() => ids().length === 3);
    expect(scene.one.edus('m.direct_to_device')[0]).toEqual({
      sender: alice,
      type: 'm.room_key',
      message_id: '1',
      messages: { [scene.bob]: { '*': { key: '1' } } },
    });
    expect(ids()).toEqual(['1', '2', '3']);
  });

  test('go at most 100 at a time, and none is lost by refusals and a crash', async () => {
    const server = await scene.start();
    scene.one.statuses = [500];
    const all = Array.from({ length: 250 }, (_, index) => String(index));
    await server.db.write((tx) => {
      for (const id of all) server.sender.queueToDevice(tx, scene.one.name, message(id));
    });
    await scene.one.until(() => scene.one.sent.length === 1);
    await server.sender[Symbol.asyncDispose]();
    await server.db.flushed();
    scene.one.statuses = [200];
    await scene.start({ killed: server.path });
    await scene.one.until(() => ids().length === 250);
    expect(ids()).toEqual(all);
    expect(scene.one.sent.map(({ edus }) => edus.length)).toEqual([100, 100, 100, 50]);
    expect(scene.one.sent[1]).toEqual({ ...scene.one.sent[0], taken: true });
  });

  test('wait for a server that is away in a bounded number, the newest, and not for ever', async () => {
    const clock = new FakeClock();
    const server = await scene.start({ clock });
    const waiting = (): unknown =>
      server.read((snapshot) =>
        snapshot.get(sql<[], object>('SELECT count(*) AS count, max(position) AS newest FROM sender_to_device')),
      );
    scene.one.statuses = [502];
    await server.db.write((tx) => {
      for (let count = 0; count < 10_200; count += 1)
        server.sender.queueToDevice(tx, scene.one.name, message(String(count)));
    });
    await scene.one.until(() => scene.one.sent.length === 1);
    while (server.fed.destinations.failing(scene.one.name) === undefined)
      await new Promise((done) => setImmediate(done));
    const before = waiting();
    expect(before).toMatchObject({ count: 10_100 });
    await server.sender.trim();
    expect(waiting()).toEqual({ ...(before as object), count: 10_000 });
    clock.advance(31 * 24 * 3_600_000);
    await server.sender.trim();
    expect(waiting()).toMatchObject({ count: 0 });
  });
});
