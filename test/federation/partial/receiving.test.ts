/** Events that come for a room whose members are not known yet, and what becomes of their verdicts (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { RoomEvent } from '../../../src/matrix/pdu.ts';
import type { Client } from '../../support/client.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import {
  citing,
  eventually,
  holdsEvent,
  isIn,
  keysOf,
  lazySync,
  sync,
  syncUntil,
} from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();

/** A message that is not in the resident's own picture of the room, on events of the test's choice. */
function messageOn(room: ResidentRoom, prev: readonly string[], body = 'on'): RoomEvent {
  return room.room.message(stage.derek, body, prev);
}

/** The event arrives while the room is partial, and is still there when it is whole. */
async function receives(alice: Client, room: ResidentRoom, event: RoomEvent): Promise<void> {
  await stage.arrived(alice, room, event.eventId);
  expect(isIn(await sync(alice), room)).toBe(false);
  const state = Object.keys(await stage.whole(alice, room));
  expect(state.sort()).toEqual([room.creator, stage.derek, alice.userId].sort());
  expect(await stage.eventStatus(alice, room, event.eventId)).toBe(200);
  expect(isIn(await sync(alice), room)).toBe(true);
}

describe('events', () => {
  test('CanReceiveEventsDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const said = room.room.message(stage.derek, 'hi');
    await stage.send(said);
    await receives(alice, room, said);
  });

  test('CanReceiveEventsWithMissingParentsDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const parent = room.room.message(stage.derek, 'A');
    const child = messageOn(room, [parent.eventId], 'B');
    await stage.send(child);
    await receives(alice, room, child);
    expect(await stage.eventStatus(alice, room, parent.eventId)).toBe(200);
  });

  test('CanReceiveEventsWithHalfMissingParentsDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const join = room.current('m.room.member', alice.userId);
    const parent = room.room.message(stage.derek, 'A');
    const child = messageOn(room, [join.eventId, parent.eventId], 'B');
    await stage.send(child);
    await receives(alice, room, child);
  });

  test('CanReceiveEventsWithHalfMissingGrandparentsDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const join = room.current('m.room.member', alice.userId);
    const first = room.room.message(stage.derek, 'A');
    const second = messageOn(room, [join.eventId, first.eventId], 'B');
    const third = messageOn(room, [second.eventId], 'C');
    // Only the middle one is given; the state at the gap behind it is told at once.
    stage.resident.peer.scripts.set('get_missing_events', (request) =>
      request.body.includes(third.eventId) ? { events: [second.pdu] } : undefined,
    );
    const hold = room.beforeState.bind(room);
    room.beforeState = async (eventId) => (eventId === first.eventId ? undefined : hold(eventId));
    try {
      await stage.send(third);
      await receives(alice, room, third);
    } finally {
      stage.resident.peer.scripts.delete('get_missing_events');
    }
  });

  test('Resync completes even when events arrive before their prev_events', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    const charlie = room.creator;
    const late = room.room.message(charlie, 'late');
    const states = Array.from({ length: 60 }, (_, index) =>
      room.room.say({ type: 'outlier_state', stateKey: `state_${index}`, sender: charlie, content: { index } }),
    );
    const first = room.room.message(charlie, 'one');
    const second = room.room.message(charlie, 'two');
    // The gap is not filled: the states are had as parts of a state only.
    stage.resident.peer.scripts.set('get_missing_events', (request) =>
      request.body.includes(second.eventId) ? { events: [first.pdu] } : { events: [] },
    );
    const hold = room.beforeState.bind(room);
    room.beforeState = async (eventId) => (eventId === states.at(-1)?.eventId ? undefined : hold(eventId));
    try {
      await stage.send(second);
      await syncUntil(alice, since, (got) => holdsEvent(got, room, second.eventId));
      await stage.send(late);
      await stage.send(...states.slice(0, 50));
      await stage.send(...states.slice(50));
      for (const state of states) await stage.arrived(alice, room, state.eventId);
      await stage.whole(alice, room);
    } finally {
      stage.resident.peer.scripts.delete('get_missing_events');
    }
    const { body } = await alice.ask('GET', `${room.path}/state`);
    const keys = keysOf(body as never);
    for (const { stateKey } of states) expect(keys).toContain(`outlier_state|${stateKey}`);
    expect(isIn(await sync(alice), room)).toBe(true);
  });
});

