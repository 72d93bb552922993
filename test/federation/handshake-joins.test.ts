import { describe, expect, test } from '@jest/globals';
import { roomVersions } from '../../src/matrix/room-versions.ts';
import type { Client } from '../support/client.ts';
import { changeBy, invite, joinBy, membershipBy, roomPath, stateBy, syncRooms } from '../support/rooms-between.ts';
import { useNeighbours } from '../support/neighbours.ts';

const { server, user } = useNeighbours(3, { alice: 0, bob: 1, carol: 2, dora: 1 });

const publicRoom = (creator: Client, more: object = {}): Promise<string> =>
  creator.createRoom({ preset: 'public_chat', ...more });

describe('joining through another server', () => {
  test.each([...roomVersions.keys()])('a user joins a room of version %s on another server', async (version) => {
    const roomId = await publicRoom(user('alice'), { room_version: version, name: `Version ${version}` });
    const { status, body } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([status, body.room_id]).toEqual([200, roomId]);
    expect(await stateBy(user('bob'), roomId)).toEqual(await stateBy(user('alice'), roomId));
    expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('join');
    const { rooms } = await syncRooms(user('bob'));
    expect(Object.keys(rooms?.join ?? {})).toContain(roomId);
  });

  test('a room is found by an alias of another server', async () => {
    const roomId = await publicRoom(user('alice'), { room_alias_name: 'meeting' });
    const { status, body } = await joinBy(user('bob'), `#meeting:${server(0).name}`, []);
    expect([status, body.room_id]).toEqual([200, roomId]);
  });

  test('the first server that helps is enough', async () => {
    const roomId = await publicRoom(user('alice'));
    const { status } = await joinBy(user('bob'), roomId, [server(2).name, server(0).name]);
    expect(status).toBe(200);
  });

  test('two users of a server that join an unknown room at once are both in it', async () => {
    const roomId = await publicRoom(user('alice'));
    const answers = await Promise.all([user('bob'), user('dora')].map((one) => joinBy(one, roomId, [server(0).name])));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(await membershipBy(user('bob'), roomId, user('dora'))).toBe('join');
  });

  test('the same join asked for twice at once is made once', async () => {
    const roomId = await publicRoom(user('alice'));
    const answers = await Promise.all([1, 2].map(() => joinBy(user('bob'), roomId, [server(0).name])));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('a room that nobody knows is not found', async () => {
    const { status, body } = await joinBy(user('bob'), `!nothing:${server(0).name}`, []);
    expect([status, body.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });

  test('what the other server refuses is told to the client', async () => {
    const roomId = await publicRoom(user('alice'), { preset: 'private_chat' });
    const { status, body } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('who was banned is not let in', async () => {
    const roomId = await publicRoom(user('alice'));
    await changeBy(user('alice'), roomId, 'ban', { user_id: user('bob').userId });
    const { status, body } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a server that the room denies is not let in', async () => {
    const acl = { type: 'm.room.server_acl', content: { allow: ['elsewhere.example'] } };
    const roomId = await publicRoom(user('alice'), { initial_state: [acl] });
    const { status, body } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a server whose users have all left vouches for nobody', async () => {
    const roomId = await publicRoom(user('alice'));
    await changeBy(user('alice'), roomId, 'leave');
    const { status, body } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([status, body.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });

  test('INVARIANTS 13: who comes back through another server finds the room as it is there', async () => {
    const roomId = await publicRoom(user('alice'));
    await joinBy(user('bob'), roomId, [server(0).name]);
    await changeBy(user('bob'), roomId, 'leave');
    await user('alice').must('PUT', `${roomPath(roomId)}/state/m.room.topic`, { topic: 'meanwhile' });
    const { status } = await joinBy(user('bob'), roomId, [server(0).name]);
    expect(status).toBe(200);
    const topic = await user('bob').must('GET', `${roomPath(roomId)}/state/m.room.topic`);
    expect(topic.topic).toBe('meanwhile');
  });
});

describe('restricted rooms', () => {
  const restrictedRoom = async (space: string, rule = 'restricted', version = '10'): Promise<string> =>
    publicRoom(user('alice'), {
      room_version: version,
      power_level_content_override: { invite: 50 },
      initial_state: [
        {
          type: 'm.room.join_rules',
          content: { join_rule: rule, allow: [{ type: 'm.room_membership', room_id: space }] },
        },
      ],
    });

  test.each(['restricted', 'knock_restricted'])('members of a room that a %s rule names join', async (rule) => {
    const space = await publicRoom(user('alice'));
    const roomId = await restrictedRoom(space, rule);
    const refused = await joinBy(user('bob'), roomId, [server(0).name]);
    expect([refused.status, refused.body.errcode]).toEqual([403, 'M_FORBIDDEN']);
    expect((await joinBy(user('bob'), space, [server(0).name])).status).toBe(200);
    expect((await joinBy(user('bob'), roomId, [server(0).name])).status).toBe(200);
    const path = `${roomPath(roomId)}/state/m.room.member/${encodeURIComponent(user('bob').userId)}`;
    expect((await user('bob').must('GET', path)).join_authorised_via_users_server).toBe(user('alice').userId);
  });

  test('a server that cannot vouch is passed over for one that can', async () => {
    const space = await publicRoom(user('alice'));
    // The id of this version names no server to fall back on.
    const roomId = await restrictedRoom(space, 'restricted', '12');
    expect((await invite(user('alice'), roomId, user('bob'))).status).toBe(200);
    expect((await joinBy(user('bob'), roomId, [server(0).name])).status).toBe(200);
    expect((await joinBy(user('carol'), space, [server(0).name])).status).toBe(200);
    // The second server knows nothing of the space.
    const alone = await joinBy(user('carol'), roomId, [server(1).name]);
    expect([alone.status, alone.body.errcode]).toEqual([400, 'M_UNABLE_TO_AUTHORISE_JOIN']);
    const { status } = await joinBy(user('carol'), roomId, [server(1).name, server(0).name]);
    expect(status).toBe(200);
    expect(await membershipBy(user('alice'), roomId, user('carol'))).toBe('join');
  });

  test('a server in the room without the right to invite has another one vouch for its user', async () => {
    const space = await publicRoom(user('alice'));
    const roomId = await restrictedRoom(space);
    expect((await invite(user('alice'), roomId, user('bob'))).status).toBe(200);
    expect((await joinBy(user('bob'), roomId, [server(0).name])).status).toBe(200);
    expect((await joinBy(user('dora'), space, [server(0).name])).status).toBe(200);
    expect((await joinBy(user('dora'), roomId, [])).status).toBe(200);
    expect(await membershipBy(user('alice'), roomId, user('dora'))).toBe('join');
  });
});

test('who leaves a room before its members are known is seen to leave', async () => {
  const roomId = await publicRoom(user('alice'));
  const { status } = await joinBy(user('bob'), roomId, [server(0).name]);
  expect(status).toBe(200);
  const { next_batch: since } = await syncRooms(user('alice'));
  expect((await changeBy(user('bob'), roomId, 'leave')).status).toBe(200);
  if ((await membershipBy(user('alice'), roomId, user('bob'))) === 'join')
    await syncRooms(user('alice'), since, 10_000);
  expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('leave');
});
