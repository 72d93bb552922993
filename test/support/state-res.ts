/** The room that scenarios of state resolution begin with, and what happens in it. */
import type { JsonObject } from '../../src/matrix/json.ts';
import { type EventDraft, RoomDag, createId, member } from './room-dag.ts';

export const alice = '@alice:h1';
export const bob = '@bob:h2';
export const carol = '@carol:h3';
export const eve = '@eve:h4';

export const state = (
  type: string,
  sender: string,
  content: JsonObject,
  more: Partial<EventDraft> = {},
): EventDraft => ({
  type: `m.room.${type}`,
  sender,
  stateKey: '',
  content,
  ...more,
});
export const topic = (sender: string, prev: string[], ts?: number): EventDraft =>
  state('topic', sender, { topic: sender }, { prev, ...(ts === undefined ? {} : { ts }) });

/** Users' levels, without the creator where a creator must not be listed. */
export function powers(
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
export function openRoom(version: string, users: Record<string, number> = {}): RoomDag {
  const dag = new RoomDag(version);
  dag.add(createId, state('create', alice, { creator: alice, room_version: version }));
  dag.add('$alice', member(alice, 'join'));
  dag.add('$levels', powers(dag, alice, { [alice]: 100, ...users }, ['$alice']));
  dag.add('$rule', state('join_rules', alice, { join_rule: 'public' }));
  dag.add('$bob', member(bob, 'join'));
  dag.add('$carol', member(carol, 'join'));
  return dag;
}

const v2 = ['2', '6', '11'];
export const v2AndLater = [...v2, '12'];
