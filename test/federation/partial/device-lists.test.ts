/** Device lists of members whom a room may have that are not known yet (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { RoomEvent } from '../../../src/matrix/pdu.ts';
import type { Client } from '../../support/client.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import { citing, eventually, lazySync, syncUntil } from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';
import { changeBy } from '../../support/rooms-between.ts';

const stage = usePartialStage();

describe('Device list tracking', () => {
  const query = (alice: Client, user: string): Promise<unknown> =>
    alice.must('POST', '/_matrix/client/v3/keys/query', { device_keys: { [user]: [] } });
  const asked = new Map<string, number>();
  /** Whether the user's server was asked since the last time, this query included. */
  async function isAsked(alice: Client, user: string): Promise<boolean> {
    await query(alice, user);
    const [before, now] = [asked.get(user) ?? 0, stage.resident.keysAsked(user)];
    asked.set(user, now);
    return now > before;
  }
  async function isTracked(alice: Client, user: string): Promise<void> {
    expect(await isAsked(alice, user)).toBe(true);
    expect(await isAsked(alice, user)).toBe(false);
  }
  let stream = 10;
  const update = (user: string): Promise<void> =>
    stage.edu('m.device_list_update', {
      ...{ device_id: 'DEVICE', device_display_name: `Name ${stream}`, user_id: user },
      ...{ prev_id: [stream + 1], stream_id: (stream += 2) },
    });
  async function told(alice: Client, since: string, list: 'changed' | 'left', user: string): Promise<string> {
    const answer = await syncUntil(alice, since, (got) => got.device_lists?.[list]?.includes(user) === true);
    const query = `from=${encodeURIComponent(since)}&to=${encodeURIComponent(answer.next_batch)}`;
    const changes = await alice.must('GET', `/_matrix/client/v3/keys/changes?${query}`);
    expect(changes[list]).toContain(user);
    return answer.next_batch;
  }
  async function says(alice: Client, room: ResidentRoom, user: string): Promise<void> {
    const said = room.room.message(user, 'hi');
    await stage.send(said);
    await stage.arrived(alice, room, said.eventId);
  }
  const title = (name: string): string => `Device list tracking/${name}`;

  test(title('Device list tracking for pre-existing members in partial state room'), async () => {
    const [alice, room, fred] = [await stage.user(), stage.resident.openRoom(), stage.stranger()];
    room.room.join(fred);
    await stage.join(alice, room);
    for (const user of [room.creator, fred, room.creator, fred]) expect(await isAsked(alice, user)).toBe(true);
    const { next_batch: since } = await lazySync(alice);
    await says(alice, room, room.creator);
    await update(room.creator);
    await stage.whole(alice, room);
    await told(alice, since, 'changed', room.creator);
    for (const user of [room.creator, fred]) await isAsked(alice, user);
    for (const user of [room.creator, fred]) expect(await isAsked(alice, user)).toBe(false);
  });

  test(
    title('Device list tracking when pre-existing members in partial state room join another shared room'),
    async () => {
      const { alice, room } = await stage.joined();
      await says(alice, room, room.creator);
      await update(room.creator);
      const { next_batch: since } = await lazySync(alice);
      await stage.resident.enter(stage.server, await alice.createRoom({ preset: 'public_chat' }), room.creator);
      await told(alice, since, 'changed', room.creator);
      await isTracked(alice, room.creator);
      await stage.whole(alice, room);
      expect(await isAsked(alice, room.creator)).toBe(false);
    },
  );

  /** Elsie joins after alice, who follows her devices from then on. */
  async function newMember(): Promise<{ alice: Client; room: ResidentRoom; elsie: string; since: string }> {
    const { alice, room } = await stage.joined();
    const elsie = stage.stranger();
    const { next_batch: since } = await lazySync(alice);
    await stage.send(room.room.join(elsie));
    const next = await told(alice, since, 'changed', elsie);
    await isTracked(alice, elsie);
    return { alice, room, elsie, since: next };
  }

  test(title('Device list tracked for new members in partial state room'), async () => {
    const { alice, room, elsie, since } = await newMember();
    await update(elsie);
    await told(alice, since, 'changed', elsie);
    await isAsked(alice, elsie);
    expect(await isAsked(alice, elsie)).toBe(false);
    await stage.whole(alice, room);
    expect(await isAsked(alice, elsie)).toBe(false);
  });

  test(title('Device list no longer tracked when new member leaves partial state room'), async () => {
    const { alice, room, elsie, since } = await newMember();
    await stage.send(room.member(elsie, 'leave'));
    await told(alice, since, 'left', elsie);
    expect(await isAsked(alice, elsie)).toBe(true);
    await stage.whole(alice, room);
  });

  test(title('Device list no longer tracked when leaving partial state room'), async () => {
    const { alice, room, elsie, since } = await newMember();
    expect((await changeBy(alice, room.id, 'leave')).status).toBe(200);
    await told(alice, since, 'left', elsie);
    expect(await isAsked(alice, elsie)).toBe(true);
    expect(await isAsked(alice, elsie)).toBe(true);
  });

  test(title('Device list no longer tracked when failing to complete partial state join'), async () => {
    const { alice, room, elsie, since } = await newMember();
    room.tell = () => ({});
    room.release();
    await eventually(
      () => stage.partialRooms(room),
      (line) => line.includes('failed, next in'),
    );
    await stage.server.app.partialRooms({ action: 'abort', roomId: room.id }, () => undefined);
    await told(alice, since, 'left', elsie);
    expect(await isAsked(alice, elsie)).toBe(true);
  });

  /**
   * Elsie is believed to be in the room: derek has kicked her, which is rejected because he seems to be banned by fred, who
   * had left the room before.
   */
  async function wronglyIn(): Promise<{
    alice: Client;
    room: ResidentRoom;
    elsie: string;
    since: string;
    join: RoomEvent;
  }> {
    const [alice, room] = [await stage.user(), stage.resident.openRoom({ derek: 50, fred: 100 })];
    const [fred, elsie] = [stage.resident.user('fred'), stage.stranger()];
    const fredJoin = room.room.join(fred);
    room.member(fred, 'leave');
    await stage.join(alice, room);
    const { next_batch: since } = await lazySync(alice);
    const join = room.room.join(elsie);
    await stage.send(join);
    const next = await told(alice, since, 'changed', elsie);
    const ban = room.room.say({
      ...{ type: 'm.room.member', stateKey: stage.derek, sender: fred, content: { membership: 'ban' } },
      auth: citing(room, fredJoin),
    });
    const content = { membership: 'leave' };
    const kick = room.room.say({
      type: 'm.room.member',
      stateKey: elsie,
      sender: stage.derek,
      content,
      prev: [ban.eventId],
    });
    expect([room.room.isRejected(ban.eventId), room.room.isRejected(kick.eventId)]).toEqual([true, false]);
    await stage.send(ban);
    await stage.arrived(alice, room, ban.eventId);
    await stage.send(kick);
    await says(alice, room, room.creator);
    expect(await stage.eventStatus(alice, room, kick.eventId)).toBe(404);
    await isTracked(alice, elsie);
    return { alice, room, elsie, join, since: next };
  }

  test(title('Device list no longer tracked for user incorrectly believed to be in room'), async () => {
    const { alice, room, elsie, since } = await wronglyIn();
    expect(await stage.whole(alice, room)).not.toHaveProperty([elsie]);
    expect(await isAsked(alice, elsie)).toBe(true);
    await told(alice, since, 'left', elsie);
  });

  test(
    title(
      'Device list tracking for user incorrectly believed to be in room when they rejoin before partial state join completes',
    ),
    async () => {
      const { alice, room, elsie, join } = await wronglyIn();
      // What she cites is what both sides know of her.
      const again = room.room.say({
        ...{ type: 'm.room.member', stateKey: elsie, sender: elsie, content: { membership: 'join', displayname: 'E' } },
        auth: [...citing(room, join), room.current('m.room.join_rules').eventId],
      });
      expect(room.room.isRejected(again.eventId)).toBe(false);
      await stage.send(again);
      await stage.arrived(alice, room, again.eventId);
      expect(await isAsked(alice, elsie)).toBe(false);
      expect(await stage.whole(alice, room)).toHaveProperty([elsie]);
      expect(await isAsked(alice, elsie)).toBe(true);
    },
  );

  test(
    title(
      'Device list tracking for user incorrectly believed to be in room when they rejoin after partial state join completes',
    ),
    async () => {
      const { alice, room, elsie, since } = await wronglyIn();
      await stage.whole(alice, room);
      const next = await told(alice, since, 'left', elsie);
      const again = room.room.join(elsie);
      await stage.send(again);
      await told(alice, next, 'changed', elsie);
      expect(await isAsked(alice, elsie)).toBe(true);
    },
  );

  test(
    title(
      'Device list tracking for user incorrectly believed to be in room when they join another shared room before partial state join completes',
    ),
    async () => {
      const { alice, room, elsie } = await wronglyIn();
      await stage.resident.enter(stage.server, await alice.createRoom({ preset: 'public_chat' }), elsie);
      // What she changed while she shared no room was told to nobody, which cannot be known yet.
      expect(await stage.whole(alice, room)).not.toHaveProperty([elsie]);
      expect(await isAsked(alice, elsie)).toBe(true);
    },
  );
});
