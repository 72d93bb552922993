/** Rooms that have become whole after a join without their members (DESIGN §7). */
import { describe, expect, test } from '@jest/globals';
import { eventually, isIn, isSettled, joinedRoom, keysOf, lazySync, sync } from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';
import { changeBy } from '../../support/rooms-between.ts';

const stage = usePartialStage();

describe('a room that has become whole', () => {
  test('is never partial again: not by a second join, an upgrade, or a restart', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    const levels = { users: { [alice.userId]: 100 } };
    room.room.say({ type: 'm.room.power_levels', stateKey: '', sender: room.creator, content: levels });
    await stage.join(alice, room);
    await stage.whole(alice, room);
    room.hold();
    const bob = await stage.user('bob');
    await stage.join(bob, room);
    expect(await stage.partialRooms(room)).toBe('');
    expect(isIn(await sync(bob), room)).toBe(true);
    // Its room is upgraded by a user of ours, its successor joined by all.
    const { replacement_room: next } = await alice.must('POST', `${room.path}/upgrade`, { new_version: '12' });
    await stage.resident.enter(stage.server, String(next), room.creator);
    expect(await stage.partialRooms()).not.toContain(String(next));
    await stage.server.stop();
    await stage.server.start();
    expect(await stage.partialRooms(room)).toBe('');
    const answer = await sync(alice);
    expect(Object.keys(answer.rooms?.join ?? {})).toEqual(expect.arrayContaining([room.id, String(next)]));
  });

  test('that is upgraded by its resident while it is partial leads to the new one', async () => {
    const { alice, room } = await stage.joined();
    const next = stage.resident.openRoom();
    const tombstone = room.room.say({
      ...{ type: 'm.room.tombstone', stateKey: '', sender: room.creator },
      content: { body: 'moved', replacement_room: next.id },
    });
    await stage.send(tombstone);
    await stage.arrived(alice, room, tombstone.eventId);
    await stage.join(alice, next);
    await stage.whole(alice, next);
    expect(isIn(await sync(alice), next)).toBe(true);
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
    expect(keysOf(joinedRoom(await sync(alice), room).timeline.events)).toContain('m.room.tombstone|');
  });

  test('may have lost its history meanwhile', async () => {
    const { alice, room } = await stage.joined();
    const admin = await stage.admin();
    const says = (body: string) => room.room.message(stage.derek, body);
    const [first, second, third] = [says('one'), says('two'), says('three')];
    await stage.send(first, second, third);
    await stage.arrived(alice, room, third.eventId);
    const path = `/_synapse/admin/v1/purge_history/${encodeURIComponent(room.id)}/${encodeURIComponent(third.eventId)}`;
    const { purge_id: id } = await admin.must('POST', path, { delete_local_events: true });
    await eventually(
      () => admin.must('GET', `/_synapse/admin/v1/purge_history_status/${String(id)}`),
      ({ status }) => status === 'complete',
    );
    expect(await stage.eventStatus(alice, room, first.eventId)).toBe(404);
    expect(Object.keys(await stage.whole(alice, room)).sort()).toEqual(
      [room.creator, stage.derek, alice.userId].sort(),
    );
    expect(await stage.eventStatus(alice, room, third.eventId)).toBe(200);
    const later = says('four');
    await stage.send(later);
    await stage.arrived(alice, room, later.eventId);
  });

  test('Purge during resync', async () => {
    const { alice, room } = await stage.joined();
    const admin = await stage.admin();
    await room.stateAsked();
    const path = `/_synapse/admin/v1/rooms/${encodeURIComponent(room.id)}`;
    const { status, body } = await admin.ask('DELETE', path, {});
    expect([status, body.errcode]).toEqual([200, undefined]);
    await eventually(
      () => lazySync(alice),
      (answer) => !isIn(answer, room),
    );
    room.release();
    expect(await isSettled(Promise.resolve(), 200)).toBe(true);
    expect(await stage.partialRooms(room)).toBe('');
    expect((await changeBy(alice, room.id, 'leave')).status).not.toBe(500);
    // It is a room like any other afterwards.
    await stage.join(alice, room);
    expect(Object.keys(await stage.whole(alice, room))).toContain(alice.userId);
  });
});
