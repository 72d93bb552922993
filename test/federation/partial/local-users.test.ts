/** What the full state makes of memberships of our own users that were decided without it (DESIGN §7). */
import { describe, expect, test } from '@jest/globals';
import { eventually, isIn, lazySync, sync, syncUntil } from '../../support/partial-scene.ts';
import { changeBy, syncRooms } from '../../support/rooms-between.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();

describe('the full state', () => {
  test('takes back an invite of somebody who is banned', async () => {
    const [alice, bob, room] = [await stage.user(), await stage.user('bob'), stage.resident.openRoom()];
    room.member(bob.userId, 'ban', room.creator);
    await stage.join(alice, room);
    expect((await changeBy(alice, room.id, 'invite', { user_id: bob.userId })).status).toBe(200);
    expect(Object.keys((await syncRooms(bob)).rooms?.invite ?? {})).toContain(room.id);
    await stage.whole(alice, room);
    expect(Object.keys((await syncRooms(bob)).rooms?.invite ?? {})).not.toContain(room.id);
    const member = await alice.must('GET', `${room.path}/state/m.room.member/${encodeURIComponent(bob.userId)}`);
    expect(member.membership).toBe('ban');
    expect((await changeBy(bob, room.id, 'join')).status).toBe(403);
  });

  test('brings back a user of ours whom somebody has kicked that was not there', async () => {
    const [alice, bob, room] = [await stage.user(), await stage.user('bob'), stage.resident.openRoom({ derek: 100 })];
    const derekJoin = room.current('m.room.member', stage.derek);
    room.member(stage.derek, 'leave');
    await stage.join(alice, room);
    await stage.join(bob, room);
    const { next_batch: since } = await lazySync(alice);
    const kick = room.room.say({
      ...{ type: 'm.room.member', stateKey: alice.userId, sender: stage.derek, content: { membership: 'leave' } },
      auth: [
        room.current('m.room.power_levels').eventId,
        derekJoin.eventId,
        room.current('m.room.member', alice.userId).eventId,
      ],
    });
    expect(room.room.isRejected(kick.eventId)).toBe(true);
    await stage.send(kick);
    const out = await syncUntil(alice, since, (answer) => answer.rooms?.leave?.[room.id] !== undefined);
    expect((await alice.send(room.id, 't1', 'hello?')).status).toBe(403);
    expect(await stage.whole(bob, room)).toHaveProperty([alice.userId]);
    expect(await stage.eventStatus(bob, room, kick.eventId)).toBe(404);
    await syncUntil(alice, out.next_batch, (answer) => isIn(answer, room));
    expect((await alice.send(room.id, 't2', 'back again')).status).toBe(200);
    expect(isIn(await sync(alice), room)).toBe(true);
  });

  test('takes out a user of ours who has come in by an event that it forbids', async () => {
    const [alice, bob, room] = [await stage.user(), await stage.user('bob'), stage.resident.openRoom()];
    await stage.join(alice, room);
    // The room is closed on another branch, before he comes, and nobody has told us.
    const closed = room.room.make({
      ...{ type: 'm.room.member', stateKey: bob.userId, sender: room.creator, content: { membership: 'ban' } },
    });
    await stage.join(bob, room);
    room.room.receive(closed);
    await stage.send(closed);
    await eventually(
      () => lazySync(bob, undefined, { includeLeave: true }),
      (answer) => !isIn(answer, room) && answer.rooms?.leave?.[room.id] !== undefined,
    );
    expect(await stage.whole(alice, room)).not.toHaveProperty([bob.userId]);
    expect(isIn(await lazySync(bob), room)).toBe(false);
    expect(isIn(await sync(alice), room)).toBe(true);
  });
});

describe('a leave', () => {
  test('is sent to every server that may be in the room, and to none by send_leave', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.room.join(stage.second.user('elsie'));
    await stage.join(alice, room);
    expect((await changeBy(alice, room.id, 'leave')).status).toBe(200);
    for (const server of [stage.resident, stage.second]) {
      await eventually(
        () => server.pdus.some(({ stateKey, content }) => stateKey === alice.userId && content.membership === 'leave'),
        (came) => came,
      );
      expect(server.peer.asked('send_leave') + server.peer.asked('make_leave')).toBe(0);
    }
    expect(await stage.partialRooms(room)).toBe('');
  });

  test('of one of two users, while the members are fetched, leaves the other one a whole room', async () => {
    const [alice, bob, room] = [await stage.user(), await stage.user('bob'), stage.resident.openRoom()];
    await stage.join(alice, room);
    await stage.join(bob, room);
    expect((await changeBy(bob, room.id, 'leave')).status).toBe(200);
    expect(await stage.partialRooms(room)).not.toBe('');
    expect(Object.keys(await stage.whole(alice, room)).sort()).toEqual(
      [room.creator, stage.derek, alice.userId].sort(),
    );
  });
});
