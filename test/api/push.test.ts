/** What pushers send to their gateway, and where it goes when that fails or the server starts again. */
import { describe, expect, test } from '@jest/globals';
import { startPushGateway } from '../support/push-gateway.ts';
import { firstPause, loopback, pusherBody, pushersOf, readUpTo, setPusher, startPushServer } from '../support/push.ts';
import {
  registerAll,
  openRoom,
  register,
  say,
  startUserServer,
  temporaryFolder,
  v3,
  type TestSession,
} from '../support/userapi.ts';

const enc = encodeURIComponent;

describe('a notification', () => {
  test('tells the event, the counts and how to present it, and then that it was read', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId } = server;
    const { delivery } = server.modules.push;
    await client.put(`${v3}/profile/${enc(bob.userId)}/displayname`, { displayname: 'Bob' }, bob.token);
    await setPusher(server, alice, { data: { url: gateway.url, custom: { a: 1 } } });
    const eventId = await say(client, roomId, bob, { 'org.example': 'kept' });
    await delivery.settled();
    const second = await say(client, roomId, bob);
    await delivery.settled();
    expect(gateway.attempts[0]).toEqual({
      event_id: eventId,
      id: eventId,
      room_id: roomId,
      type: 'm.room.message',
      sender: bob.userId,
      sender_display_name: 'Bob',
      room_name: 'Bob',
      prio: 'high',
      content: { msgtype: 'm.text', body: 'hello', 'org.example': 'kept' },
      counts: { unread: 1 },
      devices: [
        {
          app_id: 'org.example.app',
          pushkey: 'key',
          pushkey_ts: 1_700_000_000,
          data: { custom: { a: 1 } },
          tweaks: { sound: 'default' },
        },
      ],
    });
    expect(gateway.attempts[1]).toMatchObject({ event_id: second, counts: { unread: 2 } });
    await readUpTo(server, alice, roomId, second);
    await gateway.attempted(3);
    const { counts, event_id: none } = gateway.attempts[2] ?? {};
    expect([counts, none]).toEqual([{ unread: 0 }, undefined]);
    // What is read is told once, and a message of one's own is none.
    await readUpTo(server, alice, roomId, second);
    await say(client, roomId, alice);
    await delivery.settled();
    expect(gateway.attempts).toHaveLength(3);
  });

  test('holds only ids and counts for who asks for that', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId } = server;
    await setPusher(server, alice, { data: { url: gateway.url, format: 'event_id_only' } });
    const eventId = await say(client, roomId, bob);
    await gateway.attempted(1);
    const { devices, ...rest } = gateway.attempts[0] ?? { devices: [] };
    expect(rest).toEqual({ event_id: eventId, room_id: roomId, prio: 'high', counts: { unread: 1 } });
    expect(devices[0]).toMatchObject({ data: { format: 'event_id_only' }, tweaks: { sound: 'default' } });
  });

  test('comes for invites, with the names that an invited user may see', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob } = server;
    await setPusher(server, alice);
    const made = await client.post(`${v3}/createRoom`, { name: 'Tea', invite: [alice.userId] }, bob.token);
    await gateway.attempted(1);
    expect(gateway.attempts[0]).toMatchObject({
      room_id: made.json.room_id,
      type: 'm.room.member',
      membership: 'invite',
      user_is_target: true,
      room_name: 'Tea',
      sender: bob.userId,
    });
  });

  test('follows the rules of each user: mutes, mentions, ignored senders', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId } = server;
    const carol = await register(client, 'carol');
    await client.post(`${v3}/join/${enc(roomId)}`, {}, carol.token);
    await setPusher(server, alice);
    await setPusher(server, carol, { pushkey: 'carol' });
    await client.put(`${v3}/pushrules/global/room/${enc(roomId)}`, { actions: [] }, alice.token);
    await say(client, roomId, bob, { body: 'muted for Alice' });
    await gateway.attempted(1);
    const loud = await say(client, roomId, bob, { 'm.mentions': { user_ids: [alice.userId] } });
    await gateway.attempted(3);
    const toAlice = gateway.attempts.filter(({ devices }) => devices[0]?.pushkey === 'key');
    expect(toAlice.map(({ event_id: id }) => id)).toEqual([loud]);
    expect(toAlice[0]?.devices[0]?.tweaks).toMatchObject({ highlight: true });
    const ignored = { ignored_users: { [bob.userId]: {} } };
    await client.put(`${v3}/user/${enc(carol.userId)}/account_data/m.ignored_user_list`, ignored, carol.token);
    await say(client, roomId, bob);
    const last = await say(client, roomId, alice);
    await server.modules.push.delivery.settled();
    const toCarol = gateway.attempts.filter(({ devices }) => devices[0]?.pushkey === 'carol');
    expect(toCarol).toHaveLength(3);
    expect(toCarol[2]).toMatchObject({ event_id: last, counts: { unread: 3 } });
  });

  test('reaches muted users whose name is in the text, where the server takes that for a mention', async () => {
    await using server = await startPushServer({ push: { ...loopback, textMentions: true } });
    const { client, gateway, alice, bob, roomId } = server;
    await setPusher(server, alice);
    const member = `${v3}/rooms/${enc(roomId)}/state/m.room.member/${enc(alice.userId)}`;
    await client.put(member, { membership: 'join', displayname: 'Tea Lady' }, alice.token);
    await client.put(`${v3}/pushrules/global/room/${enc(roomId)}`, { actions: [] }, alice.token);
    await say(client, roomId, bob, { body: 'alicent' });
    await say(client, roomId, bob, { body: 'alice', 'm.mentions': {} });
    const loud = [
      await say(client, roomId, bob, { body: `Hi ${alice.userId}` }),
      await say(client, roomId, bob, { body: 'the tea lady!' }),
    ];
    await gateway.attempted(2);
    await server.modules.push.delivery.settled();
    expect(gateway.attempts.map(({ event_id: id }) => id)).toEqual(loud);
    expect(gateway.attempts[0]?.devices[0]?.tweaks).toMatchObject({ highlight: true });
  });

  test('counts missed calls', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId } = server;
    await setPusher(server, alice);
    const path = `${v3}/rooms/${enc(roomId)}/send/m.call.invite/call`;
    await client.put(path, { call_id: '1', version: '1', lifetime: 60_000, offer: {} }, bob.token);
    await gateway.attempted(1);
    expect(gateway.attempts[0]).toMatchObject({ prio: 'high', counts: { unread: 1, missed_calls: 1 } });
  });

  test('is not sent any more when its event was read or redacted meanwhile', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId, clock } = server;
    await setPusher(server, alice);
    gateway.reply({ status: 503 });
    const first = await say(client, roomId, bob);
    await gateway.attempted(1);
    const redacted = await say(client, roomId, bob);
    await client.put(`${v3}/rooms/${enc(roomId)}/redact/${enc(redacted)}/r`, {}, bob.token);
    const third = await say(client, roomId, bob);
    await readUpTo(server, alice, roomId, first);
    await clock.sleeper(firstPause);
    clock.advance(firstPause);
    await server.modules.push.delivery.settled();
    expect(gateway.taken.map(({ event_id: id }) => id)).toEqual([third]);
    expect(gateway.taken[0]).toMatchObject({ counts: { unread: 1 } });
  });
});

