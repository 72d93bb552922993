/** Memberships that end or wait: leaving, moderation, knocks, what is left to read, forgetting. */
import { describe, expect, test } from '@jest/globals';
import { outcome, target, useMembers } from '../support/members.ts';
import { roomPath, type Actor } from '../support/rooms.ts';

const scene = useMembers();

describe('leaving', () => {
  test('ends a membership, an invite and a knock; leaving twice changes nothing', async () => {
    const roomId = await scene.alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }],
    });
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'leave', { reason: 'no' });
    expect((await scene.alice.state(roomId, 'm.room.member', scene.bob.userId)).json).toEqual({
      membership: 'leave',
      reason: 'no',
    });
    await scene.bob.change(roomId, 'leave');
    await scene.carol.post(`/knock/${roomId}`);
    await scene.carol.change(roomId, 'leave');
    expect(await scene.membership(roomId, scene.carol)).toBe('leave');
  });

  test('is refused to strangers', async () => {
    const roomId = await scene.alice.createRoom();
    expect(await outcome(scene.bob, roomId, 'leave')).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(scene.bob, '!none:localhost', 'leave')).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('moderation', () => {
  const roomWithBob = async (): Promise<string> => {
    const roomId = await scene.alice.createRoom({ preset: 'public_chat' });
    await scene.bob.change(roomId, 'join');
    return roomId;
  };

  test('kicking takes power and a user who is there', async () => {
    const roomId = await roomWithBob();
    expect(await outcome(scene.bob, roomId, 'kick', target(scene.alice))).toEqual([403, 'M_FORBIDDEN']);
    await scene.alice.change(roomId, 'kick', target(scene.bob, 'noise'));
    expect((await scene.alice.state(roomId, 'm.room.member', scene.bob.userId)).json).toEqual({
      membership: 'leave',
      reason: 'noise',
    });
    expect(await outcome(scene.alice, roomId, 'kick', target(scene.bob))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a ban keeps out until it is lifted, and kicking does not lift it', async () => {
    const roomId = await roomWithBob();
    await scene.alice.change(roomId, 'ban', target(scene.bob));
    expect(await outcome(scene.bob, roomId, 'join')).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(scene.alice, roomId, 'kick', target(scene.bob))).toEqual([403, 'M_FORBIDDEN']);
    expect(await outcome(scene.bob, roomId, 'unban', target(scene.bob))).toEqual([403, 'M_FORBIDDEN']);
    await scene.alice.change(roomId, 'unban', target(scene.bob));
    expect(await outcome(scene.alice, roomId, 'unban', target(scene.bob))).toEqual([403, 'M_BAD_STATE']);
    await scene.bob.change(roomId, 'join');
  });
});

describe('what is left to read', () => {
  const reads = async (roomId: string): Promise<number[]> => {
    const path = `/rooms/${encodeURIComponent(roomId)}`;
    const asked = ['state', 'state/m.room.topic', 'members'];
    return Promise.all(asked.map(async (what) => (await scene.bob.get(`${path}/${what}`)).status));
  };
  const topic = async (roomId: string): Promise<unknown> =>
    (await scene.bob.state(roomId, 'm.room.topic', '')).json.topic;

  test('is what was there at the leave, whatever was between the room and the user since', async () => {
    const roomId = await scene.alice.createRoom({ topic: 'then' });
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    await scene.bob.change(roomId, 'leave');
    await scene.alice.put(`/rooms/${encodeURIComponent(roomId)}/state/m.room.topic/`, { topic: 'later' });
    expect(await topic(roomId)).toBe('then');
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'leave');
    expect(await topic(roomId)).toBe('then');
    await scene.alice.change(roomId, 'ban', target(scene.bob));
    await scene.alice.change(roomId, 'unban', target(scene.bob));
    expect(await topic(roomId)).toBe('then');
    expect(await reads(roomId)).toEqual([200, 200, 200]);
  });

  test('is nothing for who is banned, unless the whole world may read', async () => {
    const roomId = await scene.alice.createRoom({ preset: 'public_chat', topic: 'tea' });
    await scene.bob.change(roomId, 'join');
    await scene.alice.change(roomId, 'ban', target(scene.bob));
    expect(await reads(roomId)).toEqual([403, 403, 403]);
    const visibility = `/rooms/${encodeURIComponent(roomId)}/state/m.room.history_visibility/`;
    await scene.alice.put(visibility, { history_visibility: 'world_readable' });
    expect(await reads(roomId)).toEqual([200, 200, 200]);
  });
});

