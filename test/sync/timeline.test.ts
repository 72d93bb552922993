/** Timelines and the state beside them. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventOn, fork } from '../support/fork.ts';
import { bodies, keysOf, openTestSync, type TestSync } from '../support/sync.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
let server: TestSync;
beforeEach(() => {
  server = openTestSync();
});
afterEach(async () => server[Symbol.asyncDispose]());

describe('timeline and state', () => {
  test('an initial sync carries the newest events and the state before them', async () => {
    const room = await server.rooms.openRoom(alice);
    for (let index = 0; index < 12; index += 1) await server.say(room, alice, `${index}`);
    const { rooms, next_batch: next } = await server.sync(alice);
    const joined = rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['2', '3', '4', '5', '6', '7', '8', '9', '10', '11']);
    expect(joined?.timeline.limited).toBe(true);
    expect(keysOf(joined?.state)).toEqual([
      'm.room.create|',
      'm.room.join_rules|',
      `m.room.member|${alice}`,
      'm.room.power_levels|',
    ]);
    await server.say(room, alice, 'news');
    const later = await server.sync(alice, { since: next });
    expect(bodies(later.rooms?.join?.[room.roomId])).toEqual(['news']);
    expect(later.rooms?.join?.[room.roomId]?.state?.events).toEqual([]);
    expect((await server.sync(alice, { since: later.next_batch })).rooms).toBeUndefined();
  });

  /** [A, B, C, D, 1, 2, 3, D', 4, D'', 5, B', D''', D'''', 6], indexes 1 to 15, as in the room that the seed describes. */
  const workedExample = async () => {
    const room = await server.rooms.openRoom(alice);
    const tokens = [(await server.sync(alice)).next_batch];
    const ids: string[] = [];
    for (const step of ['A', 'B', 'C', 'D', '1', '2', '3', "D'", '4', "D''", '5', "B'", "D'''", "D''''", '6']) {
      const isState = /^[A-D]/.test(step);
      const content = { value: step };
      ids.push(await (isState ? server.state(room, alice, step.charAt(0), content) : server.say(room, alice, step)));
      tokens.push((await server.sync(alice, { since: tokens.at(-1) ?? '' })).next_batch);
    }
    const at = async (index: number, more = {}) => {
      const since = tokens[index] ?? '';
      const filter = { room: { timeline: { limit: 5 } } };
      const body = await server.sync(alice, { since, filter, ...more });
      return body.rooms?.join?.[room.roomId];
    };
    const indexes = (events: { event_id: string }[] | undefined): number[] =>
      (events ?? []).map(({ event_id: id }) => ids.indexOf(id) + 1);
    return { at, indexes, room };
  };

  test('the worked example: since=14 gives one timeline event and no state', async () => {
    const { at, indexes } = await workedExample();
    const joined = await at(14);
    expect(indexes(joined?.timeline.events)).toEqual([15]);
    expect(joined?.timeline.limited).toBe(false);
    expect(joined?.state?.events).toEqual([]);
  });

  test("the worked example: since=9 gives five timeline events and D'' as state before them", async () => {
    const { at, indexes } = await workedExample();
    const joined = await at(9);
    expect(indexes(joined?.timeline.events)).toEqual([11, 12, 13, 14, 15]);
    expect(indexes(joined?.state?.events)).toEqual([10]);
    expect(joined?.timeline.limited).toBe(true);
    const whole = await at(9, { fullState: true });
    expect(indexes(whole?.timeline.events)).toEqual([11, 12, 13, 14, 15]);
    expect(
      indexes(whole?.state?.events)
        .filter((index) => index > 0)
        .sort((a, b) => a - b),
    ).toEqual([1, 2, 3, 10]);
    const after = await at(9, { stateAfter: 'state_after' });
    expect(indexes(after?.state_after?.events).sort((a, b) => a - b)).toEqual([12, 14]);
  });

  test('large state deltas put the state at the start of the timeline', async () => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    for (let index = 0; index < 150; index += 1) await server.state(room, alice, 'x', { index }, `${index % 50}`);
    const joined = (await server.sync(alice, { since })).rooms?.join?.[room.roomId];
    expect(joined?.timeline.events.map(({ content }) => content['index'])).toEqual([
      140, 141, 142, 143, 144, 145, 146, 147, 148, 149,
    ]);
    expect(joined?.timeline.limited).toBe(true);
    // Ten keys stand in the timeline; before it they had the values of the round before.
    const before = new Map(joined?.state?.events.map((event) => [event.state_key, event.content['index']]));
    expect(before.size).toBe(50);
    expect([before.get('40'), before.get('49'), before.get('39')]).toEqual([90, 99, 139]);
  });

  test('state_after is answered under the name asked, at the end of the timeline, and state is left out', async () => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    await server.state(room, alice, 'm.room.topic', { topic: 'one' });
    await server.state(room, alice, 'm.room.topic', { topic: 'two' });
    for (const stateAfter of ['state_after', 'org.matrix.msc4222.state_after'] as const) {
      const joined = (await server.sync(alice, { since, stateAfter })).rooms?.join?.[room.roomId];
      expect(joined).not.toHaveProperty('state');
      expect(joined?.[stateAfter]?.events.map(({ content }) => content['topic'])).toEqual(['two']);
      expect(joined?.timeline.events).toHaveLength(2);
    }
    const body = await server.sync(alice, {
      since,
      stateAfter: 'state_after',
      filter: { room: { state: { types: [] } } },
    });
    expect(body.rooms?.join?.[room.roomId]?.state_after).toEqual({ events: [] });
  });

  test('forked rooms give the right current state', async () => {
    const room = await server.rooms.openRoom(alice);
    const base = await server.say(room, alice, 'base');
    const { next_batch: since } = await server.sync(alice);
    // Two topics side by side: of these the resolution takes one, whichever comes last in the timeline.
    const one = await server.state(room, alice, 'm.room.topic', { topic: 'one' });
    const verdict = await fork(server.rooms, room, base, {
      type: 'm.room.topic',
      stateKey: '',
      sender: alice,
      content: { topic: 'two' },
    });
    expect(verdict.kind).toBe('accepted');
    const current = server.rooms.read((db) => server.rooms.core.currentEvent(db, room.nid, 'm.room.topic', ''));
    const after = (await server.sync(alice, { since, stateAfter: 'state_after' })).rooms?.join?.[room.roomId];
    expect(after?.timeline.events.map(({ event_id: id }) => id)).toContain(one);
    expect(after?.timeline.events).toHaveLength(2);
    expect(after?.state_after?.events.map(({ event_id: id }) => id)).toEqual([current?.eventId]);
  });

  test('a state key overtaken by an event outside the timeline is told in state', async () => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    await server.say(room, alice, 'hello');
    await server.state(room, alice, 'm.room.topic', { topic: 'unfiltered' });
    const filter = { room: { timeline: { types: ['m.room.message'] } } };
    const joined = (await server.sync(alice, { since, filter })).rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['hello']);
    expect(keysOf(joined?.state)).toEqual(['m.room.topic|']);
  });

  test('a timeline starts behind a gap and is limited', async () => {
    const room = await server.rooms.openRoom(alice);
    const base = await server.say(room, alice, 'base');
    const { next_batch: since } = await server.sync(alice);
    await server.say(room, alice, 'before');
    const said = (body: string) => ({ type: 'm.room.message', sender: alice, content: { body } });
    const missing = eventOn(server.rooms, room, base, said('missing'));
    const behind = eventOn(server.rooms, room, base, said('behind'), missing.eventId);
    const state = server.rooms.read((db) =>
      server.rooms.core
        .currentState(db, room.nid)
        .flatMap(({ event }) => server.rooms.core.event(db, event)?.eventId ?? []),
    );
    const options = { stateBefore: new Map([[behind.eventId, state]]) };
    const verdicts = await server.rooms.core.input(room.roomId, [behind], 'live', options);
    expect(verdicts.get(behind.eventId)?.kind).toBe('accepted');
    await server.say(room, alice, 'after');
    const joined = (await server.sync(alice, { since })).rooms?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['behind', 'after']);
    expect(joined?.timeline.limited).toBe(true);
  });

  test('redacted events are served redacted', async () => {
    const room = await server.rooms.openRoom(alice);
    const { next_batch: since } = await server.sync(alice);
    const id = await server.say(room, alice, 'secret');
    await server.rooms.send(room, {
      type: 'm.room.redaction',
      sender: alice,
      redacts: id as never,
      content: { reason: 'slip' },
    });
    const [message, redaction] =
      (await server.sync(alice, { since })).rooms?.join?.[room.roomId]?.timeline.events ?? [];
    expect(message?.content).toEqual({});
    expect(message?.unsigned?.['redacted_because']).toMatchObject({ event_id: redaction?.event_id });
    expect(redaction).toMatchObject({ type: 'm.room.redaction', redacts: id });
  });

  test('history visibility is honoured', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.say(room, alice, 'shared before');
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    await server.say(room, alice, 'hidden');
    await server.rooms.join(room, bob);
    await server.say(room, alice, 'seen');
    const joined = (await server.sync(bob, { filter: { room: { timeline: { types: ['m.room.message'] } } } })).rooms
      ?.join?.[room.roomId];
    expect(bodies(joined)).toEqual(['shared before', 'seen']);
    expect(joined?.timeline.limited).toBe(false);
  });

  test('what became the state while the user was away stands in its place in the timeline', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    await server.state(room, alice, 'm.room.history_visibility', { history_visibility: 'joined' });
    const { next_batch: since } = await server.sync(bob);
    await server.member(room, bob, bob, 'leave');
    await server.state(room, alice, 'm.room.topic', { topic: 'overtaken' });
    await server.say(room, alice, 'hidden');
    await server.state(room, alice, 'm.room.topic', { topic: 'lasting' });
    await server.rooms.join(room, bob);
    const { rooms } = await server.sync(bob, { since });
    const events = rooms?.join?.[room.roomId]?.timeline.events ?? [];
    expect(events.map(({ content }) => content['body'] ?? content['topic']).filter(Boolean)).toEqual(['lasting']);
    expect(events.at(-1)).toMatchObject({ type: 'm.room.member', state_key: bob });
  });

  test('unsigned carries membership, age, prev_content, replaces_state and, to its device, the transaction id', async () => {
    const room = await server.rooms.openRoom(alice);
    await server.rooms.join(room, bob);
    const first = await server.state(room, alice, 'm.room.topic', { topic: 'one' });
    const tokens = [(await server.sync(alice)).next_batch, (await server.sync(bob)).next_batch];
    await server.state(room, alice, 'm.room.topic', { topic: 'two' });
    await server.write((tx) =>
      server.rooms.core.send(
        tx,
        room,
        { type: 'm.room.message', sender: alice as never, content: { body: 'hi' } },
        { deviceId: 'DEVICE', transactionId: 'txn1' },
      ),
    );
    const events = async (who: string, since = '', device = 'DEVICE') =>
      (await server.sync(who, { since, device })).rooms?.join?.[room.roomId]?.timeline.events ?? [];
    const [topic, message] = await events(alice, tokens[0]);
    expect(topic?.unsigned).toMatchObject({
      membership: 'join',
      age: expect.any(Number),
      prev_content: { topic: 'one' },
      replaces_state: first,
    });
    expect(message?.unsigned).toMatchObject({ membership: 'join', transaction_id: 'txn1' });
    expect((await events(alice, tokens[0], 'OTHER'))[1]?.unsigned).not.toHaveProperty('transaction_id');
    expect((await events(bob, tokens[1]))[1]?.unsigned).not.toHaveProperty('transaction_id');
  });

  test('events carry their bundled aggregations', async () => {
    const room = await server.rooms.openRoom(alice);
    const root = await server.say(room, alice, 'root');
    await server.say(room, alice, 'reply', { 'm.relates_to': { rel_type: 'm.thread', event_id: root } });
    const events = (await server.sync(alice)).rooms?.join?.[room.roomId]?.timeline.events ?? [];
    const shown = events.find(({ event_id: id }) => id === root);
    expect(shown?.unsigned?.['m.relations']).toMatchObject({
      'm.thread': { count: 1, current_user_participated: true, latest_event: { content: { body: 'reply' } } },
    });
  });
});
