import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { roomPath, startRoomServer, type Actor, type RoomServer } from '../support/rooms.ts';

let server: RoomServer;
let alice: Actor;
let bob: Actor;
let carol: Actor;
beforeAll(async () => {
  server = await startRoomServer();
  ({ alice, bob, carol } = server);
});
afterAll(async () => server[Symbol.asyncDispose]());

interface Event {
  readonly type: string;
  readonly state_key?: string;
  readonly content: Record<string, unknown>;
}
const byKey = (events: Event[]) => new Map(events.map((event) => [`${event.type}|${event.state_key}`, event.content]));
const users = (events: Event[]) => events.map((event) => event.state_key).sort();

describe('GET /state', () => {
  test('gives joined users the current state', async () => {
    const roomId = await alice.createRoom({ name: 'now' });
    const { json } = await alice.get(`${roomPath(roomId)}/state`);
    expect(byKey(json).get('m.room.name|')).toEqual({ name: 'now' });
    expect(byKey(json).get('m.room.member|@alice:localhost')).toEqual({ membership: 'join' });
  });

  test('gives who has left the state at the leave', async () => {
    const roomId = await alice.createRoom({ name: 'before', preset: 'public_chat' });
    await bob.change(roomId, 'join');
    await bob.change(roomId, 'leave');
    await alice.setState(roomId, 'm.room.name', { name: 'after' });
    const { json } = await bob.get(`${roomPath(roomId)}/state`);
    expect(byKey(json).get('m.room.name|')).toEqual({ name: 'before' });
    expect(byKey(json).get('m.room.member|@bob:localhost')).toEqual({ membership: 'leave' });
    expect((await bob.state(roomId, 'm.room.name')).json).toEqual({ name: 'before' });
  });

  test('is refused to strangers, the invited and who turned an invite down', async () => {
    const roomId = await alice.createRoom();
    for (const path of ['state', 'state/m.room.name', 'members', 'joined_members']) {
      const { status, json } = await bob.get(`${roomPath(roomId)}/${path}`);
      expect([path, status, json.errcode]).toEqual([path, 403, 'M_FORBIDDEN']);
    }
    await alice.change(roomId, 'invite', { user_id: bob.userId });
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(403);
    await bob.change(roomId, 'leave');
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(403);
  });

  test('is open to all in world-readable rooms', async () => {
    const roomId = await alice.createRoom({
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'world_readable' } }],
    });
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(200);
    expect((await server.guest.get(`${roomPath(roomId)}/members`)).status).toBe(200);
    expect((await bob.get(`${roomPath(roomId)}/aliases`)).status).toBe(200);
    expect((await bob.get(`${roomPath(roomId)}/joined_members`)).status).toBe(403);
  });

  test('gives a whole event when asked', async () => {
    const roomId = await alice.createRoom({ name: 'n' });
    const { json } = await alice.get(`${roomPath(roomId)}/state/m.room.name/?format=event`);
    expect(json).toMatchObject({ type: 'm.room.name', state_key: '', room_id: roomId, content: { name: 'n' } });
    expect((await alice.get(`${roomPath(roomId)}/state/m.room.name/?format=x`)).json.errcode).toBe('M_INVALID_PARAM');
    expect((await alice.state(roomId, 'm.room.topic')).json.errcode).toBe('M_NOT_FOUND');
  });
});

