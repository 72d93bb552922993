import { describe, expect, test } from '@jest/globals';
import { startPushGateway } from '../support/push-gateway.ts';
import {
  changeBy,
  invite,
  joinBy,
  membershipBy,
  roomPath,
  syncRooms,
  type StrippedEvent,
} from '../support/rooms-between.ts';
import { useNeighbours } from '../support/neighbours.ts';

const v3 = '/_matrix/client/v3';
const { server, user } = useNeighbours(
  2,
  { alice: 0, bob: 1, dora: 1 },
  // Joins with partial state have tests of their own.
  { set: { 'push.allow_networks': '["127.0.0.0/8"]', 'federation.partial_joins': 'false' } },
);

/** A private room of alice's, with bob invited. */
async function invitedRoom(more: object = {}): Promise<string> {
  const roomId = await user('alice').createRoom({ preset: 'private_chat', name: 'The den', ...more });
  const { status, body } = await invite(user('alice'), roomId, user('bob'));
  expect([status, body]).toEqual([200, {}]);
  return roomId;
}

describe('an invite by a user of another server', () => {
  test.each(['1', '2', '3', '6', '10', '11', '12'])('reaches users in rooms of version %s', async (version) => {
    const roomId = await invitedRoom({ room_version: version });
    const { rooms } = await syncRooms(user('bob'));
    const events = rooms?.invite?.[roomId]?.invite_state.events ?? [];
    const named = (type: string): StrippedEvent | undefined => events.find((event) => event.type === type);
    expect(named('m.room.name')?.content.name).toBe('The den');
    expect(named('m.room.create')?.sender).toBe(user('alice').userId);
    expect(named('m.room.join_rules')?.content.join_rule).toBe('invite');
    const own = events.find(({ state_key: key }) => key === user('bob').userId);
    expect([own?.sender, own?.content.membership]).toEqual([user('alice').userId, 'invite']);
    for (const event of events) {
      // Of the create event its time, too: a client judges the room by it.
      const more = event.type === 'm.room.create' ? ['origin_server_ts'] : [];
      expect(Object.keys(event).sort()).toEqual(['content', ...more, 'sender', 'state_key', 'type']);
    }
    expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('invite');
  });

  test('comes in an incremental sync once, and is told again by an initial one', async () => {
    const { next_batch: since } = await syncRooms(user('bob'));
    const roomId = await invitedRoom();
    const first = await syncRooms(user('bob'), since);
    expect(Object.keys(first.rooms?.invite ?? {})).toEqual([roomId]);
    const second = await syncRooms(user('bob'), first.next_batch);
    expect(second.rooms?.invite).toBeUndefined();
    expect(Object.keys((await syncRooms(user('bob'))).rooms?.invite ?? {})).toContain(roomId);
  });

  test('wakes a parked sync', async () => {
    const { next_batch: since } = await syncRooms(user('bob'));
    const parked = syncRooms(user('bob'), since, 30_000);
    const roomId = await invitedRoom();
    expect(Object.keys((await parked).rooms?.invite ?? {})).toEqual([roomId]);
  });

  test('pushes', async () => {
    await using gateway = await startPushGateway();
    await user('bob').must('POST', `${v3}/pushers/set`, {
      ...{ kind: 'http', app_id: 'test', pushkey: 'bob', lang: 'en' },
      ...{ app_display_name: 'Test', device_display_name: 'Phone', data: { url: gateway.url } },
    });
    const roomId = await invitedRoom();
    await gateway.attempted(1);
    expect(gateway.attempts[0]).toMatchObject({
      ...{ room_id: roomId, type: 'm.room.member', sender: user('alice').userId },
      ...{ user_is_target: true, room_name: 'The den' },
    });
    await user('bob').must('POST', `${v3}/pushers/set`, { kind: null, app_id: 'test', pushkey: 'bob' });
  });

  test('can be accepted, and leaves rooms.invite exactly once', async () => {
    const roomId = await invitedRoom();
    const invited = await syncRooms(user('bob'));
    expect(Object.keys(invited.rooms?.invite ?? {})).toContain(roomId);
    expect((await joinBy(user('bob'), roomId, [])).status).toBe(200);
    // A client that wants all members is told of the room when they are known; this waits for them.
    await user('bob').must('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/joined_members`);
    const joined = await syncRooms(user('bob'), invited.next_batch);
    expect(Object.keys(joined.rooms?.join ?? {})).toEqual([roomId]);
    expect([joined.rooms?.invite, joined.rooms?.leave]).toEqual([undefined, undefined]);
    expect(Object.keys((await syncRooms(user('bob'))).rooms?.invite ?? {})).not.toContain(roomId);
    expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('join');
  });

  test('can be rejected, several times in a room, and leaves rooms.invite exactly once each time', async () => {
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    for (let round = 0; round < 3; round++) {
      expect((await invite(user('alice'), roomId, user('bob'))).status).toBe(200);
      const invited = await syncRooms(user('bob'));
      expect(Object.keys(invited.rooms?.invite ?? {})).toContain(roomId);
      expect((await changeBy(user('bob'), roomId, 'leave')).status).toBe(200);
      const left = await syncRooms(user('bob'), invited.next_batch);
      expect(Object.keys(left.rooms?.leave ?? {})).toEqual([roomId]);
      expect(left.rooms?.leave?.[roomId]?.timeline?.events.map(({ content }) => content.membership)).toEqual(['leave']);
      expect(Object.keys((await syncRooms(user('bob'))).rooms?.invite ?? {})).not.toContain(roomId);
      expect((await syncRooms(user('bob'), left.next_batch)).rooms?.leave).toBeUndefined();
      expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('leave');
    }
  });

  test('can be rejected when nobody who is in the room answers', async () => {
    const roomId = await invitedRoom();
    const { next_batch: since } = await syncRooms(user('bob'));
    await changeBy(user('alice'), roomId, 'leave');
    expect((await changeBy(user('bob'), roomId, 'leave')).status).toBe(200);
    const left = await syncRooms(user('bob'), since);
    expect(Object.keys(left.rooms?.leave ?? {})).toEqual([roomId]);
    expect(Object.keys((await syncRooms(user('bob'))).rooms?.invite ?? {})).not.toContain(roomId);
    expect((await changeBy(user('bob'), roomId, 'forget')).status).toBe(200);
    expect(Object.keys((await syncRooms(user('bob'))).rooms?.leave ?? {})).not.toContain(roomId);
  });

  test('outlives a restart', async () => {
    const roomId = await invitedRoom();
    await server(1).stop();
    await server(1).start();
    const { rooms } = await syncRooms(user('bob'));
    expect(Object.keys(rooms?.invite ?? {})).toContain(roomId);
    expect((await joinBy(user('bob'), roomId, [])).status).toBe(200);
  });

  test('to two users of a server leaves the second one invited when the first one joins', async () => {
    const roomId = await invitedRoom();
    expect((await invite(user('alice'), roomId, user('dora'))).status).toBe(200);
    const invited = await syncRooms(user('dora'));
    expect(Object.keys(invited.rooms?.invite ?? {})).toContain(roomId);
    expect((await joinBy(user('bob'), roomId, [])).status).toBe(200);
    const after = await syncRooms(user('dora'), invited.next_batch);
    expect([after.rooms?.invite, after.rooms?.leave]).toEqual([undefined, undefined]);
    expect(await membershipBy(user('bob'), roomId, user('dora'))).toBe('invite');
    expect((await joinBy(user('dora'), roomId, [])).status).toBe(200);
    expect(await membershipBy(user('bob'), roomId, user('dora'))).toBe('join');
  });

  test('is refused for who takes no invites', async () => {
    const path = `${v3}/user/${encodeURIComponent(user('dora').userId)}/account_data/m.invite_permission_config`;
    await user('dora').must('PUT', path, { default_action: 'block' });
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    const { status, body } = await invite(user('alice'), roomId, user('dora'));
    expect([status, body.errcode]).toEqual([403, 'M_INVITE_BLOCKED']);
    expect(await membershipBy(user('alice'), roomId, user('dora'))).toBe(404);
    await user('dora').must('PUT', path, {});
  });

  test('is refused for users that do not exist', async () => {
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    const target = `@nobody:${server(1).name}`;
    const { status } = await changeBy(user('alice'), roomId, 'invite', { user_id: target });
    expect(status).toBe(403);
  });

  test('by who is ignored is kept from the user', async () => {
    const path = `${v3}/user/${encodeURIComponent(user('dora').userId)}/account_data/m.ignored_user_list`;
    await user('dora').must('PUT', path, { ignored_users: { [user('alice').userId]: {} } });
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    expect((await invite(user('alice'), roomId, user('dora'))).status).toBe(200);
    expect(Object.keys((await syncRooms(user('dora'))).rooms?.invite ?? {})).not.toContain(roomId);
    await user('dora').must('PUT', path, { ignored_users: {} });
  });
});

describe('users of other servers are invited', () => {
  test('with the room that is made for them', async () => {
    const { next_batch: since } = await syncRooms(user('bob'));
    const roomId = await user('alice').createRoom({ invite: [user('bob').userId], is_direct: true });
    const { rooms } = await syncRooms(user('bob'), since);
    const events = rooms?.invite?.[roomId]?.invite_state.events ?? [];
    expect(events.find(({ state_key: key }) => key === user('bob').userId)?.content.is_direct).toBe(true);
  });

  test('by a member event that a client writes', async () => {
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    const path = `${roomPath(roomId)}/state/m.room.member/${encodeURIComponent(user('bob').userId)}`;
    const { status } = await user('alice').ask('PUT', path, { membership: 'invite', 'org.example.more': 1 });
    expect(status).toBe(200);
    expect((await user('alice').must('GET', path))['org.example.more']).toBe(1);
    expect(Object.keys((await syncRooms(user('bob'))).rooms?.invite ?? {})).toContain(roomId);
  });

  test('only by who may invite', async () => {
    const roomId = await user('alice').createRoom({
      preset: 'public_chat',
      power_level_content_override: { invite: 50 },
    });
    expect((await joinBy(user('bob'), roomId, [server(0).name])).status).toBe(200);
    const stranger = await server(0).user('stranger');
    const { status, body } = await invite(user('bob'), roomId, stranger);
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('never into a room that is not open to other servers', async () => {
    const roomId = await user('alice').createRoom({ creation_content: { 'm.federate': false } });
    const { status, body } = await invite(user('alice'), roomId, user('bob'));
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('and their server being away is said', async () => {
    const roomId = await user('alice').createRoom({ preset: 'private_chat' });
    const { status, body } = await changeBy(user('alice'), roomId, 'invite', { user_id: '@bob:localhost:1' });
    expect([status, body.errcode]).toEqual([502, 'M_UNKNOWN']);
  });
});
