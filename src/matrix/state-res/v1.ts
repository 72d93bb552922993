/**
 * State resolution v1 (room version 1): per conflicting tuple, power levels first, then join rules, members and the
 * rest, by depth and the SHA-1 of the event id. Known to reset state at times; that is what version 1 rooms agreed on.
 */
import { hash } from 'node:crypto';
import { authorise } from '../event-auth.ts';
import { type AuthRecord, type ConflictInput, type Sliced, type Winners, sliceLength } from './source.ts';
import { EventViews, ReplayState, WorkingState, winnersOf } from './working-state.ts';

interface Candidate {
  readonly record: AuthRecord;
  readonly sha1: string;
}

/** Ascending depth, then descending SHA-1 of the event id. */
function byDepth(a: Candidate, b: Candidate): number {
  if (a.record.depth !== b.record.depth) return a.record.depth - b.record.depth;
  return a.sha1 > b.sha1 ? -1 : 1;
}

/** Candidates of each tuple, by type. */
function* candidatesByType({ conflicted, source }: ConflictInput): Sliced<Map<string, Candidate[][]>> {
  const seen = new Set<number>();
  const tuples = new Map<string, Map<string, Candidate[]>>();
  for (const nids of conflicted) {
    for (let at = 0; at < nids.length; at++) {
      const record = source.record(nids[at] ?? 0);
      if (record === undefined || record.rejected || seen.has(record.nid)) continue;
      seen.add(record.nid);
      if (seen.size % sliceLength === 0) yield;
      const keys = tuples.get(record.type) ?? new Map<string, Candidate[]>();
      const candidates = keys.get(record.stateKey) ?? [];
      candidates.push({ record, sha1: hash('sha1', record.eventId) });
      tuples.set(record.type, keys.set(record.stateKey, candidates));
    }
  }
  return new Map([...tuples].map(([type, keys]) => [type, [...keys.values()]]));
}

/** Resolves by v1. */
export function* resolveV1(input: ConflictInput): Sliced<Winners> {
  const { source, rules, checks } = input;
  const state = new WorkingState(input.unconflicted);
  const views = new EventViews(source, rules);
  const replay = new ReplayState(state, source, views, rules);
  const isAllowed = ({ record }: Candidate): boolean => {
    const event = views.of(record);
    return event !== undefined && authorise(event, replay, rules, checks).allowed;
  };
  const enter = ({ record }: Candidate): void => state.set(record.type, record.stateKey, record.nid);

  const conflicts = yield* candidatesByType(input);
  for (const [type, tuples] of conflicts) {
    const open: Candidate[][] = [];
    for (const candidates of tuples) {
      // A tuple that only some sets have, always with the same event, is no conflict in v1.
      const [only] = candidates;
      if (candidates.length === 1 && only !== undefined) enter(only);
      else open.push(candidates.sort(byDepth));
    }
    conflicts.set(type, open);
  }

  // Power levels, then join rules, then members: the first of the list enters, and each next one as long as it is
  // allowed. Conflicts of one type do not see each other's outcome, so that their order does not matter.
  for (const type of ['m.room.power_levels', 'm.room.join_rules', 'm.room.member']) {
    const outcomes: Candidate[] = [];
    for (const candidates of conflicts.get(type) ?? []) {
      const outcome = lastInARow(candidates, isAllowed, enter);
      if (outcome !== undefined) {
        outcomes.push(outcome);
        state.unset(type, outcome.record.stateKey);
      }
      yield;
    }
    outcomes.forEach(enter);
    conflicts.delete(type);
  }

  // All others: the deepest that is allowed, of equals the one with the lowest SHA-1.
  const outcomes: Candidate[] = [];
  for (const tuples of conflicts.values()) {
    for (const candidates of tuples) {
      const outcome = candidates.findLast(isAllowed);
      if (outcome !== undefined) outcomes.push(outcome);
    }
    yield;
  }
  outcomes.forEach(enter);
  return winnersOf(state, input);
}

/** Enters candidate after candidate until one is not allowed; gives the last that was entered. */
function lastInARow(
  candidates: readonly Candidate[],
  isAllowed: (candidate: Candidate) => boolean,
  enter: (candidate: Candidate) => void,
): Candidate | undefined {
  let last: Candidate | undefined;
  for (const candidate of candidates) {
    if (last !== undefined && !isAllowed(candidate)) break;
    enter(candidate);
    last = candidate;
  }
  return last;
}