describe('GET /members', () => {
  test('filters by membership', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', invite: [carol.userId] });
    await bob.change(roomId, 'join');
    await bob.change(roomId, 'leave');
    const members = async (query: string) => users((await alice.get(`${roomPath(roomId)}/members${query}`)).json.chunk);
    expect(await members('')).toEqual([alice.userId, bob.userId, carol.userId]);
    expect(await members('?membership=join')).toEqual([alice.userId]);
    expect(await members('?not_membership=leave')).toEqual([alice.userId, carol.userId]);
    expect(await members('?membership=leave&not_membership=join')).toEqual([bob.userId, carol.userId]);
    expect((await alice.get(`${roomPath(roomId)}/members?membership=no`)).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('gives the members at a token, and at the leave to who has left', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    const token = server.db.head;
    await bob.change(roomId, 'join');
    const at = await alice.get(`${roomPath(roomId)}/members?at=${token}`);
    expect(users(at.json.chunk)).toEqual([alice.userId]);
    await bob.change(roomId, 'leave');
    await carol.change(roomId, 'join');
    const left = await bob.get(`${roomPath(roomId)}/members?at=${server.db.head}`);
    expect(users(left.json.chunk)).toEqual([alice.userId, bob.userId]);
    expect((await alice.get(`${roomPath(roomId)}/members?at=x`)).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('shows joined members with their profiles', async () => {
    server.accounts.profiles.set(bob.userId, { displayname: 'Bob', avatar_url: 'mxc://localhost/bob' });
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(roomId, 'join');
    server.accounts.profiles.clear();
    expect((await alice.get(`${roomPath(roomId)}/joined_members`)).json).toEqual({
      joined: {
        [alice.userId]: { display_name: null, avatar_url: null },
        [bob.userId]: { display_name: 'Bob', avatar_url: 'mxc://localhost/bob' },
      },
    });
  });
});

describe('GET /event', () => {
  test('follows history visibility', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'joined' } }],
    });
    const before = await alice.sent(roomId, { body: 'before' });
    await bob.change(roomId, 'join');
    const during = await alice.sent(roomId, { body: 'during' });
    await bob.change(roomId, 'leave');
    const after = await alice.sent(roomId, { body: 'after' });
    expect((await bob.event(roomId, before)).json.errcode).toBe('M_NOT_FOUND');
    expect((await bob.event(roomId, during)).json.content).toEqual({ body: 'during' });
    expect((await bob.event(roomId, after)).status).toBe(404);
    expect((await carol.event(roomId, during)).status).toBe(404);
    expect((await alice.event(roomId, '$none')).status).toBe(404);
    expect((await alice.event('!none:localhost', during)).status).toBe(404);
  });

  test('tells the membership of the asking user at the event, and its age', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    const before = await alice.sent(roomId, { body: 'before' });
    await bob.change(roomId, 'join');
    server.clock.advance(1000);
    const unsigned = (await bob.event(roomId, before)).json.unsigned;
    expect(unsigned).toEqual({ age: 1000, membership: 'leave' });
    expect((await alice.event(roomId, before)).json.unsigned.membership).toBe('join');
  });
});

