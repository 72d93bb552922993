import { describe, expect, test } from '@jest/globals';
import { firstPause, loopback, pusherBody, pushersOf, readUpTo, setPusher, startPushServer } from '../support/push.ts';
import { startPushGateway } from '../support/push-gateway.ts';
import {
  login,
  openRoom,
  password,
  register,
  say,
  startUserServer,
  temporaryFolder,
  v3,
  type TestSession,
} from '../support/userapi.ts';

const enc = encodeURIComponent;

describe('pushers', () => {
  test('are listed as they were set, and changed by their app id and pushkey', async () => {
    await using server = await startPushServer();
    const { alice, bob } = server;
    const data = { url: 'https://push.example.org/_matrix/push/v1/notify', format: 'event_id_only', custom: { a: 1 } };
    expect((await setPusher(server, alice, { data, profile_tag: 'tag' })).json).toEqual({});
    const pusher = pusherBody('', { data, profile_tag: 'tag' });
    expect(await pushersOf(server, alice)).toEqual([pusher]);
    expect(await pushersOf(server, bob)).toEqual([]);
    await setPusher(server, alice, { data, lang: 'fr' });
    expect(await pushersOf(server, alice)).toEqual([pusherBody('', { data, lang: 'fr' })]);
    await setPusher(server, alice, { data, pushkey: 'other' });
    expect(await pushersOf(server, alice)).toHaveLength(2);
    const gone = { kind: null, app_id: 'org.example.app', pushkey: 'key' };
    expect((await server.client.post(`${v3}/pushers/set`, gone, alice.token)).json).toEqual({});
    expect((await server.client.post(`${v3}/pushers/set`, gone, alice.token)).status).toBe(200);
    expect(await pushersOf(server, alice)).toHaveLength(1);
  });

  test('move to another user of the same device unless they are appended', async () => {
    await using server = await startPushServer();
    const { alice, bob } = server;
    await setPusher(server, alice);
    await setPusher(server, bob, { append: true });
    expect(await pushersOf(server, alice)).toHaveLength(1);
    await setPusher(server, bob);
    expect(await pushersOf(server, alice)).toHaveLength(0);
    expect(await pushersOf(server, bob)).toHaveLength(1);
  });

  test.each<[string, object, string]>([
    ['another path', { data: { url: 'https://a.example/notify' } }, 'M_INVALID_PARAM'],
    ['a path with more behind it', { data: { url: 'https://a.example/_matrix/push/v1/notify/x' } }, 'M_INVALID_PARAM'],
    ['no URL', { data: {} }, 'M_MISSING_PARAM'],
    ['no data', { data: undefined }, 'M_MISSING_PARAM'],
    ['no language', { lang: undefined }, 'M_MISSING_PARAM'],
    ['another protocol', { data: { url: 'ftp://a.example/_matrix/push/v1/notify' } }, 'M_INVALID_PARAM'],
    ['a name in the URL', { data: { url: 'https://a@b.example/_matrix/push/v1/notify' } }, 'M_INVALID_PARAM'],
    ['an unknown kind', { kind: 'pigeon' }, 'M_INVALID_PARAM'],
    ['no kind', { kind: undefined }, 'M_MISSING_PARAM'],
    ['a long pushkey', { pushkey: 'ü'.repeat(257) }, 'M_INVALID_PARAM'],
    ['a long app id', { app_id: 'a'.repeat(65) }, 'M_INVALID_PARAM'],
    [
      'much data',
      { data: { url: 'https://a.example/_matrix/push/v1/notify', x: 'x'.repeat(20_000) } },
      'M_INVALID_PARAM',
    ],
    ['mail without a mail server', { kind: 'email', app_id: 'm.email', pushkey: 'a@b.example' }, 'M_INVALID_PARAM'],
  ])('with %s are refused', async (_, more, errcode) => {
    await using server = await startPushServer();
    const { status, json } = await setPusher(server, server.alice, more);
    expect([status, json.errcode]).toEqual([400, errcode]);
  });

  test('without TLS are refused unless private networks are allowed', async () => {
    await using server = await startPushServer({ push: { ...loopback, allowNetworks: [] } });
    expect((await setPusher(server, server.alice)).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('go with their device, and with those that a new password ends', async () => {
    await using server = await startPushServer();
    const { client, alice } = server;
    const phone = await login(client, 'alice', 'PHONE');
    const tablet = await login(client, 'alice', 'TABLET');
    await setPusher(server, alice, { pushkey: 'here' });
    await setPusher(server, phone, { pushkey: 'phone' });
    await setPusher(server, tablet, { pushkey: 'tablet' });
    await client.post(`${v3}/logout`, {}, tablet.token);
    expect((await pushersOf(server, alice)).map(({ pushkey }) => pushkey)).toEqual(['here', 'phone']);
    const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password };
    await client.post(`${v3}/account/password`, { new_password: 'another horse', auth }, alice.token);
    expect((await pushersOf(server, alice)).map(({ pushkey }) => pushkey)).toEqual(['here']);
  });
});

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
      people = [await register(server.client, 'alice'), await register(server.client, 'bob')];
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

describe('the list of notifications', () => {
  test('comes newest first in pages, with what was read and what was loud', async () => {
    await using server = await startPushServer();
    const { client, alice, bob, roomId } = server;
    const other = await openRoom(client, alice, bob);
    const events = [
      await say(client, roomId, bob),
      await say(client, other, bob, { 'm.mentions': { user_ids: [alice.userId] } }),
      await say(client, roomId, bob),
      await say(client, other, bob),
    ];
    await say(client, roomId, alice, { body: 'own' }).then(() => undefined);
    const list = async (query: string) => (await client.get(`${v3}/notifications${query}`, alice.token)).json;
    const idsOf = (body: { notifications: { event: { event_id: string } }[] }) =>
      body.notifications.map(({ event }) => event.event_id);
    const all = await list('');
    expect(idsOf(all)).toEqual([...events].reverse());
    expect(all.next_token).toBeUndefined();
    expect(all.notifications[0]).toMatchObject({ room_id: other, read: false, actions: ['notify'] });
    expect(all.notifications[0].event.room_id).toBeUndefined();
    expect(all.notifications[0].ts).toBe(all.notifications[0].event.origin_server_ts);
    expect(all.notifications[1]).toMatchObject({ room_id: roomId, read: true });
    const first = await list('?limit=3');
    expect(idsOf(first)).toEqual([...events].reverse().slice(0, 3));
    const second = await list(`?limit=3&from=${first.next_token}`);
    expect(idsOf(second)).toEqual([events[0]]);
    expect(second.next_token).toBeUndefined();
    const loud = await list('?only=highlight');
    expect(idsOf(loud)).toEqual([events[1]]);
    expect(loud.notifications[0].actions).toContainEqual({ set_tweak: 'highlight', value: true });
    expect((await client.get(`${v3}/notifications?from=x`, alice.token)).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('holds invites and what was said while the user was there, not what is gone', async () => {
    await using server = await startPushServer();
    const { client, alice, bob } = server;
    const made = await client.post(`${v3}/createRoom`, { name: 'Tea', invite: [alice.userId] }, bob.token);
    const roomId: string = made.json.room_id;
    await say(client, roomId, bob, { body: 'before' });
    await client.post(`${v3}/join/${enc(roomId)}`, {}, alice.token);
    const kept = await say(client, roomId, bob, { body: 'during' });
    const redacted = await say(client, roomId, bob, { body: 'gone' });
    await client.put(`${v3}/rooms/${enc(roomId)}/redact/${enc(redacted)}/r`, {}, bob.token);
    await client.post(`${v3}/rooms/${enc(roomId)}/leave`, {}, alice.token);
    await say(client, roomId, bob, { body: 'after' });
    const { json } = await client.get(`${v3}/notifications`, alice.token);
    const events = json.notifications.map(({ event }: { event: { event_id: string; type: string } }) => event);
    expect(events.map(({ type }: { type: string }) => type)).toEqual(['m.room.message', 'm.room.member']);
    expect(events[0].event_id).toBe(kept);
  });
});
