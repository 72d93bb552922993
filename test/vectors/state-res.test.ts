import { describe, expect, test } from '@jest/globals';
import { type EventDraft, RoomDag, createId, member, receiveAgain, reorder } from '../support/room-dag.ts';
import { resolveConflictedInSlices, resolveState, splitStateSets } from '../../src/matrix/state-res/index.ts';
import { authChecks } from '../../src/matrix/auth-checks.ts';
import type { JsonObject } from '../../src/matrix/json.ts';

const alice = '@alice:h1';
const bob = '@bob:h2';
const carol = '@carol:h3';
const eve = '@eve:h4';

const state = (type: string, sender: string, content: JsonObject, more: Partial<EventDraft> = {}): EventDraft => ({
  type: `m.room.${type}`,
  sender,
  stateKey: '',
  content,
  ...more,
});
const topic = (sender: string, prev: string[], ts?: number): EventDraft =>
  state('topic', sender, { topic: sender }, { prev, ...(ts === undefined ? {} : { ts }) });
const ban = (sender: string, target: string, prev: string[]): EventDraft => member(target, 'ban', { sender, prev });

/** Users' levels, without the creator where a creator must not be listed. */
function powers(
  dag: RoomDag,
  sender: string,
  users: Record<string, number>,
  prev: string[],
  more: JsonObject = {},
): EventDraft {
  const listed = Object.entries(users).filter(([user]) => user !== alice || !dag.rules.privilegedCreators);
  return state('power_levels', sender, { users: Object.fromEntries(listed), ...more }, { prev });
}

/** A public room of Alice, with Bob and Carol in it; the last event is `$carol`. */
function openRoom(version: string, users: Record<string, number> = {}): RoomDag {
  const dag = new RoomDag(version);
  dag.add(createId, state('create', alice, { creator: alice, room_version: version }));
  dag.add('$alice', member(alice, 'join'));
  dag.add('$levels', powers(dag, alice, { [alice]: 100, ...users }, ['$alice']));
  dag.add('$rule', state('join_rules', alice, { join_rule: 'public' }));
  dag.add('$bob', member(bob, 'join'));
  dag.add('$carol', member(carol, 'join'));
  return dag;
}

type Expected = Record<string, string | undefined>;

/** A room with forks, and what the state must say after them. */
interface Scenario {
  readonly title: string;
  readonly versions: readonly string[];
  readonly build: (version: string) => RoomDag;
  readonly expected: Expected;
}

const v2 = ['2', '6', '11'];
const v2AndLater = [...v2, '12'];

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

/** States that do not fit the graph, as they come from servers that know only part of it. */
describe('states that contradict the auth chains', () => {
  const resolved = (dag: RoomDag, one: ReturnType<RoomDag['stateAfter']>, other: typeof one) => {
    const result = dag.ids(resolveState([one, other], dag, dag.rules));
    expect(dag.ids(resolveState([other, one], dag, dag.rules))).toEqual(result);
    return result;
  };

  /** Alice sets the join rules twice and leaves; one side comes with the old ones. */
  function outdatedJoinRules(version: string) {
    const dag = openRoom(version);
    dag.add('$rule2', state('join_rules', alice, { join_rule: 'invite' }));
    dag.add('$gone', member(alice, 'leave'));
    const right = dag.currentState();
    return resolved(dag, right, dag.override(right, '$rule'));
  }

  test('v2 loses join rules whose sender has left since, as it starts from the unconflicted state', () => {
    expect(outdatedJoinRules('11')['m.room.join_rules|']).toBeUndefined();
  });

  test('v2.1 keeps the newer join rules, as it starts from nothing', () => {
    expect(outdatedJoinRules('12')['m.room.join_rules|']).toBe('$rule2');
  });

  /** Alice promotes Bob, Bob promotes Carol; one side comes with the levels before both, though it knows of all. */
  function outdatedPowerLevels(version: string) {
    const dag = openRoom(version);
    const all = { [alice]: 100, [bob]: 50 };
    dag.add('$promoteBob', powers(dag, alice, all, ['$carol']));
    dag.add('$promoteCarol', powers(dag, bob, { ...all, [carol]: 50 }, ['$promoteBob']));
    dag.add('$eve', member(eve, 'join'));
    const right = dag.currentState();
    return resolved(dag, right, dag.override(right, '$levels'));
  }

  test('v2 falls back to the oldest power levels, as it does not replay those between', () => {
    expect(outdatedPowerLevels('11')['m.room.power_levels|']).toBe('$levels');
  });

  test('v2.1 replays the power levels between and keeps the newest', () => {
    expect(outdatedPowerLevels('12')['m.room.power_levels|']).toBe('$promoteCarol');
  });

  test.each(v2AndLater)('a tuple that no candidate may hold is gone (version %s)', (version) => {
    const dag = openRoom(version, { [bob]: 50 });
    dag.add('$one', topic(bob, ['$carol']));
    dag.add('$two', topic(bob, ['$one']));
    dag.add('$demote', powers(dag, alice, { [alice]: 100 }, ['$carol']));
    const lost = dag.stateAfter('$demote');
    const result = resolved(dag, dag.override(dag.stateAfter('$one'), '$levels'), dag.override(lost, '$two'));
    expect(result['m.room.power_levels|']).toBe('$demote');
    expect(result['m.room.topic|']).toBeUndefined();
  });

  test.each(v2AndLater)('a rejected event never wins (version %s)', (version) => {
    const dag = openRoom(version);
    dag.add('$good', topic(alice, ['$carol'], 1));
    dag.add('$bad', topic(bob, ['$carol'], 1000));
    expect(dag.isRejected('$bad')).toBe(true);
    const right = dag.stateAfter('$good');
    expect(resolved(dag, right, dag.override(right, '$bad'))['m.room.topic|']).toBe('$good');
  });

  test('events that are not stored count as not named', () => {
    const dag = openRoom('11');
    dag.add('$topic', topic(alice, ['$carol']));
    const right = dag.currentState();
    const unknown = new Map([...right, ['m.room.topic', new Map([['', 9999]])]]);
    expect(resolved(dag, right, unknown)['m.room.topic|']).toBe('$topic');
  });
});

describe('resolution', () => {
  test('of one state, or of equal ones, is that state', () => {
    const dag = openRoom('12');
    const now = dag.currentState();
    expect(resolveState([now], dag, dag.rules)).toEqual(now);
    expect(resolveState([now, now, now], dag, dag.rules)).toEqual(now);
  });

  test('in slices gives what it gives at once', async () => {
    const dag = openRoom('12', { [bob]: 50 });
    for (let at = 0; at < 600; at++) dag.add(`$m${at}`, member(`@u${at}:h5`, 'join', { prev: ['$carol'] }));
    const { conflicted, unconflicted } = splitStateSets(
      Array.from({ length: 600 }, (_, at) => dag.stateAfter(`$m${at}`)),
    );
    let pauses = 0;
    const winners = await resolveConflictedInSlices(
      {
        ...{ conflicted, source: dag, rules: dag.rules, checks: authChecks },
        unconflicted: { get: (type, key) => unconflicted.get(type)?.get(key), nids: () => [] },
      },
      async () => {
        pauses++;
        await Promise.resolve();
      },
    );
    expect(winners).toHaveLength(600);
    expect(pauses).toBeGreaterThan(2);
  });
});