describe('POST /upgrade', () => {
  const upgrade = (actor: Actor, roomId: string, body: unknown) => actor.post(`${roomPath(roomId)}/upgrade`, body);

  test('makes a room with the old one behind it, moves aliases and closes the old room', async () => {
    const old = await alice.createRoom({
      room_version: '10',
      preset: 'public_chat',
      visibility: 'public',
      room_alias_name: 'moving',
      name: 'Name',
      topic: 'Topic',
      creation_content: { type: 'org.example.type' },
      initial_state: [
        { type: 'm.room.encryption', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
        { type: 'org.example.private', content: { a: 1 } },
      ],
    });
    await bob.change(old, 'join');
    await alice.change(old, 'ban', { user_id: carol.userId, reason: 'spam' });
    await bob.sent(old, { body: 'last' });
    const { json, status } = await upgrade(alice, old, { new_version: '12', additional_creators: [bob.userId] });
    expect(status).toBe(200);
    const fresh: string = json.replacement_room;
    expect((await alice.state(fresh, 'm.room.create')).json).toEqual({
      room_version: '12',
      predecessor: { room_id: old },
      type: 'org.example.type',
      additional_creators: [bob.userId],
    });
    const state = byKey((await alice.get(`${roomPath(fresh)}/state`)).json);
    expect(state.get('m.room.name|')).toEqual({ name: 'Name' });
    expect(state.get('m.room.encryption|')).toEqual({ algorithm: 'm.megolm.v1.aes-sha2' });
    expect(state.get('m.room.canonical_alias|')).toEqual({ alias: '#moving:localhost' });
    expect(state.get(`m.room.member|${carol.userId}`)).toEqual({ membership: 'ban', reason: 'spam' });
    expect(state.has(`m.room.member|${bob.userId}`)).toBe(false);
    expect(state.has('org.example.private|')).toBe(false);
    expect(state.get('m.room.power_levels|')).toMatchObject({ users: {}, events: { 'm.room.tombstone': 150 } });
    const alias = await alice.get(`/directory/room/${encodeURIComponent('#moving:localhost')}`);
    expect(alias.json.room_id).toBe(fresh);
    expect((await alice.get(`/directory/list/room/${fresh}`)).json.visibility).toBe('public');
    expect((await alice.get(`/directory/list/room/${old}`)).json.visibility).toBe('private');
    expect((await alice.state(old, 'm.room.tombstone')).json.replacement_room).toBe(fresh);
    expect((await alice.state(old, 'm.room.canonical_alias')).json).toEqual({});
    expect((await bob.send(old, { body: 'too late' })).status).toBe(403);
    await bob.change(fresh, 'join');
    expect(server.accounts.upgrades).toEqual([
      { user: alice.userId, from: old, to: fresh },
      { user: bob.userId, from: old, to: fresh },
    ]);
  });

  test.each([
    ['1', '11'],
    ['9', '10'],
    ['12', '11'],
    ['12', '12'],
    ['11', '6'],
  ])('goes from version %s to %s', async (from, to) => {
    const old = await alice.createRoom({ room_version: from, preset: 'public_chat', name: 'Name' });
    const { json, status } = await upgrade(alice, old, { new_version: to });
    expect([status, json.errcode]).toEqual([200, undefined]);
    const levels = (await alice.state(json.replacement_room, 'm.room.power_levels')).json;
    expect(levels.users).toEqual(to === '12' ? {} : { [alice.userId]: 100 });
    expect((await alice.state(json.replacement_room, 'm.room.name')).json).toEqual({ name: 'Name' });
  });

  test('names the tombstone as the last event where that can be known before', async () => {
    const old = await alice.createRoom({ room_version: '11', preset: 'public_chat' });
    const { json } = await upgrade(alice, old, { new_version: '11' });
    const { predecessor } = (await alice.state(json.replacement_room, 'm.room.create')).json;
    const tombstone = (await alice.event(old, predecessor.event_id)).json;
    expect(tombstone).toMatchObject({
      type: 'm.room.tombstone',
      content: { replacement_room: json.replacement_room },
    });
    expect((await alice.state(json.replacement_room, 'm.room.guest_access')).json).toEqual({
      guest_access: 'forbidden',
    });
  });

  test('does not lead back to the same room', async () => {
    const roomId = await alice.createRoom();
    const wrong = { body: 'gone', replacement_room: roomId };
    expect((await alice.setState(roomId, 'm.room.tombstone', wrong)).json.errcode).toBe('M_INVALID_PARAM');
    expect((await alice.send(roomId, wrong, 'm.room.tombstone')).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('made by hand is followed by who is in the new room already', async () => {
    const old = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(old, 'join');
    const creation_content = { predecessor: { room_id: old } };
    const fresh = await alice.createRoom({ preset: 'public_chat', creation_content });
    await bob.change(fresh, 'join');
    const before = server.accounts.upgrades.length;
    await alice.setState(old, 'm.room.tombstone', { body: 'gone', replacement_room: fresh });
    await alice.setState(old, 'm.room.tombstone', { body: 'gone for good', replacement_room: fresh });
    expect(server.accounts.upgrades.slice(before)).toEqual([
      { user: alice.userId, from: old, to: fresh },
      { user: bob.userId, from: old, to: fresh },
    ]);
  });

  test('works with power for tombstones only, and leaves that power as it was', async () => {
    const old = await alice.createRoom({
      room_version: '11',
      preset: 'public_chat',
      power_level_content_override: {
        users: { [alice.userId]: 100, [bob.userId]: 60 },
        events: { 'm.room.tombstone': 60, 'm.room.power_levels': 100, 'm.room.name': 90 },
      },
      name: 'Name',
    });
    await bob.change(old, 'join');
    const { json } = await upgrade(bob, old, { new_version: '11' });
    const levels = (await bob.state(json.replacement_room, 'm.room.power_levels')).json;
    expect(levels.users).toEqual({ [alice.userId]: 100, [bob.userId]: 60 });
    expect((await bob.state(json.replacement_room, 'm.room.name')).json).toEqual({ name: 'Name' });
  });

  test('turns levels written as text into numbers where the new version wants them', async () => {
    const old = await alice.createRoom({
      room_version: '9',
      power_level_content_override: { users: { [alice.userId]: '100' }, kick: '60' },
    });
    const { json } = await upgrade(alice, old, { new_version: '11' });
    const levels = (await alice.state(json.replacement_room, 'm.room.power_levels')).json;
    expect([levels.users[alice.userId], levels.kick]).toEqual([100, 60]);
  });

  test('is refused without the right, for unknown versions and wrong creators', async () => {
    const old = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(old, 'join');
    expect((await upgrade(bob, old, { new_version: '12' })).json.errcode).toBe('M_FORBIDDEN');
    expect((await upgrade(carol, old, { new_version: '12' })).json.errcode).toBe('M_FORBIDDEN');
    expect((await upgrade(alice, old, { new_version: '99' })).json.errcode).toBe('M_UNSUPPORTED_ROOM_VERSION');
    expect((await upgrade(alice, old, {})).json.errcode).toBe('M_MISSING_PARAM');
    expect((await upgrade(alice, '!none:localhost', { new_version: '12' })).json.errcode).toBe('M_NOT_FOUND');
    const wrong = { new_version: '12', additional_creators: ['bob'] };
    expect((await upgrade(alice, old, wrong)).json.errcode).toBe('M_INVALID_PARAM');
  });
});
