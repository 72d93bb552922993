/** What is derived from a room's members is right once they are known, and what was believed wrongly is taken back (DESIGN §7). */
import { describe, expect, test } from '@jest/globals';
import type { RoomEvent } from '../../../src/matrix/pdu.ts';
import type { Client } from '../../support/client.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import {
  citing,
  eventually,
  holdsEvent,
  isIn,
  joinedRoom,
  lazySync,
  sync,
  syncUntil,
} from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const v3 = '/_matrix/client/v3';

const stage = usePartialStage({ set: { 'user_directory.search_all_users': 'false' } });

describe('aliases', () => {
  /** An alias that alice gives the room while it is partial. */
  async function named(): Promise<{ alice: Client; room: ResidentRoom; path: string }> {
    const { alice, room } = await stage.joined();
    const alias = `#${room.id.slice(1, 8)}:${stage.server.name}`;
    const path = `${v3}/directory/room/${encodeURIComponent(alias)}`;
    await alice.must('PUT', path, { room_id: room.id });
    return { alice, room, path };
  }

  test('Room aliases can be added and queried during a resync', async () => {
    const { alice, room, path } = await named();
    const { room_id: roomId, servers } = await alice.must('GET', path);
    expect(roomId).toBe(room.id);
    expect(servers).toEqual(expect.arrayContaining([stage.server.name, stage.resident.name]));
    expect(isIn(await sync(alice), room)).toBe(false);
    await stage.whole(alice, room);
  });

  test('Room aliases can be added and deleted during a resync', async () => {
    const { alice, room, path } = await named();
    await alice.must('DELETE', path);
    expect((await alice.ask('GET', path)).status).toBe(404);
    await stage.whole(alice, room);
  });
});

describe('counts and searches', () => {
  test('Room stats are correctly updated once state re-sync completes', async () => {
    const [admin, room] = [await stage.admin(), stage.resident.openRoom()];
    await stage.join(admin, room);
    await admin.must('PUT', `${v3}/directory/list/room/${encodeURIComponent(room.id)}`, { visibility: 'public' });
    const members = (count: number) =>
      eventually(
        async () => {
          const { chunk } = await admin.must('GET', `${v3}/publicRooms`);
          return (chunk as { room_id: string; num_joined_members: number }[]).find(({ room_id: id }) => id === room.id);
        },
        (found) => found?.num_joined_members === count,
      );
    await members(1);
    await stage.whole(admin, room);
    await members(3);
  });

  test('User directory is correctly updated once state re-sync completes', async () => {
    const [alice, room] = [await stage.user('rocky'), stage.resident.openRoom()];
    const users = ['rodney', 'toddler'].map((name) => stage.resident.user(name));
    for (const user of users) room.room.join(user);
    await stage.join(alice, room);
    const find = async (term: string): Promise<string[]> => {
      const { results } = await alice.must('POST', `${v3}/user_directory/search`, { search_term: term });
      return (results as { user_id: string }[]).map(({ user_id: id }) => id);
    };
    expect(await find('rodney')).toEqual([]);
    await stage.whole(alice, room);
    for (const [index, term] of ['rodney', 'toddler'].entries()) {
      await eventually(
        () => find(term),
        (found) => found.includes(users[index] ?? ''),
      );
    }
  });

  test('a space shows how many members a room has', async () => {
    const { alice, room } = await stage.joined();
    await stage.whole(alice, room);
    const { rooms } = await alice.must('GET', `/_matrix/client/v1/rooms/${encodeURIComponent(room.id)}/hierarchy`);
    expect(rooms).toEqual([expect.objectContaining({ room_id: room.id, num_joined_members: 3 })]);
  });

  test('what was said meanwhile is found by a search', async () => {
    const { alice, room } = await stage.joined();
    const said = room.room.message(stage.derek, 'xylophone');
    await stage.send(said);
    await stage.arrived(alice, room, said.eventId);
    await stage.whole(alice, room);
    const search_categories = { room_events: { search_term: 'xylophone' } };
    await eventually(
      async () => JSON.stringify(await alice.must('POST', `${v3}/search`, { search_categories })),
      (text) => text.includes(said.eventId),
    );
  });
});

/** A room in which alice believes derek, who has power and has left before she came; `join` is what he cites. */
async function believed(): Promise<{ alice: Client; room: ResidentRoom; join: RoomEvent }> {
  const [alice, room] = [await stage.user(), stage.resident.openRoom({ derek: 100 })];
  room.room.say({ type: 'm.room.name', stateKey: '', sender: room.creator, content: { name: 'good' } });
  const join = room.current('m.room.member', stage.derek);
  room.member(stage.derek, 'leave');
  await stage.join(alice, room);
  return { alice, room, join };
}

