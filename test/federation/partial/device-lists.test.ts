/** Device lists of both sides of a room whose members are not known yet (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { RoomEvent } from '../../../src/matrix/pdu.ts';
import type { Client } from '../../support/client.ts';
import type { PartialResident, ResidentRoom } from '../../support/partial-resident.ts';
import { eventually, isSettled, lazySync, syncUntil } from '../../support/partial-scene.ts';
import { changeBy } from '../../support/rooms-between.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();
let rounds = 0;

const derek = (): string => stage.resident.user('derek');
/** Somebody whom no other test knows. */
const stranger = (of: PartialResident = stage.resident): string => of.user(`elsie${(rounds += 1)}`);
const citing = (room: ResidentRoom, ...members: RoomEvent[]): string[] => [
  room.current('m.room.power_levels').eventId,
  ...members.map(({ eventId }) => eventId),
];

/** Alice and a public room of the whole server. */
async function sharedRoom(alice: Client): Promise<string> {
  return alice.createRoom({ preset: 'public_chat' });
}

describe('Outgoing device list updates', () => {
  const updates = (server: PartialResident, alice: Client): number =>
    server.edus.filter(
      ({ edu_type: type, content }) => type === 'm.device_list_update' && content.user_id === alice.userId,
    ).length;
  const rename = (alice: Client): Promise<unknown> =>
    lazySync(alice).then(async () => {
      const { device_id: device } = await alice.must('GET', '/_matrix/client/v3/account/whoami');
      const path = `/_matrix/client/v3/devices/${encodeURIComponent(String(device))}`;
      return alice.must('PUT', path, { display_name: `Name ${(rounds += 1)}` });
    });
  const isNamed = (server: PartialResident, alice: Client, name: string): boolean =>
    server.edus.some(({ content }) => content.user_id === alice.userId && content.device_display_name === name);

  /** A change of alice's device reaches these servers and no others. */
  async function reaches(alice: Client, ...servers: readonly PartialResident[]): Promise<void> {
    await rename(alice);
    const name = `Name ${rounds}`;
    for (const server of servers) {
      await eventually(
        () => isNamed(server, alice, name),
        (came) => came,
      );
    }
    await isSettled(Promise.resolve());
    for (const server of [stage.resident, stage.second]) {
      expect([server.name, isNamed(server, alice, name)]).toEqual([server.name, servers.includes(server)]);
    }
  }
  const receivesMissed = (alice: Client, before: number): Promise<number> =>
    eventually(
      () => updates(stage.second, alice),
      (count) => count > before,
    );

  test('Outgoing device list updates/Device list updates reach all servers in partial state rooms', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.room.join(stranger(stage.second));
    await stage.join(alice, room);
    await reaches(alice, stage.resident, stage.second);
    await stage.whole(alice, room);
    await reaches(alice, stage.resident, stage.second);
  });

  test('Outgoing device list updates/Device list updates reach newly joined servers in partial state rooms', async () => {
    const { alice, room } = await stage.joined();
    await reaches(alice, stage.resident);
    const join = room.room.join(stranger(stage.second));
    await stage.send(join);
    await stage.arrived(alice, room, join.eventId);
    await reaches(alice, stage.resident, stage.second);
    await stage.whole(alice, room);
    await reaches(alice, stage.resident, stage.second);
  });

  test('Outgoing device list updates/Device list updates no longer reach departed servers after partial state join completes', async () => {
    const [alice, room, elsie] = [await stage.user(), stage.resident.openRoom(), stranger(stage.second)];
    room.room.join(elsie);
    await stage.join(alice, room);
    const left = room.member(elsie, 'leave');
    await stage.send(left);
    await stage.arrived(alice, room, left.eventId);
    // Nobody can know whether others of that server are there.
    await reaches(alice, stage.resident, stage.second);
    await stage.whole(alice, room);
    await reaches(alice, stage.resident);
  });

  /** Alice is in a room where she believes elsie to have been kicked by derek, who had left before. */
  async function wronglyKicked(): Promise<{ alice: Client; room: ResidentRoom; elsie: string }> {
    const [alice, room, elsie] = [await stage.user(), stage.resident.openRoom({ derek: 100 }), stranger(stage.second)];
    const derekJoin = room.current('m.room.member', derek());
    room.member(derek(), 'leave');
    await stage.join(alice, room);
    const join = room.room.join(elsie);
    await stage.send(join);
    await stage.arrived(alice, room, join.eventId);
    await reaches(alice, stage.resident, stage.second);
    const kick = room.room.say({
      ...{ type: 'm.room.member', stateKey: elsie, sender: derek(), content: { membership: 'leave' } },
      auth: citing(room, derekJoin, join),
    });
    expect(room.room.isRejected(kick.eventId)).toBe(true);
    await stage.send(kick);
    await stage.arrived(alice, room, kick.eventId);
    return { alice, room, elsie };
  }

  /** Alice is in a room whose resident has not told of elsie's server. */
  async function wronglyAbsent(): Promise<{ alice: Client; room: ResidentRoom; elsie: string }> {
    const [alice, room, elsie] = [await stage.user(), stage.resident.openRoom(), stranger(stage.second)];
    room.room.join(elsie);
    room.servers = [stage.resident.name];
    await stage.join(alice, room);
    return { alice, room, elsie };
  }

  async function missedUntilWhole({ alice, room }: { alice: Client; room: ResidentRoom }): Promise<void> {
    await reaches(alice, stage.resident);
    const before = updates(stage.second, alice);
    await stage.whole(alice, room);
    await receivesMissed(alice, before);
    await reaches(alice, stage.resident, stage.second);
  }

  async function missedThoughLeft(world: { alice: Client; room: ResidentRoom; elsie: string }): Promise<void> {
    const { alice, room, elsie } = world;
    await reaches(alice, stage.resident);
    const missed = `Name ${rounds}`;
    const shared = await sharedRoom(alice);
    await stage.second.enter(stage.server, shared, elsie);
    const left = room.member(elsie, 'leave');
    await stage.send(left);
    await isSettled(Promise.resolve());
    const before = updates(stage.second, alice);
    await stage.whole(alice, room);
    if (!isNamed(stage.second, alice, missed)) await receivesMissed(alice, before);
    expect(isNamed(stage.second, alice, missed)).toBe(true);
    await reaches(alice, stage.resident, stage.second);
  }

  test('Outgoing device list updates/Device list updates reach incorrectly kicked servers once partial state join completes', async () =>
    missedUntilWhole(await wronglyKicked()));
  test('Outgoing device list updates/Device list updates reach incorrectly kicked servers once partial state join completes even though remote server left room', async () =>
    missedThoughLeft(await wronglyKicked()));
  test('Outgoing device list updates/Device list updates reach incorrectly absent servers once partial state join completes', async () =>
    missedUntilWhole(await wronglyAbsent()));
  test('Outgoing device list updates/Device list updates reach incorrectly absent servers once partial state join completes even though remote server left room', async () =>
    missedThoughLeft(await wronglyAbsent()));
});

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
    const [alice, room, fred] = [await stage.user(), stage.resident.openRoom(), stranger()];
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
      await stage.resident.enter(stage.server, await sharedRoom(alice), room.creator);
      await told(alice, since, 'changed', room.creator);
      await isTracked(alice, room.creator);
      await stage.whole(alice, room);
      expect(await isAsked(alice, room.creator)).toBe(false);
    },
  );

  /** Elsie joins after alice, who follows her devices from then on. */
  async function newMember(): Promise<{ alice: Client; room: ResidentRoom; elsie: string; since: string }> {
    const { alice, room } = await stage.joined();
    const elsie = stranger();
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
    const [fred, elsie] = [stage.resident.user('fred'), stranger()];
    const fredJoin = room.room.join(fred);
    room.member(fred, 'leave');
    await stage.join(alice, room);
    const { next_batch: since } = await lazySync(alice);
    const join = room.room.join(elsie);
    await stage.send(join);
    const next = await told(alice, since, 'changed', elsie);
    const ban = room.room.say({
      ...{ type: 'm.room.member', stateKey: derek(), sender: fred, content: { membership: 'ban' } },
      auth: citing(room, fredJoin),
    });
    const content = { membership: 'leave' };
    const kick = room.room.say({
      type: 'm.room.member',
      stateKey: elsie,
      sender: derek(),
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
      await stage.resident.enter(stage.server, await sharedRoom(alice), elsie);
      // What she changed while she shared no room was told to nobody, which cannot be known yet.
      expect(await stage.whole(alice, room)).not.toHaveProperty([elsie]);
      expect(await isAsked(alice, elsie)).toBe(true);
    },
  );
});
