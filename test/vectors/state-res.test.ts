/** State resolution: scenarios with forks, resolved all at once, in batches and per event. */
import { describe, expect, test } from '@jest/globals';
import { type EventDraft, type RoomDag, member, receiveAgain, reorder } from '../support/room-dag.ts';
import { alice, bob, carol, eve, state, topic, powers, openRoom, v2AndLater } from '../support/state-res.ts';

const ban = (sender: string, target: string, prev: string[]): EventDraft => member(target, 'ban', { sender, prev });

type Expected = Record<string, string | undefined>;

/** A room with forks, and what the state must say after them. */
interface Scenario {
  readonly title: string;
  readonly versions: readonly string[];
  readonly build: (version: string) => RoomDag;
  readonly expected: Expected;
}

const scenarios: Scenario[] = [
  {
    title: 'a ban wins over power levels that the banned moderator sent meanwhile',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$ban', ban(alice, bob, ['$carol']));
      dag.add(
        '$grab',
        powers(dag, bob, { [alice]: 100, [bob]: 50, [carol]: 50 }, ['$carol'], {
          events: { 'm.room.power_levels': 50 },
        }),
      );
      return dag;
    },
    // By default power levels take 50, so Bob may send them until he is banned.
    expected: { 'm.room.power_levels|': '$levels', [`m.room.member|${bob}`]: '$ban' },
  },
  {
    title: 'a demotion wins over what the demoted one did meanwhile, whatever the clocks say',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$topic', topic(bob, ['$carol'], 1));
      dag.add('$demote', { ...powers(dag, alice, { [alice]: 100 }, ['$carol']), ts: 1000 });
      return dag;
    },
    expected: { 'm.room.power_levels|': '$demote', 'm.room.topic|': undefined },
  },
  {
    title: 'a topic of the banned one gives way to one from before',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$first', topic(alice, ['$carol']));
      dag.add('$second', topic(bob, ['$first']));
      dag.add('$ban', ban(alice, bob, ['$first']));
      return dag;
    },
    expected: { 'm.room.topic|': '$first', [`m.room.member|${bob}`]: '$ban' },
  },
  {
    title: 'who joins past a closed door is not in the room',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version);
      dag.add('$closed', state('join_rules', alice, { join_rule: 'invite' }, { prev: ['$carol'] }));
      dag.add('$eve', member(eve, 'join', { prev: ['$carol'] }));
      return dag;
    },
    expected: { 'm.room.join_rules|': '$closed', [`m.room.member|${eve}`]: undefined },
  },
  {
    title: 'power levels that need each other come in a row',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, {});
      const all = { [alice]: 100, [bob]: 50 };
      dag.add('$promoteBob', powers(dag, alice, all, ['$carol']));
      dag.add('$promoteCarol', powers(dag, bob, { ...all, [carol]: 50 }, ['$promoteBob']));
      dag.add('$ban', ban(carol, eve, ['$promoteCarol']));
      dag.add('$topic', topic(alice, ['$carol']));
      return dag;
    },
    expected: {
      'm.room.power_levels|': '$promoteCarol',
      [`m.room.member|${eve}`]: '$ban',
      'm.room.topic|': '$topic',
    },
  },
  {
    title: 'topics follow the mainline before they follow the clocks',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      const users = { [alice]: 100, [bob]: 50 };
      // One side goes on to new power levels and sets the topic with a slow clock, the other sets it under the old ones.
      dag.add('$levels2', powers(dag, alice, users, ['$carol'], { ban: 60 }));
      dag.add('$new', topic(alice, ['$levels2'], 1));
      dag.add('$old', topic(bob, ['$carol'], 1000));
      return dag;
    },
    expected: { 'm.room.power_levels|': '$levels2', 'm.room.topic|': '$new' },
  },
  {
    title: 'an event under power levels off the mainline stands where they branch off it',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      const users = { [alice]: 100, [bob]: 50 };
      dag.add('$levels2', powers(dag, alice, users, ['$carol'], { ban: 60 }));
      dag.add('$topic2', topic(alice, ['$levels2'], 1));
      // Bob's own levels lose to Alice's, which come first but are not allowed to be changed back by him: they raise ban.
      dag.add('$side', { ...powers(dag, bob, users, ['$carol'], { kick: 40 }), ts: 2 });
      dag.add('$topicSide', topic(bob, ['$side'], 1000));
      return dag;
    },
    expected: { 'm.room.power_levels|': '$levels2', 'm.room.topic|': '$topic2' },
  },
  {
    title: 'two kicks of each other: the higher sender goes first',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 60, [carol]: 50 });
      dag.add('$low', state('topic', carol, {}, { prev: ['$carol'], ts: 1 }));
      dag.add('$kickEve', ban(carol, eve, ['$low']));
      dag.add('$kickCarol', ban(bob, carol, ['$carol']));
      return dag;
    },
    expected: {
      [`m.room.member|${carol}`]: '$kickCarol',
      [`m.room.member|${eve}`]: undefined,
      'm.room.topic|': undefined,
    },
  },
  {
    title: 'three forks are resolved together',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$one', topic(bob, ['$carol'], 5));
      dag.add('$two', topic(alice, ['$carol'], 7));
      dag.add('$three', state('name', bob, { name: 'n' }, { prev: ['$carol'] }));
      return dag;
    },
    expected: { 'm.room.topic|': '$two', 'm.room.name|': '$three' },
  },
  {
    title: 'of equals with the same time the higher event id stays',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version);
      dag.add('$x', topic(alice, ['$carol'], 5));
      dag.add('$y', topic(alice, ['$carol'], 5));
      return dag;
    },
    expected: { 'm.room.topic|': '$y' },
  },
  {
    title: 'what lost where an inner fork was joined does not come back when the winner falls',
    versions: v2AndLater,
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$a', topic(alice, ['$carol'], 10));
      dag.add('$b', topic(bob, ['$carol'], 20));
      dag.add('$joined', { type: 'm.room.message', sender: carol, prev: ['$a', '$b'] });
      dag.add('$ban', ban(alice, bob, ['$carol']));
      dag.add('$end', { type: 'm.room.message', sender: alice, prev: ['$joined', '$ban'] });
      return dag;
    },
    expected: { 'm.room.topic|': undefined, [`m.room.member|${bob}`]: '$ban' },
  },
  {
    title: 'version 1 keeps the power levels that are allowed in a row by depth',
    versions: ['1'],
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$deep', powers(dag, alice, { [alice]: 100, [bob]: 50, [carol]: 10 }, ['$carol']));
      dag.add('$gap', { type: 'm.room.message', sender: carol, prev: ['$carol'] });
      dag.add('$deeper', powers(dag, bob, { [alice]: 100, [bob]: 50, [carol]: 20 }, ['$gap']));
      return dag;
    },
    expected: { 'm.room.power_levels|': '$deeper' },
  },
  {
    title: 'version 1 lets a member event that only one side has stand without a look',
    versions: ['1'],
    build: (version) => {
      const dag = openRoom(version);
      dag.add('$closed', state('join_rules', alice, { join_rule: 'invite' }, { prev: ['$carol'] }));
      dag.add('$eve', member(eve, 'join', { prev: ['$carol'] }));
      return dag;
    },
    expected: { 'm.room.join_rules|': '$closed', [`m.room.member|${eve}`]: '$eve' },
  },
  {
    title: 'version 1 takes the deepest of other events that is allowed',
    versions: ['1'],
    build: (version) => {
      const dag = openRoom(version, { [bob]: 50 });
      dag.add('$demote', powers(dag, alice, { [alice]: 100 }, ['$carol']));
      dag.add('$shallow', topic(alice, ['$demote']));
      dag.add('$gap', { type: 'm.room.message', sender: carol, prev: ['$carol'] });
      dag.add('$gap2', { type: 'm.room.message', sender: carol, prev: ['$gap'] });
      dag.add('$deep', topic(bob, ['$gap2']));
      return dag;
    },
    // The old levels are the first of the list by depth, the demotion follows, and Bob may set no topic then.
    expected: { 'm.room.power_levels|': '$demote', 'm.room.topic|': '$shallow' },
  },
];

describe.each(scenarios)('$title', ({ versions, build, expected }) => {
  test.each(versions)('resolved all at once, in batches and per event alike (version %s)', (version) => {
    const dag = build(version);
    const wanted = dag.ids(dag.currentState());
    expect(wanted).toMatchObject(Object.fromEntries(Object.entries(expected).filter(([, id]) => id !== undefined)));
    for (const [tuple, id] of Object.entries(expected)) expect(wanted[tuple]).toBe(id);
    expect(dag.events.filter(({ eventId }) => dag.isRejected(eventId))).toEqual([]);
    const lastFirst = reorder(dag.events, (below) => below - 1);
    for (const events of [dag.events, lastFirst]) {
      for (const batch of [1, 3, Infinity]) {
        const again = receiveAgain(version, events, batch);
        expect(again.ids(again.currentState())).toEqual(wanted);
      }
    }
  });
});
