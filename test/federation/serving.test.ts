/** What other servers may read of our rooms (S-S API v1.19; INVARIANTS 12, 17, 20). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { user } from '../support/room-core.ts';
import { startServing, type Serving } from '../support/serving.ts';

const alice = '@alice:us.test';
const remote = '@rita:them.test';
const them = 'them.test';

let serving: Serving;
beforeAll(async () => {
  serving = await startServing();
});
afterAll(async () => {
  await serving[Symbol.asyncDispose]();
});

const id = encodeURIComponent;
const say = (room: Room, body: string, sender = alice): Promise<StoredEvent> =>
  serving.rooms.send(room, { type: 'm.room.message', sender, content: { msgtype: 'm.text', body } });
const setVisibility = (room: Room, visibility: string): Promise<StoredEvent> =>
  serving.rooms.send(room, {
    type: 'm.room.history_visibility',
    stateKey: '',
    sender: alice,
    content: { history_visibility: visibility },
  });
/** A room with a message of before and one of after the other server's join. */
async function sharedRoom(visibility = 'shared', version = '12') {
  const room = await serving.rooms.openRoom(alice, version);
  await setVisibility(room, visibility);
  const early = await say(room, 'early');
  const join = await serving.rooms.join(room, remote);
  const late = await say(room, 'late');
  return { room, early, join, late };
}
const bodyOf = (pdu: { content: { body?: string } }): string | undefined => pdu.content.body;
const single = async (origin: string, event: StoredEvent) => {
  const { status, json } = await serving.ask(origin, `/event/${id(event.eventId)}`);
  return { status, pdu: json?.pdus?.[0], json };
};

describe('one event', () => {
  test('comes as the PDU that was signed, in a transaction of ours', async () => {
    const { late } = await sharedRoom();
    const { status, json, pdu } = await single(them, late);
    expect(status).toBe(200);
    expect(json).toMatchObject({ origin: 'us.test', origin_server_ts: expect.any(Number) });
    expect(pdu).toMatchObject({ content: { body: 'late' }, hashes: expect.anything(), signatures: expect.anything() });
  });

  test('is kept from servers that are not in the room, known or not', async () => {
    const { late } = await sharedRoom();
    expect((await single('stranger.test', late)).status).toBe(403);
    expect((await serving.ask(them, `/event/${id('$nowhere')}`)).json.errcode).toBe('M_NOT_FOUND');
  });

  test.each([
    ['world_readable', 'early'],
    ['shared', 'early'],
    ['invited', undefined],
    ['joined', undefined],
  ])('of before the server joined is redacted where the history is not for it: %s', async (visibility, expected) => {
    const { early, late } = await sharedRoom(visibility);
    expect(bodyOf((await single(them, early)).pdu)).toBe(expected);
    expect(bodyOf((await single(them, late)).pdu)).toBe('late');
  });

  test('is told whole to a server whose user was invited, when the room says so', async () => {
    const room = await serving.rooms.openRoom(alice);
    await setVisibility(room, 'invited');
    await serving.rooms.send(room, {
      type: 'm.room.member',
      stateKey: remote,
      sender: alice,
      content: { membership: 'invite' },
    });
    const early = await say(room, 'early');
    await serving.rooms.join(room, remote);
    expect(bodyOf((await single(them, early)).pdu)).toBe('early');
  });

  test('that sets state in force is told whole: whoever joins gets it anyway', async () => {
    const room = await serving.rooms.openRoom(alice);
    await setVisibility(room, 'joined');
    const name = (text: string) =>
      serving.rooms.send(room, { type: 'm.room.name', stateKey: '', sender: alice, content: { name: text } });
    const [first, second] = [await name('one'), await name('two')];
    await serving.rooms.join(room, remote);
    expect((await single(them, second)).pdu.content).toEqual({ name: 'two' });
    expect((await single(them, first)).pdu.content).toEqual({});
  });

  test('of an erased sender comes redacted', async () => {
    const room = await serving.rooms.openRoom(alice);
    const gone = '@gone:us.test';
    await serving.rooms.join(room, gone);
    await serving.rooms.join(room, remote);
    const event = await say(room, 'forget me', gone);
    expect(bodyOf((await single(them, event)).pdu)).toBe('forget me');
    await serving.rooms.db.write((tx) => serving.rooms.core.eraseSender(tx, user(gone)));
    expect((await single(them, event)).pdu.content).toEqual({});
  });

  test('that was redacted comes redacted', async () => {
    const { room, late } = await sharedRoom();
    const content = { redacts: late.eventId };
    await serving.rooms.send(room, { type: 'm.room.redaction', sender: alice, content, redacts: late.eventId });
    expect((await single(them, late)).pdu.content).toEqual({});
  });
});