describe('a gateway that fails', () => {
  test('is tried again after growing pauses, in order, with nothing lost', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId, clock } = server;
    await setPusher(server, alice);
    gateway.reply({ status: 500 }, { body: 'not JSON' }, { status: 429, headers: { 'Retry-After': '60' } });
    const events = [await say(client, roomId, bob)];
    await gateway.attempted(1);
    events.push(await say(client, roomId, bob), await say(client, roomId, bob));
    for (const pause of [firstPause, 2 * firstPause, 60_000]) {
      await clock.sleeper(pause);
      const before = gateway.attempts.length;
      clock.advance(pause - 1);
      await Promise.resolve();
      expect(gateway.attempts).toHaveLength(before);
      clock.advance(1);
      await gateway.attempted(before + 1);
    }
    await server.modules.push.delivery.settled();
    expect(gateway.attempts.slice(0, 4).map(({ event_id: id }) => id)).toEqual(Array(4).fill(events[0]));
    expect(gateway.taken.map(({ event_id: id }) => id)).toEqual(events);
  });

  test('is given up on for a notification after a day, and not for the next ones', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId, clock } = server;
    await setPusher(server, alice);
    gateway.reply({ status: 500 }, { status: 500 });
    await say(client, roomId, bob);
    await gateway.attempted(1);
    await clock.sleeper(firstPause);
    clock.advance(86_400_001);
    await gateway.attempted(2);
    const next = await say(client, roomId, bob);
    await clock.sleeper(2 * firstPause);
    clock.advance(2 * firstPause);
    await server.modules.push.delivery.settled();
    expect(gateway.taken.map(({ event_id: id }) => id)).toEqual([next]);
  });

  test('is asked at once again when the client sets the pusher anew', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId, clock } = server;
    await setPusher(server, alice);
    gateway.reply({ status: 404 });
    const eventId = await say(client, roomId, bob);
    await gateway.attempted(1);
    await clock.sleeper(firstPause);
    await setPusher(server, alice);
    await gateway.attempted(2);
    expect(gateway.taken.map(({ event_id: id }) => id)).toEqual([eventId]);
  });

  test('that rejects a pushkey loses that pusher, and only that', async () => {
    await using server = await startPushServer();
    const { client, gateway, alice, bob, roomId } = server;
    await setPusher(server, alice);
    gateway.reply({ body: '{"rejected":["key"]}' });
    await say(client, roomId, bob);
    await server.modules.push.delivery.settled();
    expect(await pushersOf(server, alice)).toEqual([]);
    await setPusher(server, alice, { pushkey: 'other' });
    gateway.reply({ body: '{"rejected":["key"]}' });
    await say(client, roomId, bob);
    await server.modules.push.delivery.settled();
    expect(await pushersOf(server, alice)).toHaveLength(1);
  });

  test('is never reached at a private address that the operator does not allow', async () => {
    await using server = await startPushServer({ push: { ...loopback, allowNetworks: ['10.0.0.0/8'] } });
    const { client, gateway, alice, bob, roomId, clock } = server;
    await setPusher(server, alice);
    await say(client, roomId, bob);
    await clock.sleeper(firstPause);
    expect(gateway.attempts).toEqual([]);
  });
});

