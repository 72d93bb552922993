import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { roomPath, startRoomServer, type RoomServer } from '../support/rooms.ts';

let server: RoomServer;
beforeAll(async () => {
  server = await startRoomServer();
});
afterAll(async () => server[Symbol.asyncDispose]());

describe('POST /createRoom', () => {
  const versions = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12'];

  test.each(versions)('makes a room of version %s that works', async (version) => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom({ room_version: version, preset: 'public_chat', name: 'A room' });
    expect(roomId).toMatch(version === '12' ? /^![A-Za-z0-9_-]{43}$/ : /^![A-Za-z0-9_-]+:localhost$/);
    const create = await alice.state(roomId, 'm.room.create');
    expect(create.json.room_version).toBe(version);
    expect(create.json.creator).toBe(Number(version) < 11 ? alice.userId : undefined);
    await bob.change(roomId, 'join');
    const eventId = await bob.sent(roomId, { body: 'hello' });
    expect((await alice.event(roomId, eventId)).json.content).toEqual({ body: 'hello' });
    await alice.sent(roomId, { body: 'hello, too' });
  });

  test('refuses a version that is not served', async () => {
    const { status, json } = await server.alice.post('/createRoom', { room_version: '13' });
    expect([status, json.errcode]).toEqual([400, 'M_UNSUPPORTED_ROOM_VERSION']);
  });

  test('sends the events in the order of the specification', async () => {
    const { alice, bob, rooms, db } = server;
    const roomId = await alice.createRoom({
      room_alias_name: 'ordered',
      name: 'Name',
      topic: 'Topic',
      invite: [bob.userId],
      initial_state: [
        { type: 'org.example.first', content: { a: 1 } },
        { type: 'org.example.second', state_key: 'key', content: { b: 2 } },
        { type: 'm.room.name', content: { name: 'overridden' } },
      ],
    });
    const types = db.read((snapshot) => {
      const room = rooms.room(snapshot, roomId);
      if (room === undefined) throw new Error('no room');
      const state = rooms.currentState(snapshot, room.nid);
      return state.sort((a, b) => a.event - b.event).map(({ type, stateKey }) => `${type}|${stateKey}`);
    });
    expect(types).toEqual([
      'm.room.create|',
      'm.room.member|@alice:localhost',
      'm.room.power_levels|',
      'm.room.canonical_alias|',
      'm.room.join_rules|',
      'm.room.history_visibility|',
      'm.room.guest_access|',
      'org.example.first|',
      'org.example.second|key',
      'm.room.name|',
      'm.room.topic|',
      'm.room.member|@bob:localhost',
    ]);
    expect((await alice.state(roomId, 'm.room.name')).json).toEqual({ name: 'Name' });
    expect((await alice.state(roomId, 'm.room.topic')).json).toEqual({
      topic: 'Topic',
      'm.topic': { 'm.text': [{ body: 'Topic' }] },
    });
  });

  test.each([
    ['private_chat', 'invite', 'can_join'],
    ['trusted_private_chat', 'invite', 'can_join'],
    // Absent, and so forbidden.
    ['public_chat', 'public', undefined],
  ])('sets up the state of the preset %s', async (preset, joinRule, guestAccess) => {
    const { alice } = server;
    const roomId = await alice.createRoom({ preset });
    expect((await alice.state(roomId, 'm.room.join_rules')).json.join_rule).toBe(joinRule);
    expect((await alice.state(roomId, 'm.room.guest_access')).json.guest_access).toBe(guestAccess);
    expect((await alice.state(roomId, 'm.room.history_visibility')).json.history_visibility).toBe('shared');
  });

  test('takes the preset from the visibility when none is named, and publishes the room', async () => {
    const { alice } = server;
    const roomId = await alice.createRoom({ visibility: 'public' });
    expect((await alice.state(roomId, 'm.room.join_rules')).json.join_rule).toBe('public');
    expect((await alice.get(`/directory/list/room/${roomId}`)).json).toEqual({ visibility: 'public' });
  });

  test('lets initial_state win over the preset', async () => {
    const { alice } = server;
    const roomId = await alice.createRoom({
      preset: 'private_chat',
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'public' } }],
    });
    expect((await alice.state(roomId, 'm.room.join_rules')).json.join_rule).toBe('public');
  });

  test('gives the invitees of a trusted chat the power of the creator in versions 1 to 11', async () => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom({
      preset: 'trusted_private_chat',
      room_version: '11',
      invite: [bob.userId],
    });
    const { json } = await alice.state(roomId, 'm.room.power_levels');
    expect(json.users).toEqual({ [alice.userId]: 100, [bob.userId]: 100 });
  });

  test('makes the invitees of a trusted chat creators in version 12, without naming any twice', async () => {
    const { alice, bob, carol } = server;
    const roomId = await alice.createRoom({
      preset: 'trusted_private_chat',
      invite: [bob.userId],
      creation_content: { additional_creators: [carol.userId, bob.userId] },
    });
    const create = await alice.state(roomId, 'm.room.create');
    expect(create.json.additional_creators).toEqual([carol.userId, bob.userId]);
    expect((await alice.state(roomId, 'm.room.power_levels')).json.users).toEqual({});
  });

  test('puts the tombstone level above state_default in version 12', async () => {
    const { alice } = server;
    const { json } = await alice.state(await alice.createRoom(), 'm.room.power_levels');
    expect(json.events['m.room.tombstone']).toBe(150);
  });

  test('puts power_level_content_override on top of the default levels', async () => {
    const { alice } = server;
    const roomId = await alice.createRoom({ power_level_content_override: { events_default: 25, ban: 60 } });
    const { json } = await alice.state(roomId, 'm.room.power_levels');
    expect([json.events_default, json.ban, json.kick]).toEqual([25, 60, 50]);
  });

  test('overwrites creator and room_version in creation_content and keeps the rest', async () => {
    const { alice } = server;
    const roomId = await alice.createRoom({
      room_version: '10',
      creation_content: { creator: '@mallory:localhost', room_version: '3', type: 'm.space', 'm.federate': false },
    });
    expect((await alice.state(roomId, 'm.room.create')).json).toEqual({
      creator: alice.userId,
      room_version: '10',
      type: 'm.space',
      'm.federate': false,
    });
  });

  test('marks invites of a direct chat', async () => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom({ invite: [bob.userId, bob.userId, alice.userId], is_direct: true });
    const { json } = await alice.state(roomId, 'm.room.member', bob.userId);
    expect(json).toMatchObject({ membership: 'invite', is_direct: true });
  });

  test('leaves nothing behind when it fails', async () => {
    const { alice, bob, accounts } = server;
    accounts.blocking.add(bob.userId);
    const before = (await alice.get('/joined_rooms')).json.joined_rooms.length;
    const blocked = await alice.post('/createRoom', { room_alias_name: 'gone', invite: [bob.userId] });
    accounts.blocking.delete(bob.userId);
    expect([blocked.status, blocked.json.errcode]).toEqual([403, 'M_INVITE_BLOCKED']);
    expect((await alice.get('/joined_rooms')).json.joined_rooms).toHaveLength(before);
    expect((await alice.get(`/directory/room/${encodeURIComponent('#gone:localhost')}`)).status).toBe(404);
  });

  test.each([
    ['a taken alias', { room_alias_name: 'taken' }, 400, 'M_ROOM_IN_USE'],
    ['an alias with a server name', { room_alias_name: '#a:localhost' }, 400, 'M_INVALID_PARAM'],
    ['an invitee who is no user', { invite: ['bob'] }, 400, 'M_INVALID_PARAM'],
    ['a wrong type', { name: 7 }, 400, 'M_BAD_JSON'],
    ['state without content', { initial_state: [{ type: 'a' }] }, 400, 'M_BAD_JSON'],
    ['a second create event', { initial_state: [{ type: 'm.room.create', content: {} }] }, 400, 'M_INVALID_ROOM_STATE'],
    [
      'levels that lock the creator out',
      { room_version: '11', power_level_content_override: { users: {} }, name: 'x' },
      400,
      'M_INVALID_ROOM_STATE',
    ],
    [
      'levels that list a creator of version 12',
      { power_level_content_override: { users: { '@alice:localhost': 100 } } },
      400,
      'M_INVALID_ROOM_STATE',
    ],
    [
      'third-party invites without an identity server',
      { invite_3pid: [{ medium: 'email', address: 'a@b.c' }] },
      400,
      'M_BAD_JSON',
    ],
    ['an unknown preset', { preset: 'chat' }, 400, 'M_BAD_JSON'],
  ])('refuses %s', async (_what, body, status, errcode) => {
    const { alice } = server;
    await alice.post('/createRoom', { room_alias_name: 'taken' });
    const reply = await alice.post('/createRoom', body);
    expect([reply.status, reply.json.errcode]).toEqual([status, errcode]);
  });

  test('refuses guests and suspended users', async () => {
    expect((await server.guest.post('/createRoom')).json.errcode).toBe('M_GUEST_ACCESS_FORBIDDEN');
    expect((await server.suspended.post('/createRoom')).json.errcode).toBe('M_USER_SUSPENDED');
  });
});