describe('verdicts', () => {
  test('Rejected events remain rejected after resync', async () => {
    const { alice, room } = await stage.joined();
    const bad = room.room.say({ type: 'm.room.test', stateKey: '', sender: stage.derek, content: { body: 'bad' } });
    const sentinel = room.room.message(room.creator, 'sentinel', [bad.eventId]);
    await stage.send(bad, sentinel);
    await stage.arrived(alice, room, sentinel.eventId);
    expect(await stage.eventStatus(alice, room, bad.eventId)).toBe(404);
    const next = room.room.message(room.creator, 'next');
    await stage.send(next);
    await receives(alice, room, next);
    expect(await stage.eventStatus(alice, room, bad.eventId)).toBe(404);
  });

  /** A room that derek, who may change its state, has left before alice joined; `elsie` is a member with some power. */
  async function leftBehind(): Promise<{ alice: Client; room: ResidentRoom; join: RoomEvent; elsie: string }> {
    const [alice, room] = [await stage.user(), stage.resident.openRoom({ derek: 100, elsie: 50 })];
    const elsie = stage.resident.user('elsie');
    const join = room.current('m.room.member', stage.derek);
    room.member(stage.derek, 'leave');
    room.room.join(elsie);
    await stage.join(alice, room);
    return { alice, room, join, elsie };
  }

  test('State accepted incorrectly', async () => {
    const { alice, room, join } = await leftBehind();
    const { next_batch: since } = await lazySync(alice, undefined, { stateAfter: true });
    const bad = room.room.say({
      ...{ type: 'm.room.test', stateKey: '', sender: stage.derek, content: { body: 'bad' } },
      auth: citing(room, join),
    });
    expect(room.room.isRejected(bad.eventId)).toBe(true);
    await stage.send(bad);
    const shown = await syncUntil(alice, since, (got) => holdsEvent(got, room, bad.eventId), {
      lazy: true,
      stateAfter: true,
    });
    const event = room.room.message(room.creator, 'next', [bad.eventId]);
    await stage.send(event);
    await stage.arrived(alice, room, event.eventId);
    await stage.whole(alice, room);
    expect(await stage.eventStatus(alice, room, bad.eventId)).toBe(404);
    expect((await alice.ask('GET', `${room.path}/state/m.room.test/`)).status).toBe(404);
    expect(holdsEvent(await lazySync(alice), room, bad.eventId)).toBe(false);
    // Nothing replaces it: the whole room is given anew to who has it in his state.
    const after = await lazySync(alice, shown.next_batch, { stateAfter: true });
    expect(JSON.stringify(after)).not.toContain(bad.eventId);
  });

  test('State rejected incorrectly', async () => {
    const { alice, room, join, elsie } = await leftBehind();
    const { next_batch: since } = await lazySync(alice, undefined, { stateAfter: true });
    const elsieJoin = room.current('m.room.member', elsie);
    const badKick = room.room.say({
      ...{ type: 'm.room.member', stateKey: elsie, sender: stage.derek, content: { membership: 'leave' } },
      auth: citing(room, join, elsieJoin),
    });
    expect(room.room.isRejected(badKick.eventId)).toBe(true);
    const state = room.room.say({
      ...{ type: 'm.room.test', stateKey: '', sender: elsie, content: { body: 'restored' } },
      ...{ auth: citing(room, elsieJoin), prev: [badKick.eventId] },
    });
    expect(room.room.isRejected(state.eventId)).toBe(false);
    const sentinel = room.room.message(room.creator, 'sentinel');
    await stage.send(badKick, state, sentinel);
    await stage.arrived(alice, room, badKick.eventId);
    await stage.arrived(alice, room, sentinel.eventId);
    expect(await stage.eventStatus(alice, room, state.eventId)).toBe(404);
    const during = await lazySync(alice, since, { stateAfter: true });
    await stage.whole(alice, room);
    expect(await stage.eventStatus(alice, room, badKick.eventId)).toBe(404);
    expect(await stage.eventStatus(alice, room, state.eventId)).toBe(200);
    expect((await alice.must('GET', `${room.path}/state/m.room.test/`)).body).toBe('restored');
    const told = await eventually(
      () => lazySync(alice, during.next_batch, { stateAfter: true }),
      (answer) => isIn(answer, room),
    );
    const { timeline, state_after: after } = told.rooms?.join?.[room.id] ?? {};
    expect(keysOf(after?.events ?? [])).toContain('m.room.test|');
    expect(JSON.stringify(timeline)).not.toContain(badKick.eventId);
    // And the old way: as state, or in the timeline that it enters now.
    const plain = (await lazySync(alice, during.next_batch)).rooms?.join?.[room.id];
    expect([...keysOf(plain?.state?.events), ...keysOf(plain?.timeline.events)]).toContain('m.room.test|');
    expect((await alice.must('GET', `${room.path}/joined_members`)).joined).toHaveProperty([elsie]);
  });
});
