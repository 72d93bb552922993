/** Leaving rooms whose members are not known yet (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { Client } from '../../support/client.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import {
  membershipIn,
  eventually,
  isIn,
  isSettled,
  keysOf,
  lazySync,
  sync,
  type Synced,
  syncUntil,
} from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';
import { changeBy, joinBy } from '../../support/rooms-between.ts';

const stage = usePartialStage();

const seesLeave = (user: Client, since: string, room: ResidentRoom, left = user): Promise<Synced> =>
  syncUntil(
    user,
    since,
    (answer) => membershipIn(answer, left === user ? 'leave' : 'join', room, left.userId) === 'leave',
  );
const leave = async (user: Client, room: ResidentRoom): Promise<void> => {
  const { status, body } = await changeBy(user, room.id, 'leave');
  expect([status, body]).toEqual([200, {}]);
};
/** The resident has been sent a member event of this user. */
const reached = (room: ResidentRoom, user: Client, membership: string) =>
  eventually(
    () =>
      stage.resident.pdus.find((event) => event.stateKey === user.userId && event.content.membership === membership),
    (event) => event !== undefined,
  );

describe('Leave during resync', () => {
  test('Leave during resync/is seen after the resync', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    const leaving = leave(alice, room);
    room.release();
    await leaving;
    await seesLeave(alice, since, room);
  });

  test('Leave during resync/does not wait for resync', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    await room.stateAsked();
    await leave(alice, room);
    await seesLeave(alice, since, room);
    await reached(room, alice, 'leave');
    expect(room.current('m.room.member', alice.userId).content.membership).toBe('leave');
    expect(stage.resident.peer.asked('make_leave')).toBe(0);
  });

  test('Leave during resync/works after a second partial join', async () => {
    const { alice, room } = await stage.joined();
    const bob = await stage.user('bob');
    await stage.join(bob, room);
    const [{ next_batch: since }, { next_batch: sinceOfBob }] = [await lazySync(alice), await lazySync(bob)];
    await leave(alice, room);
    await seesLeave(alice, since, room);
    await seesLeave(bob, sinceOfBob, room, alice);
    // The room still has a local user: its members are still fetched.
    expect(Object.keys(await stage.whole(bob, room))).not.toContain(alice.userId);
  });

  test('Leave during resync/succeeds, then rejoin succeeds without resync completing', async () => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    let { next_batch: since } = await lazySync(alice);
    await leave(alice, room);
    ({ next_batch: since } = await seesLeave(alice, since, room));
    await reached(room, alice, 'leave');
    await stage.join(alice, room);
    await syncUntil(alice, since, (answer) => membershipIn(answer, 'join', room, alice.userId) === 'join');
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
    expect(isIn(await sync(alice), room)).toBe(true);
  });

  test('Leave during resync/succeeds, then another user can join without resync completing', async () => {
    const { alice, room } = await stage.joined();
    const { next_batch: since } = await lazySync(alice);
    await leave(alice, room);
    await seesLeave(alice, since, room);
    await reached(room, alice, 'leave');
    const bob = await stage.user('bob');
    await stage.join(bob, room);
    expect(isIn(await lazySync(bob), room)).toBe(true);
    expect(Object.keys(await stage.whole(bob, room)).sort()).toEqual([room.creator, stage.derek, bob.userId].sort());
  });

  test.each([
    ['Leave during resync/can be triggered by remote kick', 'leave'],
    ['Leave during resync/can be triggered by remote ban', 'ban'],
  ])('%s', async (_title, membership) => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    const said = (await alice.send(room.id, 't1', 'before I go')).body.event_id;
    await reachedBy(String(said));
    const { next_batch: since } = await lazySync(alice);
    const event = room.member(alice.userId, membership, room.creator);
    await stage.send(event);
    await syncUntil(alice, since, (answer) => membershipIn(answer, 'leave', room, alice.userId) === membership);
    // The resync ends, its rows go, and who was there reads what was said, unless he is shut out.
    expect(await stage.partialRooms()).not.toContain(room.id);
    if (membership === 'leave') {
      expect((await alice.history(room.id)).map(({ event_id: id }) => id)).toContain(said);
    } else {
      expect((await alice.ask('GET', `${room.path}/messages?dir=b`)).body.errcode).toBe('M_FORBIDDEN');
      const { status, body } = await joinBy(alice, room.id, [stage.resident.name]);
      expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN']);
    }
  });

  const reachedBy = (eventId: string): Promise<unknown> =>
    eventually(
      () => stage.resident.pdus.some((event) => event.eventId === eventId),
      (came) => came,
    );

  test('the last local user takes the resync with him: rows go, waiting readers are answered, history stays', async () => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    expect(await stage.partialRooms()).toContain(room.id);
    const said = (await alice.send(room.id, 't1', 'before I go')).body.event_id;
    const waiting = alice.ask('GET', `${room.path}/members`);
    expect(await isSettled(waiting)).toBe(false);
    await leave(alice, room);
    expect(await stage.partialRooms()).not.toContain(room.id);
    expect([200, 403]).toContain((await waiting).status);
    expect((await alice.history(room.id)).map(({ event_id: id }) => id)).toContain(said);
    // A later answer brings nothing back.
    room.release();
    expect(isIn(await lazySync(alice), room)).toBe(false);
    expect(await stage.partialRooms()).not.toContain(room.id);
  });

  test('a later join takes nothing of the first one for whole', async () => {
    const { alice, room } = await stage.joined();
    const bad = room.room.message(stage.derek, 'one');
    await stage.send(bad);
    await stage.arrived(alice, room, bad.eventId);
    await leave(alice, room);
    await reached(room, alice, 'leave');
    // Somebody comes while we are away.
    const fred = stage.resident.user('fred');
    room.room.join(fred);
    await stage.join(alice, room);
    expect(
      keysOf(Object.values((await lazySync(alice)).rooms?.join ?? {}).flatMap(({ state }) => state?.events ?? [])),
    ).not.toContain(`m.room.member|${fred}`);
    const joined = await stage.whole(alice, room);
    expect(Object.keys(joined).sort()).toEqual([room.creator, stage.derek, fred, alice.userId].sort());
  });
});