describe('server access control lists', () => {
  test('bar a server from every read of the room', async () => {
    const { room, late } = await sharedRoom();
    const paths = [
      `/event/${id(late.eventId)}`,
      `/state/${id(room.roomId)}?event_id=${id(late.eventId)}`,
      `/state_ids/${id(room.roomId)}?event_id=${id(late.eventId)}`,
      `/event_auth/${id(room.roomId)}/${id(late.eventId)}`,
      `/backfill/${id(room.roomId)}?v=${id(late.eventId)}&limit=10`,
      `/timestamp_to_event/${id(room.roomId)}?ts=0&dir=f`,
    ];
    for (const path of paths) expect((await serving.ask(them, path)).status).toBe(200);
    expect((await serving.ask(them, `/get_missing_events/${id(room.roomId)}`, {})).status).toBe(200);
    const content = { allow: ['*'], deny: ['THEM.test'] };
    await serving.rooms.send(room, { type: 'm.room.server_acl', stateKey: '', sender: alice, content });
    for (const path of paths) {
      expect((await serving.ask(them, path)).json).toMatchObject({ errcode: 'M_FORBIDDEN' });
    }
    const barred = await serving.ask(them, `/get_missing_events/${id(room.roomId)}`, {});
    expect([barred.status, barred.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('states and auth chains', () => {
  test('are those before the event, with every auth event once', async () => {
    const { room, join, late } = await sharedRoom();
    const state = (event: StoredEvent, endpoint: string) =>
      serving.ask(them, `/${endpoint}/${id(room.roomId)}?event_id=${id(event.eventId)}`);
    const beforeJoin = (await state(join, 'state_ids')).json;
    expect(beforeJoin.pdu_ids).not.toContain(join.eventId);
    const afterJoin = (await state(late, 'state_ids')).json;
    expect(afterJoin.pdu_ids).toContain(join.eventId);
    expect(new Set(afterJoin.auth_chain_ids).size).toBe(afterJoin.auth_chain_ids.length);
    const whole = (await state(late, 'state')).json;
    expect(whole.pdus).toHaveLength(afterJoin.pdu_ids.length);
    expect(whole.auth_chain).toHaveLength(afterJoin.auth_chain_ids.length);
    expect(whole.auth_chain[0].type).toBe('m.room.create');
  });

  test('need an event id, whatever the room is called', async () => {
    expect((await serving.ask(them, '/state/nonsense')).status).toBe(400);
    expect((await serving.ask(them, '/state_ids/nonsense')).status).toBe(400);
  });

  test('are not told for events of other rooms or unknown ones', async () => {
    const [one, other] = [await sharedRoom(), await sharedRoom()];
    for (const event of [other.late.eventId, '$nowhere']) {
      const { json } = await serving.ask(them, `/state/${id(one.room.roomId)}?event_id=${id(event)}`);
      expect(json.errcode).toBe('M_NOT_FOUND');
    }
  });

  test('of one event hold its auth events and theirs, the create event too', async () => {
    const { room, late } = await sharedRoom();
    const { json } = await serving.ask(them, `/event_auth/${id(room.roomId)}/${id(late.eventId)}`);
    expect(json.auth_chain.map(({ type }: { type: string }) => type)).toEqual([
      'm.room.create',
      'm.room.member',
      'm.room.power_levels',
    ]);
  });
});

describe('history', () => {
  test.each(['1', '12'])('is told from an event backwards, that event first (room version %s)', async (version) => {
    const { room, early, join, late } = await sharedRoom('shared', version);
    const { json } = await serving.ask(them, `/backfill/${id(room.roomId)}?v=${id(late.eventId)}&limit=3`);
    const texts = json.pdus.map((pdu: { content: unknown }) => pdu.content);
    expect(texts).toMatchObject([{ body: 'late' }, { membership: 'join' }, { body: 'early' }]);
    const all = (
      await serving.ask(them, `/backfill/${id(room.roomId)}?v=${id(join.eventId)}&v=${id(early.eventId)}&limit=500`)
    ).json.pdus;
    expect(all.at(-1).type).toBe('m.room.create');
    expect(all).toHaveLength(join.depth);
  });

  test('of another room is not told through this one', async () => {
    const [one, other] = [await sharedRoom(), await sharedRoom()];
    const { json } = await serving.ask(them, `/backfill/${id(one.room.roomId)}?v=${id(other.late.eventId)}&limit=1`);
    expect(json.pdus).toEqual([]);
  });

  test('asks for its parameters', async () => {
    const { room } = await sharedRoom();
    expect((await serving.ask(them, `/backfill/${id(room.roomId)}?limit=1`)).status).toBe(400);
  });

  test.each(['world_readable', 'shared', 'invited', 'joined'])(
    'between two events comes oldest first, redacted where it is not for the server: %s',
    async (visibility) => {
      const { room, join } = await sharedRoom(visibility);
      const create = serving.rooms.read((snapshot) =>
        serving.rooms.core.currentEvent(snapshot, room.nid, 'm.room.create', ''),
      );
      const { json } = await serving.ask(them, `/get_missing_events/${id(room.roomId)}`, {
        earliest_events: [create?.eventId],
        latest_events: [join.eventId],
        limit: 10,
        min_depth: 1,
      });
      const types = json.events.map(({ type }: { type: string }) => type);
      expect(types.slice(0, 3)).toEqual(['m.room.member', 'm.room.power_levels', 'm.room.join_rules']);
      expect(types.at(-1)).toBe('m.room.message');
      const open = visibility === 'world_readable' || visibility === 'shared';
      expect(bodyOf(json.events.at(-1))).toBe(open ? 'early' : undefined);
    },
  );

  test('between two events stops at the limit and the depth', async () => {
    const { room, join, early } = await sharedRoom();
    const ask = (more: object) =>
      serving.ask(them, `/get_missing_events/${id(room.roomId)}`, {
        earliest_events: [],
        latest_events: [join.eventId],
        ...more,
      });
    expect((await ask({ limit: 1 })).json.events).toHaveLength(1);
    expect((await ask({ min_depth: early.depth })).json.events).toHaveLength(1);
    expect((await ask({})).json.events).toHaveLength(join.depth - 1);
  });

  test('by time gives the nearest event that the server may see', async () => {
    const { room, early, late } = await sharedRoom('joined');
    const at = async (ts: number, dir: string) =>
      (await serving.ask(them, `/timestamp_to_event/${id(room.roomId)}?ts=${ts}&dir=${dir}`)).json;
    expect(await at(late.originServerTs + 5, 'b')).toEqual({
      event_id: late.eventId,
      origin_server_ts: late.originServerTs,
    });
    expect((await at(early.originServerTs, 'f')).event_id).not.toBe(early.eventId);
    expect((await at(late.originServerTs + 1e6, 'f')).errcode).toBe('M_NOT_FOUND');
  });
});

describe('events that were refused', () => {
  test('are never told, and the walk goes on behind them; soft-failed ones are told', async () => {
    const built = SignedRoom.open('10', '@owner:them.test');
    built.join('@walter:them.test');
    const base = built.message('@owner:them.test', 'base');
    const rejected = built.make({
      type: 'm.room.name',
      stateKey: '',
      sender: '@walter:them.test',
      content: { name: 'x' },
    });
    built.receive(rejected);
    const child = built.message('@owner:them.test', 'child', [rejected.eventId]);
    const { core } = serving.rooms;
    const verdicts = await core.input(child.roomId, built.events, 'live');
    expect(verdicts.get(rejected.eventId)?.kind).toBe('rejected');
    const room = id(child.roomId);
    const { json } = await serving.ask(them, `/backfill/${room}?v=${id(child.eventId)}&limit=2`);
    expect(json.pdus.map(bodyOf)).toEqual(['child', 'base']);
    expect((await serving.ask(them, `/event/${id(rejected.eventId)}`)).status).toBe(404);
    expect((await serving.ask(them, `/state/${room}?event_id=${id(rejected.eventId)}`)).status).toBe(404);
    expect((await serving.ask(them, `/event_auth/${room}/${id(rejected.eventId)}`)).status).toBe(404);
    expect(base.depth).toBeLessThan(child.depth);
  });
});
