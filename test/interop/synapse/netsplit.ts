/** Both servers go on alone, with state that conflicts; when they meet again they hold the same, event for event. */
import assert from 'node:assert/strict';
import { sameState, type Person } from './person.ts';
import type { Scenario } from './scenario.ts';
import type { Side } from './sides.ts';

const enc = encodeURIComponent;

async function powers(person: Person, room: string, change: Readonly<Record<string, number>>): Promise<void> {
  const now = (await person.get(`rooms/${enc(room)}/state/m.room.power_levels/`)) as { users?: object };
  await person.setState(room, 'm.room.power_levels', { ...now, users: { ...now.users, ...change } });
}

const split = (version: string, neurite: Side, synapse: Side): Scenario => ({
  name: `a netsplit in a room of version ${version} heals`,
  run: async () => {
    const [alice, dora, bob, carol] = [
      await neurite.person('alice'),
      await neurite.person('dora'),
      await synapse.person('bob'),
      await synapse.person('carol'),
    ];
    const room = await alice.createRoom({
      preset: 'public_chat',
      room_version: version,
      power_level_content_override: { events: { 'm.room.power_levels': 80 } },
    });
    for (const person of [dora, bob, carol]) await person.mustJoin(room, alice.server);
    await powers(alice, room, { [bob.id]: 90, [dora.id]: 50, [carol.id]: 50 });
    await sameState(room, alice, bob);

    for (const { link } of [neurite, synapse]) link.cut();
    const said: string[] = [];
    try {
      // Each side moderates the other's people, and both change the same keys.
      await alice.setState(room, 'm.room.topic', { topic: 'of alice' });
      await bob.setState(room, 'm.room.topic', { topic: 'of bob' });
      await bob.setState(room, 'm.room.name', { name: 'of bob' });
      await carol.say(room, 'carol knows nothing of the ban to come');
      await alice.moderate('ban', room, carol.id);
      await bob.moderate('kick', room, dora.id);
      await carol.say(room, 'nor of the ban that came');
      await powers(alice, room, { [dora.id]: 0 });
      await powers(bob, room, { [carol.id]: 0 });
      for (let i = 0; i < 25; i++) {
        said.push(await alice.say(room, `here ${i}`), await bob.say(room, `there ${i}`));
      }
    } finally {
      for (const { link } of [neurite, synapse]) link.heal();
    }
    // Whatever is next tells each side of the other's branch.
    await alice.say(room, 'are you there?');
    await bob.say(room, 'are you?');
    for (const person of [alice, bob]) await person.untilSees(room, ...said);
    await sameState(room, alice, bob);
    const [last, answer] = [await alice.say(room, 'together again'), await bob.say(room, 'yes')];
    await bob.untilSees(room, last);
    await alice.untilSees(room, answer);
    await sameState(room, alice, bob);
    assert.equal(await alice.membership(room, carol.id), await bob.membership(room, carol.id));
  },
});

export const netsplitScenarios = (versions: readonly string[], neurite: Side, synapse: Side): readonly Scenario[] =>
  versions
    .filter((version) => ['1', '2', '6', '10', '11', '12'].includes(version))
    .map((version) => split(version, neurite, synapse));