describe('what was believed wrongly', () => {
  test('is taken out of the state: clients are told what holds, by state and by state_after', async () => {
    const { alice, room, join } = await believed();
    const { next_batch: since } = await lazySync(alice);
    const bad = room.room.say({
      ...{ type: 'm.room.name', stateKey: '', sender: stage.derek, content: { name: 'bad' } },
      auth: citing(room, join),
    });
    await stage.send(bad);
    const shown = await syncUntil(alice, since, (answer) => holdsEvent(answer, room, bad.eventId));
    expect((await alice.must('GET', `${room.path}/state/m.room.name/`)).name).toBe('bad');
    await stage.whole(alice, room);
    expect((await alice.must('GET', `${room.path}/state/m.room.name/`)).name).toBe('good');
    const names = (events: readonly { type: string; content: Record<string, unknown> }[] = []): unknown[] =>
      events.filter(({ type }) => type === 'm.room.name').map(({ content }) => content.name);
    const plain = joinedRoom(await lazySync(alice, shown.next_batch), room);
    expect(names(plain.state?.events)).toEqual(['good']);
    const after = joinedRoom(await lazySync(alice, shown.next_batch, { stateAfter: true }), room);
    expect(names(after.state_after?.events)).toEqual(['good']);
    // And who never heard of it does not hear of it.
    const anew = joinedRoom(await lazySync(alice), room);
    expect(names([...(anew.state?.events ?? []), ...anew.timeline.events])).toEqual(['good']);
  });

  test('counts for nobody any more', async () => {
    const { alice, room, join } = await believed();
    const unread = async (): Promise<number | undefined> =>
      joinedRoom(await lazySync(alice), room).unread_notifications?.notification_count;
    const bad = room.room.say({
      ...{ type: 'm.room.message', sender: stage.derek, content: { msgtype: 'm.text', body: 'psst' } },
      auth: citing(room, join),
    });
    const good = room.room.message(room.creator, 'hear, hear', [bad.eventId]);
    await stage.send(bad, good);
    await stage.arrived(alice, room, good.eventId);
    expect(await unread()).toBe(2);
    await stage.whole(alice, room);
    expect(await stage.eventStatus(alice, room, bad.eventId)).toBe(404);
    expect(await eventually(unread, (count) => count === 1)).toBe(1);
  });

  test('because nothing was soft-failed is soft-failed in the end', async () => {
    const { alice, room } = await stage.joined();
    const tip = room.current('m.room.member', alice.userId).eventId;
    const join = room.current('m.room.member', stage.derek);
    const ban = room.member(stage.derek, 'ban', room.creator);
    await stage.send(ban);
    await stage.arrived(alice, room, ban.eventId);
    const evasive = room.room.make({
      ...{ type: 'm.room.message', sender: stage.derek, content: { msgtype: 'm.text', body: 'not banned here' } },
      ...{ prev: [tip], auth: citing(room, join) },
    });
    await stage.send(evasive);
    await stage.arrived(alice, room, evasive.eventId);
    await stage.whole(alice, room);
    expect(holdsEvent(await lazySync(alice), room, evasive.eventId)).toBe(false);
    expect(holdsEvent(await lazySync(alice), room, ban.eventId)).toBe(true);
  });
});

describe('other servers', () => {
  test('that were found late are sent what they have missed, in order', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.room.join(stage.second.user('elsie'));
    room.servers = [stage.resident.name];
    await stage.join(alice, room);
    const ids: unknown[] = [];
    for (const text of ['one', 'two']) ids.push((await alice.send(room.id, text, text)).body.event_id);
    await eventually(
      () => stage.resident.pdus.map(({ eventId }) => eventId as string),
      (came) => ids.every((id) => came.includes(String(id))),
    );
    expect(stage.second.pdus.some(({ roomId }) => roomId === room.id)).toBe(false);
    const said = room.room.message(stage.derek, 'not ours to send');
    await stage.send(said);
    await stage.arrived(alice, room, said.eventId);
    await stage.whole(alice, room);
    const missed = await eventually(
      () => stage.second.pdus.filter(({ roomId, sender }) => roomId === room.id && sender === alice.userId),
      (came) => came.length >= 2,
    );
    expect(missed.filter(({ type }) => type === 'm.room.message').map(({ eventId }) => eventId)).toEqual(ids);
    expect(stage.second.pdus.some(({ eventId }) => eventId === said.eventId)).toBe(false);
  });

  test('hear of the presence of our user, and see him type and read', async () => {
    const { alice, room } = await stage.joined();
    const said = room.room.message(stage.derek, 'hi');
    await stage.send(said);
    await stage.arrived(alice, room, said.eventId);
    await alice.must('PUT', `${v3}/presence/${encodeURIComponent(alice.userId)}/status`, { presence: 'online' });
    await alice.must('PUT', `${room.path}/typing/${encodeURIComponent(alice.userId)}`, { typing: true, timeout: 9000 });
    await alice.must('POST', `${room.path}/receipt/m.read/${encodeURIComponent(said.eventId)}`, {});
    const kinds = (): string[] =>
      stage.resident.edus
        .filter(({ content }) => JSON.stringify(content).includes(alice.userId))
        .map(({ edu_type: type }) => type);
    await eventually(kinds, (came) => ['m.presence', 'm.typing', 'm.receipt'].every((kind) => came.includes(kind)));
    await stage.whole(alice, room);
  });
});
