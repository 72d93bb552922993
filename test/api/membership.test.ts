import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signJson } from '../../src/matrix/signing.ts';
import { encodeBase64 } from '../../src/util/bytes.ts';
import { roomPath, startRoomServer, type Actor, type RoomServer } from '../support/rooms.ts';

let server: RoomServer;
let alice: Actor;
let bob: Actor;
let carol: Actor;
beforeAll(async () => {
  server = await startRoomServer();
  ({ alice, bob, carol } = server);
});
beforeEach(() => server.accounts.profiles.clear());
afterAll(async () => server[Symbol.asyncDispose]());

const membership = async (roomId: string, user: Actor): Promise<unknown> =>
  (await alice.state(roomId, 'm.room.member', user.userId)).json.membership;
const outcome = async (actor: Actor, roomId: string, action: string, body?: unknown): Promise<unknown[]> => {
  const { status, json } = await actor.post(`${roomPath(roomId)}/${action}`, body);
  return [status, json.errcode];
};
const target = (user: Actor, reason?: string) => ({ user_id: user.userId, reason });

describe('joining', () => {
  test('works by id, by alias and twice, and names the user', async () => {
    server.accounts.profiles.set(bob.userId, { displayname: 'Bob', avatar_url: 'mxc://localhost/bob' });
    const roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'door' });
    const joined = await bob.post(`/join/${encodeURIComponent('#door:localhost')}`, { reason: 'hello' });
    expect([joined.status, joined.json]).toEqual([200, { room_id: roomId }]);
    const first = await bob.get(`${roomPath(roomId)}/state/m.room.member/${bob.userId}?format=event`);
    expect(first.json.content).toEqual({
      membership: 'join',
      displayname: 'Bob',
      avatar_url: 'mxc://localhost/bob',
      reason: 'hello',
    });
    expect((await bob.post(`/join/${roomId}?via=elsewhere.example`)).json).toEqual({ room_id: roomId });
    expect((await bob.post(`${roomPath(roomId)}/join`)).json).toEqual({ room_id: roomId });
    const again = await bob.get(`${roomPath(roomId)}/state/m.room.member/${bob.userId}?format=event`);
    expect(again.json.event_id).toBe(first.json.event_id);
    expect((await bob.get('/joined_rooms')).json.joined_rooms).toContain(roomId);
  });

  test("keeps what the client adds to its member event, and nothing that is the server's to say", async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    const body = { 'org.example.mood': 'fine', membership: 'ban', join_authorised_via_users_server: alice.userId };
    await bob.post(`/join/${roomId}`, body);
    const { json } = await alice.state(roomId, 'm.room.member', bob.userId);
    expect(json).toEqual({ 'org.example.mood': 'fine', membership: 'join' });
  });

  test('of unknown rooms and aliases is 404', async () => {
    expect((await bob.post('/join/!none:localhost')).json.errcode).toBe('M_NOT_FOUND');
    expect((await bob.post(`/join/${encodeURIComponent('#none:localhost')}`)).json.errcode).toBe('M_NOT_FOUND');
    expect((await bob.post('/join/none')).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('takes an invite where the join rule says so', async () => {
    const roomId = await alice.createRoom();
    expect(await outcome(bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    expect(await membership(roomId, bob)).toBe('join');
  });

  test('guests are let in only where guest access says so, and are removed when it ends', async () => {
    const { guest } = server;
    const closed = await alice.createRoom({ preset: 'public_chat' });
    expect(await outcome(guest, closed, 'join')).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
    const open = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.guest_access', content: { guest_access: 'can_join' } }],
    });
    expect((await guest.post(`/join/${encodeURIComponent('#open:localhost')}`)).status).toBe(403);
    expect((await guest.post(`/join/${open}`)).json).toEqual({ room_id: open });
    await guest.sent(open, { body: 'hello' });
    await alice.setState(open, 'm.room.guest_access', { guest_access: 'forbidden' });
    expect(await membership(open, guest)).toBe('leave');
  });
});

describe('restricted joins', () => {
  const restricted = (rule: string, allow: unknown[]) => ({
    initial_state: [{ type: 'm.room.join_rules', content: { join_rule: rule, allow } }],
  });

  test.each([
    ['restricted', '8'],
    ['restricted', '11'],
    ['knock_restricted', '10'],
    ['knock_restricted', '12'],
  ])('by %s in version %s take membership of a named room', async (rule, room_version) => {
    const space = await alice.createRoom({ preset: 'public_chat' });
    const allow = [{ type: 'org.example' }, { type: 'm.room_membership', room_id: space }];
    const roomId = await alice.createRoom({ room_version, ...restricted(rule, allow) });
    expect(await outcome(bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    await bob.change(space, 'join');
    await bob.change(roomId, 'join');
    const { json } = await alice.state(roomId, 'm.room.member', bob.userId);
    expect(json).toMatchObject({ membership: 'join', join_authorised_via_users_server: alice.userId });
    await bob.sent(roomId, { body: 'in' });
  });

  test('need nobody to vouch for who is invited', async () => {
    const roomId = await alice.createRoom(restricted('restricted', []));
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    const { json } = await alice.state(roomId, 'm.room.member', bob.userId);
    expect(json).not.toHaveProperty('join_authorised_via_users_server');
  });

  test('fail when no user here may invite', async () => {
    const space = await alice.createRoom({ preset: 'public_chat' });
    const roomId = await alice.createRoom({
      room_version: '11',
      ...restricted('restricted', [{ type: 'm.room_membership', room_id: space }]),
      power_level_content_override: { invite: 50 },
    });
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    await alice.change(roomId, 'leave');
    await carol.change(space, 'join');
    expect(await outcome(carol, roomId, 'join')).toEqual([400, 'M_UNABLE_TO_GRANT_JOIN']);
  });

  test('are not granted by what the client writes', async () => {
    const roomId = await alice.createRoom(restricted('restricted', []));
    const { status } = await bob.setState(
      roomId,
      'm.room.member',
      { membership: 'join', join_authorised_via_users_server: alice.userId },
      bob.userId,
    );
    expect(status).toBe(403);
  });
});

describe('inviting', () => {
  test('names the invited user and the reason; doing it again changes nothing', async () => {
    server.accounts.profiles.set(bob.userId, { displayname: 'Bob' });
    const roomId = await alice.createRoom();
    await alice.change(roomId, 'invite', target(bob, 'welcome'));
    await alice.change(roomId, 'invite', target(bob));
    expect((await alice.state(roomId, 'm.room.member', bob.userId)).json).toEqual({
      membership: 'invite',
      displayname: 'Bob',
      reason: 'welcome',
    });
  });

  test.each([
    ['who is not in the room', () => carol, () => bob],
    ['somebody who is in it', () => alice, () => alice],
    ['a banned user', () => alice, () => server.admin],
  ])('is refused for %s', async (_what, sender, invited) => {
    const roomId = await alice.createRoom();
    await alice.change(roomId, 'ban', target(server.admin));
    await alice.change(roomId, 'invite', target(bob));
    expect(await outcome(sender(), roomId, 'invite', target(invited()))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('is refused for users who block invites, by both endpoints, and only told to who may invite', async () => {
    const roomId = await alice.createRoom();
    server.accounts.blocking.add(carol.userId);
    expect(await outcome(alice, roomId, 'invite', target(carol))).toEqual([403, 'M_INVITE_BLOCKED']);
    expect(await outcome(bob, roomId, 'invite', target(carol))).toEqual([403, 'M_FORBIDDEN']);
    const state = await alice.setState(roomId, 'm.room.member', { membership: 'invite' }, carol.userId);
    expect(state.json.errcode).toBe('M_INVITE_BLOCKED');
    server.accounts.blocking.clear();
    expect((await alice.state(roomId, 'm.room.member', carol.userId)).status).toBe(404);
  });

  test('wants a user id', async () => {
    const roomId = await alice.createRoom();
    expect(await outcome(alice, roomId, 'invite', { user_id: 'bob' })).toEqual([400, 'M_INVALID_PARAM']);
    expect(await outcome(alice, roomId, 'invite', {})).toEqual([400, 'M_MISSING_PARAM']);
    const phone = { id_server: 'id.example', id_access_token: 't', medium: 'msisdn', address: '1' };
    expect(await outcome(alice, roomId, 'invite', phone)).toEqual([400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED']);
  });
});

describe('third-party invites', () => {
  const seed = new Uint8Array(32).fill(9);

  const invitedRoom = async (token: string): Promise<string> => {
    const publicKey = encodeBase64(keyPairFromSeed(seed).publicKey);
    const roomId = await alice.createRoom();
    const content = { display_name: 'b...@e...', public_key: publicKey, key_validity_url: 'https://id.example' };
    await alice.setState(roomId, 'm.room.third_party_invite', content, token);
    return roomId;
  };
  const signed = (user: Actor, token: string): JsonObject => {
    const block = { mxid: user.userId, sender: alice.userId, token };
    return signJson(block, 'id.example', 'ed25519:0', keyPairFromSeed(seed));
  };

  test('are redeemed by a signature of their key', async () => {
    const roomId = await invitedRoom('abc');
    await bob.change(roomId, 'join', { third_party_signed: signed(bob, 'abc') });
    expect(await membership(roomId, bob)).toBe('join');
  });

  test('are not redeemed by other tokens, users or keys', async () => {
    const roomId = await invitedRoom('abc');
    const join = (third_party_signed: JsonObject) => outcome(bob, roomId, 'join', { third_party_signed });
    expect(await join(signed(bob, 'other'))).toEqual([403, 'M_FORBIDDEN']);
    expect(await join(signed(carol, 'abc'))).toEqual([403, 'M_FORBIDDEN']);
    expect(await join({ ...signed(bob, 'abc'), extra: 1 })).toEqual([403, 'M_FORBIDDEN']);
    expect(await join({ mxid: bob.userId })).toEqual([400, 'M_BAD_JSON']);
  });
});

describe('leaving', () => {
  test('ends a membership, an invite and a knock; leaving twice changes nothing', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }],
    });
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'leave', { reason: 'no' });
    expect((await alice.state(roomId, 'm.room.member', bob.userId)).json).toEqual({
      membership: 'leave',
      reason: 'no',
    });
    await bob.change(roomId, 'leave');
    await carol.post(`/knock/${roomId}`);
    await carol.change(roomId, 'leave');
    expect(await membership(roomId, carol)).toBe('leave');
  });

  test('is refused to strangers', async () => {
    const roomId = await alice.createRoom();
    expect(await outcome(bob, roomId, 'leave')).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(bob, '!none:localhost', 'leave')).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('moderation', () => {
  const roomWithBob = async (): Promise<string> => {
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    await bob.change(roomId, 'join');
    return roomId;
  };

  test('kicking takes power and a user who is there', async () => {
    const roomId = await roomWithBob();
    expect(await outcome(bob, roomId, 'kick', target(alice))).toEqual([403, 'M_FORBIDDEN']);
    await alice.change(roomId, 'kick', target(bob, 'noise'));
    expect((await alice.state(roomId, 'm.room.member', bob.userId)).json).toEqual({
      membership: 'leave',
      reason: 'noise',
    });
    expect(await outcome(alice, roomId, 'kick', target(bob))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a ban keeps out until it is lifted, and kicking does not lift it', async () => {
    const roomId = await roomWithBob();
    await alice.change(roomId, 'ban', target(bob));
    expect(await outcome(bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(alice, roomId, 'kick', target(bob))).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(bob, roomId, 'unban', target(bob))).toEqual([403, 'M_FORBIDDEN']);
    await alice.change(roomId, 'unban', target(bob));
    expect(await outcome(alice, roomId, 'unban', target(bob))).toEqual([403, 'M_BAD_STATE']);
    await bob.change(roomId, 'join');
  });
});

describe('what is left to read', () => {
  const reads = async (roomId: string): Promise<number[]> => {
    const path = `/rooms/${encodeURIComponent(roomId)}`;
    const asked = ['state', 'state/m.room.topic', 'members'];
    return Promise.all(asked.map(async (what) => (await bob.get(`${path}/${what}`)).status));
  };
  const topic = async (roomId: string): Promise<unknown> => (await bob.state(roomId, 'm.room.topic', '')).json.topic;

  test('is what was there at the leave, whatever was between the room and the user since', async () => {
    const roomId = await alice.createRoom({ topic: 'then' });
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    await bob.change(roomId, 'leave');
    await alice.put(`/rooms/${encodeURIComponent(roomId)}/state/m.room.topic/`, { topic: 'later' });
    expect(await topic(roomId)).toBe('then');
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'leave');
    expect(await topic(roomId)).toBe('then');
    await alice.change(roomId, 'ban', target(bob));
    await alice.change(roomId, 'unban', target(bob));
    expect(await topic(roomId)).toBe('then');
    expect(await reads(roomId)).toEqual([200, 200, 200]);
  });

  test('is nothing for who is banned, unless the whole world may read', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', topic: 'tea' });
    await bob.change(roomId, 'join');
    await alice.change(roomId, 'ban', target(bob));
    expect(await reads(roomId)).toEqual([403, 403, 403]);
    const visibility = `/rooms/${encodeURIComponent(roomId)}/state/m.room.history_visibility/`;
    await alice.put(visibility, { history_visibility: 'world_readable' });
    expect(await reads(roomId)).toEqual([200, 200, 200]);
  });
});

describe('knocking', () => {
  test.each([
    ['knock', '7'],
    ['knock_restricted', '10'],
    ['knock', '12'],
  ])('by the join rule %s works in version %s', async (joinRule, room_version) => {
    const roomId = await alice.createRoom({
      room_version,
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: joinRule } }],
    });
    const knocked = await bob.post(`/knock/${roomId}`, { reason: 'please' });
    expect([knocked.status, knocked.json]).toEqual([200, { room_id: roomId }]);
    expect((await alice.state(roomId, 'm.room.member', bob.userId)).json).toEqual({
      membership: 'knock',
      reason: 'please',
    });
    expect((await bob.post(`/knock/${roomId}`)).status).toBe(200);
    await alice.change(roomId, 'invite', target(bob));
    expect((await bob.post(`/knock/${roomId}`)).status).toBe(403);
    await bob.change(roomId, 'join');
  });

  test('is refused elsewhere', async () => {
    const roomId = await alice.createRoom();
    expect((await bob.post(`/knock/${roomId}`)).json.errcode).toBe('M_FORBIDDEN');
    const old = await alice.createRoom({ room_version: '6', preset: 'public_chat' });
    expect((await bob.post(`/knock/${old}`)).json.errcode).toBe('M_FORBIDDEN');
  });
});

describe('PUT /state/m.room.member', () => {
  const put = (actor: Actor, roomId: string, user: string, content: unknown) =>
    actor.setState(roomId, 'm.room.member', content, user);

  test('changes the profile in one room', async () => {
    const roomId = await alice.createRoom();
    const { json } = await put(alice, roomId, alice.userId, { membership: 'join', displayname: 'Queen' });
    const event = await alice.event(roomId, json.event_id);
    expect(event.json.content).toEqual({ membership: 'join', displayname: 'Queen' });
  });

  test('joins, bans, kicks and invites by the rules of the endpoints', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' });
    expect((await put(bob, roomId, bob.userId, { membership: 'join' })).status).toBe(200);
    expect((await put(bob, roomId, carol.userId, { membership: 'join' })).status).toBe(403);
    expect((await put(alice, roomId, bob.userId, { membership: 'ban' })).status).toBe(200);
    expect((await put(alice, roomId, bob.userId, { membership: 'leave' })).status).toBe(200);
    expect((await put(alice, roomId, bob.userId, { membership: 'invite' })).status).toBe(200);
    expect((await put(alice, roomId, bob.userId, { membership: 'gone' })).json.errcode).toBe('M_BAD_JSON');
    expect((await put(alice, roomId, 'bob', { membership: 'invite' })).json.errcode).toBe('M_INVALID_PARAM');
  });
});

describe('forgetting', () => {
  test('is for rooms that were left, and ends with the next invite', async () => {
    const roomId = await alice.createRoom();
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    expect(await outcome(bob, roomId, 'forget')).toEqual([400, 'M_UNKNOWN']);
    await bob.change(roomId, 'leave');
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(200);
    await bob.change(roomId, 'forget');
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(403);
    await bob.change(roomId, 'forget');
    await alice.change(roomId, 'invite', target(bob));
    await bob.change(roomId, 'join');
    expect((await bob.get(`${roomPath(roomId)}/state`)).status).toBe(200);
  });
});
