import { expect, test } from '@jest/globals';
import type { TestRooms } from '../support/room-core.ts';
import { me, PartialWorld } from '../support/partial-world.ts';

const member = (user: string, membership: string, sender = user) => ({
  ...{ type: 'm.room.member', stateKey: user, sender },
  content: { membership },
});

test('hundreds of members who come and go at once are counted by server, and so are those of this one', async () => {
  await using world = await PartialWorld.open();
  const { resident, joiner, room } = world;
  for (let index = 0; index < 260; index += 1) await resident.join(room, `@many${index}:m${index % 7}.example`);
  await resident.join(room, '@early:two.example');
  for (let index = 0; index < 20; index += 1) {
    const user = `@many${index}:m${index % 7}.example`;
    await resident.send(room, member(user, index % 2 === 0 ? 'leave' : 'ban', index % 2 === 0 ? user : creator));
  }
  await resident.send(room, member('@asked:two.example', 'invite', creator));

  const counts = ({ core }: TestRooms, nid: typeof room.nid, at: TestRooms): unknown =>
    at.read((snapshot) => ({
      joined: core.joinedCount(snapshot, nid),
      invited: core.invitedCount(snapshot, nid),
      servers: core.joinedServers(snapshot, nid).sort(),
      members: core
        .members(snapshot, nid)
        .map(({ user, membership }) => `${user} ${membership}`)
        .sort(),
    }));
  await world.join();
  await world.finish();
  expect(world.states().joiner).toEqual(world.states().resident);
  expect(counts(joiner, world.local.nid, joiner)).toEqual(counts(resident, room.nid, resident));
  const local = joiner.read((snapshot) => joiner.core.joinedLocalUsers(snapshot, world.local.nid));
  expect(local.sort()).toEqual(['@early:two.example', me]);
  expect(await world.faults()).toEqual([]);

  // Everybody here leaves; who joins then knows no members at first.
  for (const user of ['@early:two.example', me]) {
    for (const [rooms, at] of [
      [joiner, world.local],
      [resident, room],
    ] as const)
      await rooms.send(at, member(user, 'leave'));
  }
  await world.join();
  expect(joiner.read((snapshot) => joiner.core.joinedServers(snapshot, world.local.nid))).toEqual(['two.example']);
  expect(await world.faults()).toEqual([]);
  await world.finish();
  expect(counts(joiner, world.local.nid, joiner)).toEqual(counts(resident, room.nid, resident));
  expect(await world.faults()).toEqual([]);
});

const creator = '@creator:res.example';