describe('a server that starts again', () => {
  test('sends what waited, and still knows who ignores whom', async () => {
    await using gateway = await startPushGateway();
    await using folder = await temporaryFolder();
    const start = () => startUserServer({ push: loopback }, folder);
    let events: (string | undefined)[] = [];
    let roomId = '';
    let people: TestSession[] = [];
    {
      await using server = await start();
      people = await registerAll(server.client, 'alice', 'bob');
      people.push(await register(server.client, 'eve'));
      const [alice, bob, eve] = people as [TestSession, TestSession, TestSession];
      roomId = await openRoom(server.client, alice, bob, eve);
      await server.client.post(`${v3}/pushers/set`, pusherBody(gateway.url), alice.token);
      const ignored = { ignored_users: { [eve.userId]: {} } };
      const path = `${v3}/user/${enc(alice.userId)}/account_data/m.ignored_user_list`;
      await server.client.put(path, ignored, alice.token);
      gateway.reply({ status: 500 });
      events = [await say(server.client, roomId, bob), await say(server.client, roomId, bob)];
      await gateway.attempted(1);
    }
    await using server = await start();
    server.modules.push.delivery.start();
    const [, bob, eve] = people as [TestSession, TestSession, TestSession];
    await say(server.client, roomId, eve);
    events.push(await say(server.client, roomId, bob));
    await server.modules.push.delivery.settled();
    expect(gateway.taken.map(({ event_id: id }) => id)).toEqual(events);
  });
});