describe('knocking', () => {
  test.each([
    ['knock', '7'],
    ['knock_restricted', '10'],
    ['knock', '12'],
  ])('by the join rule %s works in version %s', async (joinRule, room_version) => {
    const roomId = await scene.alice.createRoom({
      room_version,
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: joinRule } }],
    });
    const knocked = await scene.bob.post(`/knock/${roomId}`, { reason: 'please' });
    expect([knocked.status, knocked.json]).toEqual([200, { room_id: roomId }]);
    expect((await scene.alice.state(roomId, 'm.room.member', scene.bob.userId)).json).toEqual({
      membership: 'knock',
      reason: 'please',
    });
    expect((await scene.bob.post(`/knock/${roomId}`)).status).toBe(200);
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    expect((await scene.bob.post(`/knock/${roomId}`)).status).toBe(403);
    await scene.bob.change(roomId, 'join');
  });

  test('is refused elsewhere', async () => {
    const roomId = await scene.alice.createRoom();
    expect((await scene.bob.post(`/knock/${roomId}`)).json.errcode).toBe('M_FORBIDDEN');
    const old = await scene.alice.createRoom({ room_version: '6', preset: 'public_chat' });
    expect((await scene.bob.post(`/knock/${old}`)).json.errcode).toBe('M_FORBIDDEN');
  });
});

describe('PUT /state/m.room.member', () => {
  const put = (actor: Actor, roomId: string, user: string, content: unknown) =>
    actor.setState(roomId, 'm.room.member', content, user);

  test('changes the profile in one room', async () => {
    const roomId = await scene.alice.createRoom();
    const { json } = await put(scene.alice, roomId, scene.alice.userId, { membership: 'join', displayname: 'Queen' });
    const event = await scene.alice.event(roomId, json.event_id);
    expect(event.json.content).toEqual({ membership: 'join', displayname: 'Queen' });
  });

  test('joins, bans, kicks and invites by the rules of the endpoints', async () => {
    const roomId = await scene.alice.createRoom({ preset: 'public_chat' });
    expect((await put(scene.bob, roomId, scene.bob.userId, { membership: 'join' })).status).toBe(200);
    expect((await put(scene.bob, roomId, scene.carol.userId, { membership: 'join' })).status).toBe(403);
    expect((await put(scene.alice, roomId, scene.bob.userId, { membership: 'ban' })).status).toBe(200);
    expect((await put(scene.alice, roomId, scene.bob.userId, { membership: 'leave' })).status).toBe(200);
    expect((await put(scene.alice, roomId, scene.bob.userId, { membership: 'invite' })).status).toBe(200);
    expect((await put(scene.alice, roomId, scene.bob.userId, { membership: 'gone' })).json.errcode).toBe('M_BAD_JSON');
    expect((await put(scene.alice, roomId, 'bob', { membership: 'invite' })).json.errcode).toBe('M_INVALID_PARAM');
  });
});

describe('forgetting', () => {
  test('is for rooms that were left, and ends with the next invite', async () => {
    const roomId = await scene.alice.createRoom();
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    expect(await outcome(scene.bob, roomId, 'forget')).toEqual([400, 'M_UNKNOWN']);
    await scene.bob.change(roomId, 'leave');
    expect((await scene.bob.get(`${roomPath(roomId)}/state`)).status).toBe(200);
    await scene.bob.change(roomId, 'forget');
    expect((await scene.bob.get(`${roomPath(roomId)}/state`)).status).toBe(403);
    await scene.bob.change(roomId, 'forget');
    await scene.alice.change(roomId, 'invite', target(scene.bob));
    await scene.bob.change(roomId, 'join');
    expect((await scene.bob.get(`${roomPath(roomId)}/state`)).status).toBe(200);
  });
});
