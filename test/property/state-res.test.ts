import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { JsonObject } from '../../src/matrix/json.ts';
import { type StateMap, resolveState } from '../../src/matrix/state-res/index.ts';
import { type PlainState, referenceResolve } from '../support/reference-state-res.ts';
import { type EventDraft, RoomDag, createId, member, receiveAgain, reorder } from '../support/room-dag.ts';
import { stepOf, type Step } from '../support/steps.ts';

const users = ['@alice:h1', '@bob:h2', '@carol:h3', '@dave:h4'] as const;

const step = stepOf({ prev: 6, target: 3, kind: 8 });
const history = fc.array(step, { minLength: 1, maxLength: 30 });
const version = fc.constantFrom('2', '10', '11', '12');

const userAt = (at: number): string => users[at] ?? users[0];

function draftOf({ actor, target, kind, level, ts }: Step, dag: RoomDag, prev: string[]): EventDraft {
  const sender = userAt(actor);
  const other = userAt(target);
  const common = { prev, ts, sender };
  switch (kind) {
    case 0:
      return member(sender, 'join', common);
    case 1:
      return member(other, 'leave', common);
    case 2:
      return member(other, 'ban', common);
    case 3:
      return member(other, 'invite', common);
    case 4:
      return {
        ...common,
        type: 'm.room.join_rules',
        stateKey: '',
        content: { join_rule: level > 0 ? 'public' : 'invite' },
      };
    case 5:
    case 6:
      return { ...common, type: 'm.room.power_levels', stateKey: '', content: nextLevels(dag, prev, other, level) };
    default:
      return { ...common, type: kind === 7 ? 'm.room.topic' : 'm.room.name', stateKey: '', content: {} };
  }
}

/** The power levels behind `prev`, with one user changed. */
function nextLevels(dag: RoomDag, prev: string[], user: string, level: number): JsonObject {
  const nid = dag.stateBehind(prev).get('m.room.power_levels')?.get('') ?? 0;
  const now = dag.event(nid)?.content.users;
  const listed = { ...(now as JsonObject | undefined), [user]: level };
  if (dag.rules.privilegedCreators) delete listed[users[0]];
  return { users: listed };
}

/** A room whose history follows the steps, as far as they are allowed where they are taken. */
function play(roomVersion: string, steps: readonly Step[]): RoomDag {
  const dag = new RoomDag(roomVersion);
  const [alice] = users;
  dag.add(createId, { type: 'm.room.create', sender: alice, stateKey: '', content: { creator: alice } });
  dag.add('$alice', member(alice, 'join'));
  dag.add('$levels', {
    type: 'm.room.power_levels',
    sender: alice,
    stateKey: '',
    content: nextLevels(dag, ['$alice'], alice, 100),
  });
  dag.add('$rule', { type: 'm.room.join_rules', sender: alice, stateKey: '', content: { join_rule: 'public' } });
  for (const user of users.slice(1)) dag.add(`$join${user}`, member(user, 'join'));
  steps.forEach((one, at) => {
    const newest = dag.events.slice(6).reverse();
    const prev = [...new Set(one.prev.map((back) => newest[Math.min(back, newest.length - 1)]?.eventId ?? '$rule'))];
    const event = dag.build(`$${(at * 7919) % 1000}-${at}`, draftOf(one, dag, prev));
    if (dag.isAllowed(event)) dag.receive(event);
  });
  return dag;
}

const plain = (dag: RoomDag, state: StateMap): PlainState => new Map(Object.entries(dag.ids(state)));

/** States after some of the newest events: any set of states may have to be resolved. */
const statesOf = (dag: RoomDag, picks: readonly number[]): StateMap[] => {
  const newest = dag.events.reverse();
  return picks.map((back) => dag.stateAfter(newest[Math.min(back, newest.length - 1)]?.eventId ?? createId));
};

const picks = fc.array(fc.nat(12), { minLength: 2, maxLength: 4 });
const runs = { numRuns: 300 };

describe('state resolution', () => {
  test('gives what the definitions give', () => {
    fc.assert(
      fc.property(version, history, picks, (roomVersion, steps, chosen) => {
        const dag = play(roomVersion, steps);
        const states = statesOf(dag, chosen);
        const events = new Map(dag.events.map((event): [string, typeof event] => [event.eventId, event]));
        const create = dag.event(dag.createNid);
        if (create === undefined) throw new Error('no create event');
        const wanted = referenceResolve(
          states.map((state) => plain(dag, state)),
          { rules: dag.rules, create, events, rejected: new Set() },
        );
        expect(dag.ids(resolveState(states, dag, dag.rules))).toEqual(Object.fromEntries([...wanted]));
      }),
      runs,
    );
  });

  test('does not depend on the order or the repetition of the state sets', () => {
    fc.assert(
      fc.property(fc.constantFrom('1', '2', '11', '12'), history, picks, (roomVersion, steps, chosen) => {
        const dag = play(roomVersion, steps);
        const states = statesOf(dag, chosen);
        const wanted = dag.ids(resolveState(states, dag, dag.rules));
        expect(dag.ids(resolveState(states.toReversed(), dag, dag.rules))).toEqual(wanted);
        expect(dag.ids(resolveState([...states, ...states], dag, dag.rules))).toEqual(wanted);
      }),
      runs,
    );
  });

  test('does not depend on the order in which events arrive', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('1', '2', '11', '12'),
        history,
        fc.infiniteStream(fc.nat()),
        (roomVersion, steps, order) => {
          const dag = play(roomVersion, steps);
          const pick = (below: number): number => (order.next().value ?? 0) % below;
          const again = receiveAgain(roomVersion, reorder(dag.events, pick), 4);
          expect(again.ids(again.currentState())).toEqual(dag.ids(dag.currentState()));
        },
      ),
      { numRuns: 100 },
    );
  });
});
