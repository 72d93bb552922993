/** Pushers and the list of notifications. */
import { describe, expect, test } from '@jest/globals';
import { loopback, pusherBody, pushersOf, setPusher, startPushServer } from '../support/push.ts';
import { login, openRoom, password, say, v3 } from '../support/userapi.ts';

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
