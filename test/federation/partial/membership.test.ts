/** Coming into rooms whose members are not known yet (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, jest, test } from '@jest/globals';
import {
  membershipIn,
  eventually,
  holdsEvent,
  isIn,
  isSettled,
  lazySync,
  sync,
  syncUntil,
} from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';
import { changeBy, joinBy } from '../../support/rooms-between.ts';

const stage = usePartialStage();

describe('while its members are unknown', () => {
  test('CanSendEventsDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const { event_id: eventId } = (await alice.send(room.id, 't1', 'Hello')).body;
    await eventually(
      () => stage.resident.pdus.some((event) => event.eventId === eventId),
      (came) => came,
    );
    // What it cites is known to who has the whole state.
    expect(room.room.isRejected(String(eventId))).toBe(false);
    await stage.whole(alice, room);
    expect(await stage.eventStatus(alice, room, String(eventId))).toBe(200);
  });

  test('Can change display name during partial state join', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    await alice.must('PUT', `/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/displayname`, {
      displayname: 'Al',
    });
    await syncUntil(alice, since, (answer) =>
      (answer.rooms?.join?.[room.id]?.timeline.events ?? []).some(({ content }) => content.displayname === 'Al'),
    );
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
  });

  test('CanFastJoinDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const bob = await stage.user('bob');
    const { next_batch: since } = await lazySync(alice);
    await stage.join(bob, room);
    // The resident has judged it, with its whole state.
    expect(room.current('m.room.member', bob.userId).content.membership).toBe('join');
    await syncUntil(alice, since, (answer) => membershipIn(answer, 'join', room, bob.userId) === 'join');
    expect(membershipIn(await lazySync(bob), 'join', room, bob.userId)).toBe('join');
    expect(isIn(await sync(bob), room)).toBe(false);
    const joined = await stage.whole(bob, room);
    expect(Object.keys(joined)).toEqual(expect.arrayContaining([alice.userId, bob.userId, room.creator]));
  });

  test('a second user whom the resident keeps out is told so', async () => {
    const { alice, room } = await stage.joined();
    const bob = await stage.user('bob');
    room.member(bob.userId, 'ban', room.creator);
    const { status, body } = await joinBy(bob, room.id, [stage.resident.name]);
    expect([status, body.errcode]).not.toEqual([200, undefined]);
    expect(isIn(await lazySync(bob), room)).toBe(false);
    await stage.whole(alice, room);
  });

  test('a second user brings neither another first list of servers nor an end to the resync', async () => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    const bob = await stage.user('bob');
    room.servers = [];
    await stage.join(bob, room);
    expect((await bob.send(room.id, 't2', 'from bob')).status).toBe(200);
    await eventually(
      () => stage.resident.pdus.some(({ content }) => content.body === 'from bob'),
      (came) => came,
    );
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
    expect(isIn(await sync(bob), room)).toBe(true);
  });

  test('invites, kicks, bans and unbans of users that nobody knows are made at once', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    const levels = { users: { [alice.userId]: 100 }, invite: 0 };
    room.room.say({ type: 'm.room.power_levels', stateKey: '', sender: room.creator, content: levels });
    await stage.join(alice, room);
    const bob = await stage.user('bob');
    const { derek } = stage;
    for (const [action, user] of [
      ['invite', bob.userId],
      ['ban', derek],
      ['unban', derek],
      ['ban', '@stranger:elsewhere.example'],
    ] as const) {
      const { status, body } = await changeBy(alice, room.id, action, { user_id: user });
      expect([action, status, body]).toEqual([action, 200, {}]);
    }
    expect(isIn(await sync(alice), room)).toBe(false);
    expect(await stage.whole(alice, room)).not.toHaveProperty([derek]);
  });
});

describe('other servers that want to be let in', () => {
  /** A request that only a server with the whole state can answer. */
  async function asks(method: string, endpoint: string, version = 'v1'): Promise<void> {
    const { alice, room } = await stage.joined();
    const elsie = stage.second.user('elsie');
    const name = endpoint.replace(/^(make|send)_/, '');
    const content = { membership: name };
    const event = room.room.make({ type: 'm.room.member', stateKey: elsie, sender: elsie, content });
    const last = method === 'PUT' ? event.eventId : elsie;
    const uri = `/_matrix/federation/${version}/${endpoint}/${encodeURIComponent(room.id)}/${encodeURIComponent(last)}`;
    const answer = await stage.second.ask(
      stage.server,
      method,
      method === 'GET' ? `${uri}?ver=12` : uri,
      method === 'PUT' ? event.pdu : undefined,
    );
    expect([answer.status, answer.body.errcode]).toEqual([404, 'M_NOT_FOUND']);
    await stage.whole(alice, room);
  }

  test('Rejects make_join during partial join', () => asks('GET', 'make_join'));
  test('Rejects send_join during partial join', () => asks('PUT', 'send_join', 'v2'));
  test('Rejects make_knock during partial join', () => asks('GET', 'make_knock'));
  test('Rejects send_knock during partial join', () => asks('PUT', 'send_knock'));

  test('wait for the state while it is not known, and are told why they do not get it', async () => {
    const { alice, room } = await stage.joined();
    const { event_id: eventId } = (await alice.send(room.id, 't1', 'Hello')).body;
    const ask = (endpoint: string) =>
      stage.resident.ask(
        stage.server,
        'GET',
        `/_matrix/federation/v1/${endpoint}/${encodeURIComponent(room.id)}?event_id=${encodeURIComponent(String(eventId))}`,
      );
    // Nobody has to wait as long as in earnest.
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    const shortened = jest.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout(ms === 15_000 ? 200 : ms));
    try {
      for (const { status, body } of await Promise.all([ask('state'), ask('state_ids')])) {
        expect([status, body.errcode]).toEqual([403, 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE']);
      }
    } finally {
      shortened.mockRestore();
    }
    const waiting = ask('state_ids');
    expect(await isSettled(waiting)).toBe(false);
    room.release();
    expect((await waiting).status).toBe(200);
  });
});

describe('a join at a resident that omits no members', () => {
  test('is a whole one from the start', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.omits = false;
    await stage.join(alice, room);
    expect(isIn(await sync(alice), room)).toBe(true);
    expect(room.asked).toEqual([]);
    const said = room.room.message(stage.derek, 'hi');
    await stage.send(said);
    await syncUntil(alice, undefined, (answer) => holdsEvent(answer, room, said.eventId), {});
  });

  test('heroes that come along name a room without a name', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.heroes = [stage.derek];
    await stage.join(alice, room);
    const { summary } = (await lazySync(alice)).rooms?.join?.[room.id] ?? {};
    expect(summary?.['m.heroes']).toContain(stage.derek);
    await stage.whole(alice, room);
    const whole = (await lazySync(alice)).rooms?.join?.[room.id]?.summary;
    expect(whole).toMatchObject({ 'm.joined_member_count': 3 });
  });
});
