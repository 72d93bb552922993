/** Who is told of changed devices of ours while the members of a room are not known (DESIGN §7; scenarios of MSC3902). */
import { describe, expect, test } from '@jest/globals';
import type { Client } from '../../support/client.ts';
import type { PartialResident } from '../../support/partial-resident.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import { citing, eventually, isSettled, lazySync } from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';

const stage = usePartialStage();
let rounds = 0;

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
    room.room.join(stage.stranger(stage.second));
    await stage.join(alice, room);
    await reaches(alice, stage.resident, stage.second);
    await stage.whole(alice, room);
    await reaches(alice, stage.resident, stage.second);
  });

  test('Outgoing device list updates/Device list updates reach newly joined servers in partial state rooms', async () => {
    const { alice, room } = await stage.joined();
    await reaches(alice, stage.resident);
    const join = room.room.join(stage.stranger(stage.second));
    await stage.send(join);
    await stage.arrived(alice, room, join.eventId);
    await reaches(alice, stage.resident, stage.second);
    await stage.whole(alice, room);
    await reaches(alice, stage.resident, stage.second);
  });

  test('Outgoing device list updates/Device list updates no longer reach departed servers after partial state join completes', async () => {
    const [alice, room, elsie] = [await stage.user(), stage.resident.openRoom(), stage.stranger(stage.second)];
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
    const [alice, room, elsie] = [
      await stage.user(),
      stage.resident.openRoom({ derek: 100 }),
      stage.stranger(stage.second),
    ];
    const derekJoin = room.current('m.room.member', stage.derek);
    room.member(stage.derek, 'leave');
    await stage.join(alice, room);
    const join = room.room.join(elsie);
    await stage.send(join);
    await stage.arrived(alice, room, join.eventId);
    await reaches(alice, stage.resident, stage.second);
    const kick = room.room.say({
      ...{ type: 'm.room.member', stateKey: elsie, sender: stage.derek, content: { membership: 'leave' } },
      auth: citing(room, derekJoin, join),
    });
    expect(room.room.isRejected(kick.eventId)).toBe(true);
    await stage.send(kick);
    await stage.arrived(alice, room, kick.eventId);
    return { alice, room, elsie };
  }

  /** Alice is in a room whose resident has not told of elsie's server. */
  async function wronglyAbsent(): Promise<{ alice: Client; room: ResidentRoom; elsie: string }> {
    const [alice, room, elsie] = [await stage.user(), stage.resident.openRoom(), stage.stranger(stage.second)];
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
    const shared = await alice.createRoom({ preset: 'public_chat' });
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
