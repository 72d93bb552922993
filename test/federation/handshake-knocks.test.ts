import { expect, test } from '@jest/globals';
import { changeBy, invite, joinBy, knockBy, membershipBy, syncRooms } from '../support/rooms-between.ts';
import { useNeighbours } from '../support/neighbours.ts';

const { server, user } = useNeighbours(2, { alice: 0, bob: 1 });

const knockRoom = (version = '12', rule = 'knock'): Promise<string> =>
  user('alice').createRoom({
    preset: 'public_chat',
    name: 'Ring the bell',
    room_version: version,
    initial_state: [{ type: 'm.room.join_rules', content: { join_rule: rule } }],
  });

const via = (): string[] => [server(0).name];

test.each([
  ['7', 'knock'],
  ['10', 'knock_restricted'],
  ['12', 'knock'],
])('a user knocks on a room of version %s with the rule %s on another server', async (version, rule) => {
  const roomId = await knockRoom(version, rule);
  const { next_batch: since } = await syncRooms(user('bob'));
  const { status, body } = await knockBy(user('bob'), roomId, via());
  expect([status, body.room_id]).toEqual([200, roomId]);
  expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('knock');
  const { rooms } = await syncRooms(user('bob'), since);
  const events = rooms?.knock?.[roomId]?.knock_state.events ?? [];
  expect(events.find(({ type }) => type === 'm.room.name')?.content.name).toBe('Ring the bell');
  expect(events.some(({ type }) => type === 'm.room.create')).toBe(true);
  expect(events.find(({ state_key: key }) => key === user('bob').userId)?.content.reason).toBe('let me in');
});

test('a knock can be withdrawn and made again', async () => {
  const roomId = await knockRoom();
  for (let round = 0; round < 2; round++) {
    expect((await knockBy(user('bob'), roomId, via())).status).toBe(200);
    const { next_batch: since } = await syncRooms(user('bob'));
    expect((await changeBy(user('bob'), roomId, 'leave')).status).toBe(200);
    expect(Object.keys((await syncRooms(user('bob'), since)).rooms?.leave ?? {})).toEqual([roomId]);
    expect(await membershipBy(user('alice'), roomId, user('bob'))).toBe('leave');
  }
});

test('who has knocked may knock again', async () => {
  const roomId = await knockRoom();
  expect((await knockBy(user('bob'), roomId, via())).status).toBe(200);
  expect((await knockBy(user('bob'), roomId, via())).status).toBe(200);
});

test('a knock is answered with an invite', async () => {
  const roomId = await knockRoom();
  expect((await knockBy(user('bob'), roomId, via())).status).toBe(200);
  const { next_batch: since } = await syncRooms(user('bob'));
  expect((await invite(user('alice'), roomId, user('bob'))).status).toBe(200);
  expect(Object.keys((await syncRooms(user('bob'), since)).rooms?.invite ?? {})).toEqual([roomId]);
  expect((await knockBy(user('bob'), roomId, via())).status).toBe(403);
  expect((await joinBy(user('bob'), roomId, [])).status).toBe(200);
  expect((await knockBy(user('bob'), roomId, via())).status).toBe(403);
});

test('a room that takes no knocks refuses, in other versions too', async () => {
  const closed = await user('alice').createRoom({ preset: 'private_chat' });
  const old = await user('alice').createRoom({ preset: 'private_chat', room_version: '6' });
  const refused = await knockBy(user('bob'), closed, via());
  expect([refused.status, refused.body.errcode]).toEqual([403, 'M_FORBIDDEN']);
  const incompatible = await knockBy(user('bob'), old, via());
  expect([incompatible.status, incompatible.body.errcode]).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION']);
});

test('who is banned does not knock', async () => {
  const roomId = await knockRoom();
  await changeBy(user('alice'), roomId, 'ban', { user_id: user('bob').userId });
  const { status, body } = await knockBy(user('bob'), roomId, via());
  expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
});
