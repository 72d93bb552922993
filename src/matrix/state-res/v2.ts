/**
 * State resolution v2 (room versions 2–11) and v2.1 (12): power events first in reverse topological power ordering,
 * then all else in mainline ordering, each admitted only if the auth rules allow it on what has been admitted before.
 */
import { authorise } from '../event-auth.ts';
import { fullConflictedSet } from './conflicted-set.ts';
import { sortByMainline } from './mainline.ts';
import { type AuthRecord, type ConflictInput, type Sliced, type Winners, sliceLength } from './source.ts';
import { sortByPower, withAuthChains } from './topo-sort.ts';
import { EventViews, ReplayState, WorkingState, winnersOf } from './working-state.ts';

/** Resolves by v2, or by v2.1 when the room version says so. */
export function* resolveV2(input: ConflictInput): Sliced<Winners> {
  const { source, rules } = input;
  const isV21 = rules.stateResolution === 'v2.1';
  const full = yield* fullConflictedSet(input, isV21);
  const views = new EventViews(source, rules);
  // v2 begins with the unconflicted state, v2.1 with nothing: there, what an event was sent under comes from its own
  // auth events, and not from a state that may be from another time.
  const state = new WorkingState(isV21 ? undefined : input.unconflicted);
  const replay = new ReplayState(state, source, views, rules);

  // Step 1 and 2: power events, and what leads up to them.
  const powerNids = withAuthChains(full, source);
  yield* admitInOrder(yield* sortByPower(powerNids, source, views, rules), replay, views, input);

  // Step 3 and 4: the others, along the power levels that came out.
  const others: AuthRecord[] = [];
  for (const nid of full) {
    const record = powerNids.has(nid) ? undefined : source.record(nid);
    if (record !== undefined) others.push(record);
  }
  const powerLevels = state.get('m.room.power_levels', '');
  const mainlineHead = powerLevels === undefined ? undefined : source.record(powerLevels);
  yield* admitInOrder(yield* sortByMainline(others, mainlineHead, source), replay, views, input);

  // Step 5: what was never in conflict stays as it was.
  return winnersOf(state, input);
}

/** The iterative auth checks: each event in turn is judged on the state so far, and enters it if it is allowed. */
function* admitInOrder(
  records: readonly AuthRecord[],
  replay: ReplayState,
  views: EventViews,
  { rules, checks }: ConflictInput,
): Sliced<void> {
  let judged = 0;
  for (const record of records) {
    if (++judged % sliceLength === 0) yield;
    if (record.rejected) continue;
    const event = views.of(record);
    if (event === undefined) continue;
    if (!authorise(event, replay.judging(record.authNids), rules, checks).allowed) continue;
    replay.state.set(record.type, record.stateKey, record.nid);
  }
}
