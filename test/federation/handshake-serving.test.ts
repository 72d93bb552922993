import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import { finishEvent } from '../../src/matrix/event-builder.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu } from '../../src/matrix/pdu.ts';
import type { Answer, Client } from '../support/client.ts';
import { keyOf, SignedRoom } from '../support/room-builder.ts';
import { rulesOf } from '../support/room-dag.ts';
import { changeBy, membershipBy, syncRooms } from '../support/rooms-between.ts';
import { ScriptedServer } from '../support/scripted-server.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

const v1 = '/_matrix/federation/v1';
const v2 = '/_matrix/federation/v2';
const enc = encodeURIComponent;
const allVersions = Array.from({ length: 12 }, (_, index) => `ver=${index + 1}`).join('&');

let servers: readonly FederatedServer[] = [];
let peerOf: ScriptedServer | undefined;
let aliceOf: Client | undefined;
let visitors = 0;

beforeAll(async () => {
  const started = await startServers(1);
  servers = started.servers;
  peerOf = await ScriptedServer.start(started.ca);
  aliceOf = await home().user('alice');
}, 60_000);
afterAll(async () => {
  await peerOf?.[Symbol.asyncDispose]();
  for (const one of servers) await one[Symbol.asyncDispose]();
});

function home(): FederatedServer {
  const [server] = servers;
  if (server === undefined) throw new Error('no server');
  return server;
}
function peer(): ScriptedServer {
  if (peerOf === undefined) throw new Error('no peer');
  return peerOf;
}
function alice(): Client {
  if (aliceOf === undefined) throw new Error('no user');
  return aliceOf;
}

/** A user of the scripted server who is in no room yet. */
const visitor = (): string => peer().user(`visitor${visitors++}`);

const openRoom = (more: object = {}): Promise<string> =>
  alice().createRoom({ preset: 'public_chat', room_version: '10', ...more });

const make = (kind: string, roomId: string, user: string, query = allVersions): Promise<Answer> =>
  peer().ask(home(), 'GET', `${v1}/make_${kind}/${enc(roomId)}/${enc(user)}?${query}`);

interface Finished {
  readonly eventId: EventId;
  readonly pdu: Pdu;
}

/** The template of an answer as an event that the scripted server has signed. */
function finish({ body }: Answer, changes: JsonObject = {}): Finished {
  const rules = rulesOf(String(body.room_version));
  const signer = { serverName: peer().name, keyId: 'ed25519:test', key: keyOf(peer().name) };
  return finishEvent({ ...(body.event as Pdu), ...changes, origin_server_ts: Date.now() }, rules, signer);
}

const send = (kind: string, roomId: string, { eventId, pdu }: Finished, prefix = v2, query = ''): Promise<Answer> =>
  peer().ask(home(), 'PUT', `${prefix}/send_${kind}/${enc(roomId)}/${enc(eventId)}${query}`, pdu);

const told = ({ status, body }: Answer): unknown[] => [status, body.errcode];

async function joined(roomId: string, user: string): Promise<Answer> {
  return send('join', roomId, finish(await make('join', roomId, user)));
}

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