describe('room aliases', () => {
  const path = (alias: string): string => `/directory/room/${encodeURIComponent(alias)}`;

  test('are made, resolved, listed and removed', async () => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom();
    expect((await alice.put(path('#one:localhost'), { room_id: roomId })).status).toBe(200);
    expect((await bob.get(path('#one:localhost'))).json).toEqual({ room_id: roomId, servers: ['localhost'] });
    const again = await alice.put(path('#one:localhost'), { room_id: roomId });
    expect([again.status, again.json.errcode]).toEqual([409, 'M_UNKNOWN']);
    expect((await alice.get(`${roomPath(roomId)}/aliases`)).json).toEqual({ aliases: ['#one:localhost'] });
    expect((await bob.get(`${roomPath(roomId)}/aliases`)).json.errcode).toBe('M_FORBIDDEN');
    expect((await bob.delete(path('#one:localhost'))).json.errcode).toBe('M_FORBIDDEN');
    expect((await alice.delete(path('#one:localhost'))).status).toBe(200);
    expect((await alice.delete(path('#one:localhost'))).status).toBe(404);
    expect((await alice.get(path('#one:localhost'))).json.errcode).toBe('M_NOT_FOUND');
  });

  test.each(['one', '#one', '#one:elsewhere.example', '#a b:localhost'])('cannot be called %s', async (alias) => {
    const { alice } = server;
    const roomId = await alice.createRoom();
    const reply = await alice.put(path(alias), { room_id: roomId });
    expect([reply.status, reply.json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('belong to who is in the room', async () => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom();
    expect((await bob.put(path('#intruder:localhost'), { room_id: roomId })).json.errcode).toBe('M_FORBIDDEN');
  });

  test('leave the canonical alias event when they are removed', async () => {
    const { alice } = server;
    const roomId = await alice.createRoom({ room_alias_name: 'canonical' });
    await alice.put(path('#other:localhost'), { room_id: roomId });
    const content = { alias: '#canonical:localhost', alt_aliases: ['#other:localhost'] };
    expect((await alice.setState(roomId, 'm.room.canonical_alias', content)).status).toBe(200);
    await alice.delete(path('#canonical:localhost'));
    expect((await alice.state(roomId, 'm.room.canonical_alias')).json).toEqual({ alt_aliases: ['#other:localhost'] });
  });

  test('can be removed by who may send the canonical alias, and by administrators', async () => {
    const { alice, bob, admin } = server;
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(roomId, 'join');
    await bob.put(path('#bobs:localhost'), { room_id: roomId });
    await bob.put(path('#bobs2:localhost'), { room_id: roomId });
    expect((await alice.delete(path('#bobs:localhost'))).status).toBe(200);
    expect((await admin.delete(path('#bobs2:localhost'))).status).toBe(200);
  });
});

describe('the published directory flag', () => {
  test('is changed by who may send the canonical alias, and shown to all', async () => {
    const { alice, bob } = server;
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(roomId, 'join');
    const list = `/directory/list/room/${roomId}`;
    expect((await bob.get(list)).json).toEqual({ visibility: 'private' });
    expect((await bob.put(list, {})).json.errcode).toBe('M_FORBIDDEN');
    expect((await alice.put(list, {})).status).toBe(200);
    expect((await bob.get(list)).json).toEqual({ visibility: 'public' });
    await alice.put(list, { visibility: 'private' });
    expect((await bob.get(list)).json).toEqual({ visibility: 'private' });
    expect((await bob.get('/directory/list/room/!none:localhost')).status).toBe(404);
  });
});
