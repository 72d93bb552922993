/** Other servers that are let into rooms of ours, out again, or knock (S-S API v1.19 §Joining Rooms, §Leaving Rooms, §Knocking upon a room). */
import { describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu } from '../../src/matrix/pdu.ts';
import type { Answer, Client } from '../support/client.ts';
import { useHandshakes, told, v1, v2 } from '../support/handshakes.ts';
import { changeBy, membershipBy } from '../support/rooms-between.ts';

const { home, peer, alice, visitor, openRoom, make, finish, send, joined } = useHandshakes();

describe('make_join', () => {
  test('answers with an unsigned event on the current state', async () => {
    const roomId = await openRoom();
    const user = visitor();
    const { status, body } = await make('join', roomId, user);
    expect([status, body.room_version]).toEqual([200, '10']);
    expect(body.event).toMatchObject({
      ...{ type: 'm.room.member', room_id: roomId, sender: user, state_key: user, origin: home().name },
      content: { membership: 'join' },
    });
    expect(body.event).not.toHaveProperty('signatures');
    expect(body.event).not.toHaveProperty('hashes');
  });

  test('names the version of a room that the other server does not know', async () => {
    const roomId = await openRoom();
    const lacking = await make('join', roomId, visitor(), 'ver=1&ver=6');
    expect([...told(lacking), lacking.body.room_version]).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION', '10']);
    expect(told(await make('join', roomId, visitor(), ''))).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION']);
  });

  test('is for users of the server that asks', async () => {
    const roomId = await openRoom();
    expect(told(await make('join', roomId, alice().userId))).toEqual([403, 'M_FORBIDDEN']);
    expect(told(await make('join', roomId, '@x:elsewhere.example'))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('is not found for rooms that this server is not in, or not any more', async () => {
    expect(told(await make('join', '!none:elsewhere.example', visitor()))).toEqual([404, 'M_NOT_FOUND']);
    const roomId = await openRoom();
    await changeBy(alice(), roomId, 'leave');
    expect(told(await make('join', roomId, visitor()))).toEqual([404, 'M_NOT_FOUND']);
  });

  test('refuses a server that the room denies, and rooms that do not federate', async () => {
    const denied = await openRoom({
      initial_state: [{ type: 'm.room.server_acl', content: { allow: ['x.example'] } }],
    });
    const closed = await openRoom({ creation_content: { 'm.federate': false } });
    for (const kind of ['join', 'leave', 'knock']) {
      expect(told(await make(kind, denied, visitor()))).toEqual([403, 'M_FORBIDDEN']);
    }
    expect(told(await make('join', closed, visitor()))).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('send_join', () => {
  test('answers with the state before the join, its auth chain and the event', async () => {
    const roomId = await openRoom();
    const user = visitor();
    const event = finish(await make('join', roomId, user));
    const { status, body } = await send('join', roomId, event);
    expect(status).toBe(200);
    const state = body.state as readonly Pdu[];
    expect(state.map(({ type, state_key: key }) => `${type}|${String(key)}`).sort()).toEqual(
      [
        'm.room.create|',
        'm.room.history_visibility|',
        'm.room.join_rules|',
        `m.room.member|${alice().userId}`,
        'm.room.power_levels|',
      ].sort(),
    );
    expect((body.auth_chain as readonly Pdu[]).some(({ type }) => type === 'm.room.create')).toBe(true);
    expect((body.event as Pdu).content).toEqual({ membership: 'join' });
    expect(body.members_omitted).toBeUndefined();
    expect(await membershipBy(alice(), roomId, { userId: user } as Client)).toBe('join');
  });

  test('answers version 1 in its envelope', async () => {
    const roomId = await openRoom();
    const answer = await send('join', roomId, finish(await make('join', roomId, visitor())), v1);
    const [code, body] = answer.body as unknown as [number, JsonObject];
    expect([code, Array.isArray(body.state)]).toEqual([200, true]);
  });

  test('leaves members out when asked to, but for the heroes of a room without a name', async () => {
    const roomId = await openRoom();
    expect((await joined(roomId, visitor())).status).toBe(200);
    const event = finish(await make('join', roomId, visitor()));
    const { body } = await send('join', roomId, event, v2, '?omit_members=true');
    expect([body.members_omitted, [...(body.servers_in_room as string[])].sort()]).toEqual([
      true,
      [home().name, peer().name].sort(),
    ]);
    expect((body.state as readonly Pdu[]).filter(({ type }) => type === 'm.room.member')).toHaveLength(2);
    expect(body.auth_chain).toEqual([]);
    const named = await openRoom({ name: 'Named' });
    const other = finish(await make('join', named, visitor()));
    const reduced = (await send('join', named, other, v2, '?omit_members=true')).body;
    expect((reduced.state as readonly Pdu[]).some(({ type }) => type === 'm.room.member')).toBe(false);
    expect((reduced.auth_chain as readonly Pdu[]).map(({ type }) => type)).toEqual(['m.room.member']);
    expect(reduced.servers_in_room).toEqual([home().name]);
  });

  test('takes joins only, of users of the server that sends them, under their own id', async () => {
    const roomId = await openRoom();
    const user = visitor();
    const template = await make('join', roomId, user);
    const wrong = (changes: JsonObject): Promise<Answer> => send('join', roomId, finish(template, changes));
    expect(told(await wrong({ type: 'm.room.message' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(told(await wrong({ content: { membership: 'leave' } }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(told(await wrong({ state_key: visitor() }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(told(await wrong({ sender: '@x:elsewhere.example', state_key: '@x:elsewhere.example' }))).toEqual([
      403,
      'M_FORBIDDEN',
    ]);
    const good = finish(template);
    expect(told(await send('join', roomId, { ...good, eventId: '$other' as EventId }))).toEqual([
      400,
      'M_INVALID_PARAM',
    ]);
    expect(told(await send('join', await openRoom(), good))).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('takes no event that its server has not signed', async () => {
    const roomId = await openRoom();
    const good = finish(await make('join', roomId, visitor()));
    const { signatures: _signatures, ...unsigned } = good.pdu;
    expect(told(await send('join', roomId, { ...good, pdu: unsigned as Pdu }))).toEqual([403, 'M_FORBIDDEN']);
    const forged = { ...good.pdu, signatures: { [peer().name]: { 'ed25519:test': 'a'.repeat(86) } } };
    expect(told(await send('join', roomId, { ...good, pdu: forged }))).toEqual([403, 'M_FORBIDDEN']);
    expect((await send('join', roomId, good)).status).toBe(200);
  });

  test('refuses who was banned since he asked', async () => {
    const roomId = await openRoom();
    const user = visitor();
    const event = finish(await make('join', roomId, user));
    await changeBy(alice(), roomId, 'ban', { user_id: user });
    expect(told(await send('join', roomId, event))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('signs no restricted join whose conditions are not met, whatever the event says', async () => {
    const space = await openRoom();
    const rules = { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: space }] };
    const roomId = await openRoom({ initial_state: [{ type: 'm.room.join_rules', content: rules }] });
    const user = visitor();
    expect((await joined(space, user)).status).toBe(200);
    const event = finish(await make('join', roomId, user));
    const leave = finish(await make('leave', space, user));
    expect((await send('leave', space, leave)).status).toBe(200);
    expect(told(await send('join', roomId, event))).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('send_leave and send_knock', () => {
  test('let a user go, and his knock in, in both versions', async () => {
    const roomId = await openRoom();
    const user = visitor();
    for (const prefix of [v1, v2]) {
      expect((await joined(roomId, user)).status).toBe(200);
      expect((await send('leave', roomId, finish(await make('leave', roomId, user)), prefix)).status).toBe(200);
      expect(await membershipBy(alice(), roomId, { userId: user } as Client)).toBe('leave');
    }
    expect(told(await make('leave', roomId, user))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('a knock is answered with whole events that describe the room', async () => {
    const roomId = await openRoom({
      name: 'The door',
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }],
    });
    const user = visitor();
    const event = finish(await make('knock', roomId, user));
    const { status, body } = await send('knock', roomId, event, v1);
    expect(status).toBe(200);
    const state = body.knock_room_state as readonly Pdu[];
    expect(state.map(({ type }) => type).sort()).toEqual(['m.room.create', 'm.room.join_rules', 'm.room.name']);
    for (const pdu of state) expect(pdu).toHaveProperty('signatures');
    expect(await membershipBy(alice(), roomId, { userId: user } as Client)).toBe('knock');
  });
});
