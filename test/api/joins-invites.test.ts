/** Joins and invites, by third parties too. */
import { describe, expect, test } from '@jest/globals';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signJson } from '../../src/matrix/signing.ts';
import { encodeBase64 } from '../../src/util/bytes.ts';
import { outcome, target, useMembers } from '../support/members.ts';
import { roomPath, type Actor } from '../support/rooms.ts';

const scene = useMembers();

describe('joining', () => {
  test('works by id, by alias and twice, and names the user', async () => {
    scene.server.accounts.profiles.set(scene.bob.userId, { displayname: 'Bob', avatar_url: 'mxc://localhost/bob' });
    const roomId = await scene.alice.createRoom({ preset: 'public_chat', room_alias_name: 'door' });
    const joined = await scene.bob.post(`/join/${encodeURIComponent('#door:localhost')}`, { reason: 'hello' });
    expect([joined.status, joined.json]).toEqual([200, { room_id: roomId }]);
    const first = await scene.bob.get(`${roomPath(roomId)}/state/m.room.member/${scene.bob.userId}?format=event`);
    expect(first.json.content).toEqual({
      membership: 'join',
      displayname: 'Bob',
      avatar_url: 'mxc://localhost/bob',
      reason: 'hello',
    });
    expect((await scene.bob.post(`/join/${roomId}?via=elsewhere.example`)).json).toEqual({ room_id: roomId });
    expect((await scene.bob.post(`${roomPath(roomId)}/join`)).json).toEqual({ room_id: roomId });
    const again = await scene.bob.get(`${roomPath(roomId)}/state/m.room.member/${scene.bob.userId}?format=event`);
    expect(again.json.event_id).toBe(first.json.event_id);
    expect((await scene.bob.get('/joined_rooms')).json.joined_rooms).toContain(roomId);
  });

  test("keeps what the client adds to its member event, and nothing that is the server's to say", async () => {
    const roomId = await scene.alice.createRoom({ preset: 'public_chat' });
    const body = {
      'org.example.mood': 'fine',
      membership: 'ban',
      join_authorised_via_users_server: scene.alice.userId,
    };
    await scene.bob.post(`/join/${roomId}`, body);
    const { json } = await scene.alice.state(roomId, 'm.room.member', scene.bob.userId);
    expect(json).toEqual({ 'org.example.mood': 'fine', membership: 'join' });
  });

  test('of unknown rooms and aliases is 404', async () => {
    expect((await scene.bob.post('/join/!none:localhost')).json.errcode).toBe('M_NOT_FOUND');
    expect((await scene.bob.post(`/join/${encodeURIComponent('#none:localhost')}`)).json.errcode).toBe('M_NOT_FOUND');
    expect((await scene.bob.post('/join/none')).json.errcode).toBe('M_INVALID_PARAM');
  });

  test('takes an invite where the join rule says so', async () => {
    const roomId = await scene.alice.createRoom();
    expect(await outcome(scene.bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    expect(await scene.membership(roomId, scene.bob)).toBe('join');
  });

  test('guests are let in only where guest access says so, and are removed when it ends', async () => {
    const { guest } = scene.server;
    const closed = await scene.alice.createRoom({ preset: 'public_chat' });
    expect(await outcome(guest, closed, 'join')).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
    const open = await scene.alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.guest_access', content: { guest_access: 'can_join' } }],
    });
    expect((await guest.post(`/join/${encodeURIComponent('#open:localhost')}`)).status).toBe(403);
    expect((await guest.post(`/join/${open}`)).json).toEqual({ room_id: open });
    await guest.sent(open, { body: 'hello' });
    await scene.alice.setState(open, 'm.room.guest_access', { guest_access: 'forbidden' });
    expect(await scene.membership(open, guest)).toBe('leave');
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
    const space = await scene.alice.createRoom({ preset: 'public_chat' });
    const allow = [{ type: 'org.example' }, { type: 'm.room_membership', room_id: space }];
    const roomId = await scene.alice.createRoom({ room_version, ...restricted(rule, allow) });
    expect(await outcome(scene.bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    await scene.bob.change(space, 'join');
    await scene.bob.change(roomId, 'join');
    const { json } = await scene.alice.state(roomId, 'm.room.member', scene.bob.userId);
    expect(json).toMatchObject({ membership: 'join', join_authorised_via_users_server: scene.alice.userId });
    await scene.bob.sent(roomId, { body: 'in' });
  });

  test('need nobody to vouch for who is invited', async () => {
    const roomId = await scene.alice.createRoom(restricted('restricted', []));
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    const { json } = await scene.alice.state(roomId, 'm.room.member', scene.bob.userId);
    expect(json).not.toHaveProperty('join_authorised_via_users_server');
  });

  test('fail when no user here may invite', async () => {
    const space = await scene.alice.createRoom({ preset: 'public_chat' });
    const roomId = await scene.alice.createRoom({
      room_version: '11',
      ...restricted('restricted', [{ type: 'm.room_membership', room_id: space }]),
      power_level_content_override: { invite: 50 },
    });
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    await scene.alice.change(roomId, 'leave');
    await scene.carol.change(space, 'join');
    expect(await outcome(scene.carol, roomId, 'join')).toEqual([400, 'M_UNABLE_TO_GRANT_JOIN']);
  });

  test('are not granted by what the client writes', async () => {
    const roomId = await scene.alice.createRoom(restricted('restricted', []));
    const { status } = await scene.bob.setState(
      roomId,
      'm.room.member',
      { membership: 'join', join_authorised_via_users_server: scene.alice.userId },
      scene.bob.userId,
    );
    expect(status).toBe(403);
  });
});

describe('inviting', () => {
  test('names the invited user and the reason; doing it again changes nothing', async () => {
    scene.server.accounts.profiles.set(scene.bob.userId, { displayname: 'Bob' });
    const roomId = await scene.alice.createRoom();
    await scene.alice.change(roomId, 'invite', target(scene.bob, 'welcome'));
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    expect((await scene.alice.state(roomId, 'm.room.member', scene.bob.userId)).json).toEqual({
      membership: 'invite',
      displayname: 'Bob',
      reason: 'welcome',
    });
  });

  test.each([
    ['who is not in the room', () => scene.carol, () => scene.bob],
    ['somebody who is in it', () => scene.alice, () => scene.alice],
    ['a banned user', () => scene.alice, () => scene.server.admin],
  ])('is refused for %s', async (_what, sender, invited) => {
    const roomId = await scene.alice.createRoom();
    await scene.alice.change(roomId, 'ban', target(scene.server.admin));
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    expect(await outcome(sender(), roomId, 'invite', target(invited()))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('is refused for users who block invites, by both endpoints, and only told to who may invite', async () => {
    const roomId = await scene.alice.createRoom();
    scene.server.accounts.blocking.add(scene.carol.userId);
    expect(await outcome(scene.alice, roomId, 'invite', target(scene.carol))).toEqual([403, 'M_INVITE_BLOCKED']);
    expect(await outcome(scene.bob, roomId, 'invite', target(scene.carol))).toEqual([403, 'M_FORBIDDEN']);
    const state = await scene.alice.setState(roomId, 'm.room.member', { membership: 'invite' }, scene.carol.userId);
    expect(state.json.errcode).toBe('M_INVITE_BLOCKED');
    scene.server.accounts.blocking.clear();
    expect((await scene.alice.state(roomId, 'm.room.member', scene.carol.userId)).status).toBe(404);
  });

  test('wants a user id', async () => {
    const roomId = await scene.alice.createRoom();
    expect(await outcome(scene.alice, roomId, 'invite', { user_id: 'bob' })).toEqual([400, 'M_INVALID_PARAM']);
    expect(await outcome(scene.alice, roomId, 'invite', {})).toEqual([400, 'M_MISSING_PARAM']);
    const phone = { id_server: 'id.example', id_access_token: 't', medium: 'msisdn', address: '1' };
    expect(await outcome(scene.alice, roomId, 'invite', phone)).toEqual([400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED']);
  });
});

describe('third-party invites', () => {
  const seed = new Uint8Array(32).fill(9);

  const invitedRoom = async (token: string): Promise<string> => {
    const publicKey = encodeBase64(keyPairFromSeed(seed).publicKey);
    const roomId = await scene.alice.createRoom();
    const content = { display_name: 'b...@e...', public_key: publicKey, key_validity_url: 'https://id.example' };
    await scene.alice.setState(roomId, 'm.room.third_party_invite', content, token);
    return roomId;
  };
  const signed = (user: Actor, token: string): JsonObject => {
    const block = { mxid: user.userId, sender: scene.alice.userId, token };
    return signJson(block, 'id.example', 'ed25519:0', keyPairFromSeed(seed));
  };

  test('are redeemed by a signature of their key', async () => {
    const roomId = await invitedRoom('abc');
    await scene.bob.change(roomId, 'join', { third_party_signed: signed(scene.bob, 'abc') });
    expect(await scene.membership(roomId, scene.bob)).toBe('join');
  });

  test('are not redeemed by other tokens, users or keys', async () => {
    const roomId = await invitedRoom('abc');
    const join = (third_party_signed: JsonObject) => outcome(scene.bob, roomId, 'join', { third_party_signed });
    expect(await join(signed(scene.bob, 'other'))).toEqual([403, 'M_FORBIDDEN']);
    expect(await join(signed(scene.carol, 'abc'))).toEqual([403, 'M_FORBIDDEN']);
    expect(await join({ ...signed(scene.bob, 'abc'), extra: 1 })).toEqual([403, 'M_FORBIDDEN']);
    expect(await join({ mxid: scene.bob.userId })).toEqual([400, 'M_BAD_JSON']);
  });
});