describe('invites', () => {
  interface Sent {
    readonly room: SignedRoom;
    readonly event: Finished;
  }

  const invitation = (version = '12', changes: JsonObject = {}): Sent => {
    const room = SignedRoom.open(version, peer().user(`host${visitors++}`));
    const draft = { type: 'm.room.member', sender: room.creator, stateKey: alice().userId };
    return { room, event: room.say({ ...draft, content: { membership: 'invite', ...changes } }) };
  };
  const create = (room: SignedRoom): JsonObject => room.events[0]?.pdu ?? {};
  const put = (room: SignedRoom, event: Finished, more: JsonObject = {}): Promise<Answer> =>
    peer().ask(home(), 'PUT', `${v2}/invite/${enc(room.roomId)}/${enc(event.eventId)}`, {
      event: event.pdu,
      room_version: room.rules.version,
      invite_room_state: [create(room)],
      ...more,
    });

  test('are signed, once however often they come', async () => {
    const { room, event } = invitation();
    const { next_batch: since } = await syncRooms(alice());
    const { status, body } = await put(room, event);
    expect(status).toBe(200);
    expect(Object.keys((body.event as Pdu).signatures as JsonObject).sort()).toEqual([home().name, peer().name].sort());
    const first = await syncRooms(alice(), since);
    expect(Object.keys(first.rooms?.invite ?? {})).toEqual([room.roomId]);
    expect((await put(room, event)).status).toBe(200);
    expect((await syncRooms(alice(), first.next_batch)).rooms?.invite).toBeUndefined();
  });

  test('of version 1 come with their state inside', async () => {
    const { room, event } = invitation('1');
    const unsigned = {
      invite_room_state: [{ type: 'm.room.name', state_key: '', sender: room.creator, content: { name: 'Old' } }],
    };
    const uri = `${v1}/invite/${enc(room.roomId)}/${enc(event.eventId)}`;
    const answer = await peer().ask(home(), 'PUT', uri, { ...event.pdu, unsigned });
    const [code, body] = answer.body as unknown as [number, { event: Pdu }];
    expect([code, Object.keys(body.event.signatures as JsonObject)]).toEqual([
      200,
      expect.arrayContaining([home().name]),
    ]);
    const { rooms } = await syncRooms(alice());
    const events = rooms?.invite?.[room.roomId]?.invite_state.events ?? [];
    expect(events.find(({ type }) => type === 'm.room.name')?.content.name).toBe('Old');
  });

  test('are looked at before they are signed', async () => {
    const { room, event } = invitation();
    expect(told(await put(room, event, { room_version: 'none' }))).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION']);
    expect(told(await put(room, event, { invite_room_state: [] }))).toEqual([400, 'M_MISSING_PARAM']);
    const other = SignedRoom.open('12', peer().user('other'));
    expect(told(await put(room, event, { invite_room_state: [create(room), create(other)] }))).toEqual([
      400,
      'M_INVALID_PARAM',
    ]);
    const stranger = invitation();
    const elsewhere = stranger.room.say({
      ...{ type: 'm.room.member', sender: stranger.room.creator, stateKey: '@x:elsewhere.example' },
      content: { membership: 'invite' },
    });
    expect(told(await put(stranger.room, elsewhere))).toEqual([400, 'M_INVALID_PARAM']);
    const join = room.events.find(({ type }) => type === 'm.room.member');
    if (join === undefined) throw new Error('no join');
    expect(told(await put(room, join))).toEqual([400, 'M_INVALID_PARAM']);
    const forged = {
      ...event,
      pdu: { ...event.pdu, signatures: { [peer().name]: { 'ed25519:test': 'a'.repeat(86) } } },
    };
    expect(told(await put(room, forged))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('end when who sent them takes them back, and not for anybody else', async () => {
    const { room, event } = invitation();
    expect((await put(room, event)).status).toBe(200);
    const { next_batch: since } = await syncRooms(alice());
    const transaction = (pdu: Pdu): Promise<Answer> =>
      peer().ask(home(), 'PUT', `${v1}/send/t${visitors++}`, {
        ...{ origin: peer().name, origin_server_ts: Date.now(), edus: [] },
        pdus: [pdu],
      });
    const draft = { type: 'm.room.member', stateKey: alice().userId, content: { membership: 'leave' } };
    const other = peer().user('moderator');
    const byOther = room.make({ ...draft, sender: room.creator });
    await transaction({ ...byOther.pdu, sender: other });
    expect((await syncRooms(alice(), since)).rooms?.leave).toBeUndefined();
    await transaction(room.say({ ...draft, sender: room.creator }).pdu);
    const left = await syncRooms(alice(), since);
    expect(Object.keys(left.rooms?.leave ?? {})).toEqual([room.roomId]);
    expect(Object.keys((await syncRooms(alice())).rooms?.invite ?? {})).not.toContain(room.roomId);
    expect((await syncRooms(alice(), left.next_batch)).rooms?.leave).toBeUndefined();
  });
});
