/** State resolution of states that contradict the graph, of equal ones, and in slices. */
import { describe, expect, test } from '@jest/globals';
import { authChecks } from '../../src/matrix/auth-checks.ts';
import { resolveConflictedInSlices, resolveState, splitStateSets } from '../../src/matrix/state-res/index.ts';
import { type RoomDag, member } from '../support/room-dag.ts';
import { alice, bob, carol, eve, state, topic, powers, openRoom, v2AndLater } from '../support/state-res.ts';

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
