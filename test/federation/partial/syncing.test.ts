/** What clients are shown of a room that was joined without its members (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { Client } from '../../support/client.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import {
  eventually,
  holdsEvent,
  isIn,
  isSettled,
  joinedRoom,
  keysOf,
  lazySync,
  sync,
  type Synced,
  syncUntil,
} from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();

const memberKeys = (room: ResidentRoom, ...more: string[]): string[] =>
  [room.creator, stage.derek, ...more].map((user) => `m.room.member|${user}`);
const stateKeys = (answer: Synced, room: ResidentRoom): string[] => keysOf(joinedRoom(answer, room).state?.events);

describe('an eager sync', () => {
  test('EagerInitialSyncDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    expect(isIn(await lazySync(alice), room)).toBe(true);
    expect(isIn(await sync(alice), room)).toBe(false);
    expect((await alice.send(room.id, 't1', 'Hello')).status).toBe(200);
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
    const whole = await sync(alice);
    expect(stateKeys(whole, room)).toEqual(expect.arrayContaining(memberKeys(room)));
  });

  test('EagerIncrementalSyncDuringPartialStateJoin', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    let { next_batch: since } = await sync(alice);
    await stage.join(alice, room);
    const first = await sync(alice, { since });
    expect(isIn(first, room)).toBe(false);
    ({ next_batch: since } = first);
    expect((await alice.send(room.id, 't1', 'Hello')).status).toBe(200);
    const second = await sync(alice, { since });
    expect(isIn(second, room)).toBe(false);
    await stage.whole(alice, room);
    const third = await sync(alice, { since: second.next_batch });
    const shown = joinedRoom(third, room);
    expect([...keysOf(shown.state?.events), ...keysOf(shown.timeline.events)]).toEqual(
      expect.arrayContaining(memberKeys(room, alice.userId)),
    );
    // Newly joined: what was said before is in it.
    expect(shown.timeline.events.some(({ content }) => content.body === 'Hello')).toBe(true);
  });

  test('EagerLongPollingSyncWokenWhenResyncCompletes', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await sync(alice);
    const waiting = sync(alice, { since, timeout: 20_000 });
    expect(await isSettled(waiting)).toBe(false);
    room.release();
    expect(isIn(await waiting, room)).toBe(true);
  });

  test('of a user who was away while the room became whole gives it as newly joined', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    const { next_batch: since } = await sync(alice);
    await stage.join(alice, room);
    await stage.whole(alice, room);
    const shown = joinedRoom(await sync(alice, { since }), room);
    expect([...keysOf(shown.state?.events), ...keysOf(shown.timeline.events)]).toEqual(
      expect.arrayContaining([...memberKeys(room), 'm.room.create|', 'm.room.power_levels|']),
    );
  });
});

describe('a lazy-loading sync', () => {
  test('CanLazyLoadingSyncDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const shown = joinedRoom(await lazySync(alice), room);
    expect([...keysOf(shown.state?.events), ...keysOf(shown.timeline.events)]).toContain(
      `m.room.member|${alice.userId}`,
    );
  });

  const showsSender = (answer: Synced, room: ResidentRoom): void =>
    expect(stateKeys(answer, room)).toContain(`m.room.member|${stage.derek}`);

  test('Lazy-loading initial sync includes remote memberships during partial state join', async () => {
    const { alice, room } = await stage.joined();
    const said = room.room.message(stage.derek, 'hi');
    await stage.send(said);
    await stage.arrived(alice, room, said.eventId);
    const answer = await lazySync(alice);
    expect(holdsEvent(answer, room, said.eventId)).toBe(true);
    showsSender(answer, room);
  });

  test('Lazy-loading gappy sync includes remote memberships during partial state join', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    const [first, second] = [room.room.message(stage.derek, 'one'), room.room.message(stage.derek, 'two')];
    await stage.send(first, second);
    await stage.arrived(alice, room, second.eventId);
    const answer = await lazySync(alice, since, { limit: 1 });
    expect(joinedRoom(answer, room).timeline.limited).toBe(true);
    expect(holdsEvent(answer, room, first.eventId)).toBe(false);
    expect(holdsEvent(answer, room, second.eventId)).toBe(true);
    showsSender(answer, room);
  });

  test('Lazy-loading incremental sync includes remote memberships during partial state join', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    const said = room.room.message(stage.derek, 'hi');
    await stage.send(said);
    showsSender(await syncUntil(alice, since, (answer) => holdsEvent(answer, room, said.eventId)), room);
  });

  test('GappySyncAfterPartialStateSynced', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    await stage.whole(alice, room);
    const [first, last] = [room.room.message(stage.derek, 'one'), room.room.message(stage.derek, 'two')];
    await stage.send(first);
    await stage.send(last);
    await stage.arrived(alice, room, last.eventId);
    const shown = joinedRoom(await lazySync(alice, since, { limit: 1 }), room);
    expect(shown.timeline.events.map(({ event_id: id }) => id)).toEqual([last.eventId]);
    expect(keysOf(shown.state?.events)).toContain(`m.room.member|${stage.derek}`);
  });
});

describe('readers of members', () => {
  const membersOf = (alice: Client, path: string) =>
    alice.ask('GET', path).then(({ status, body }) => [status, body] as const);

  test('MembersRequestBlocksDuringPartialStateJoin', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: at } = await lazySync(alice);
    const waiting = membersOf(alice, `${room.path}/members?at=${at}`);
    expect(await isSettled(waiting)).toBe(false);
    room.release();
    const [status, body] = await waiting;
    expect(status).toBe(200);
    expect(keysOf(body.chunk as never).sort()).toEqual(memberKeys(room, alice.userId).sort());
  });

  test('joined_members blocks during partial state join', async () => {
    const { alice, room } = await stage.joined();
    const waiting = membersOf(alice, `${room.path}/joined_members`);
    expect(await isSettled(waiting)).toBe(false);
    room.release();
    const [, body] = await waiting;
    expect(Object.keys(body.joined as object).sort()).toEqual([room.creator, stage.derek, alice.userId].sort());
  });

  test('/state and a single member wait, state that is no member does not', async () => {
    const { alice, room } = await stage.joined();
    const state = alice.ask('GET', `${room.path}/state`);
    const one = alice.ask('GET', `${room.path}/state/m.room.member/${encodeURIComponent(stage.derek)}`);
    expect(await isSettled(Promise.race([state, one]))).toBe(false);
    expect((await alice.ask('GET', `${room.path}/state/m.room.power_levels/`)).status).toBe(200);
    const own = await alice.ask('GET', `${room.path}/state/m.room.member/${encodeURIComponent(alice.userId)}`);
    expect(own.body.membership).toBe('join');
    room.release();
    expect(keysOf((await state).body as never)).toEqual(expect.arrayContaining(memberKeys(room)));
    expect((await one).body.membership).toBe('join');
  });

  test('/messages is answered at once, also where older events must be asked for', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    const old = room.room.message(stage.derek, 'long ago');
    await stage.join(alice, room);
    const page = await eventually(
      () => alice.must('GET', `${room.path}/messages?dir=b&limit=20`),
      ({ chunk }) => (chunk as { event_id: string }[]).some(({ event_id: id }) => id === old.eventId),
    );
    expect(page.chunk).toContainEqual(expect.objectContaining({ sender: stage.derek }));
    expect(isIn(await sync(alice), room)).toBe(false);
  });
});
