/**
 * State resolution of all room versions (Room Version Specification §State resolution). `resolveConflicted` takes only
 * the tuples on which the state sets differ; `resolveState` takes whole state maps and splits them itself.
 * Rejected events never win here, although v2 would let an event win that was rejected only by the state before it:
 * such events are in no state of ours.
 */
import type { AuthChecks } from '../auth-types.ts';
import { authChecks } from '../auth-checks.ts';
import type { RoomVersionRules } from '../room-versions.ts';
import type { ConflictInput, ResolutionSource, Sliced, UnconflictedState, Winners } from './source.ts';
import { resolveV1 } from './v1.ts';
import { resolveV2 } from './v2.ts';

export type { AuthRecord, ConflictInput, ResolutionSource, UnconflictedState, Winners } from './source.ts';

const resolve = (input: ConflictInput): Sliced<Winners> =>
  input.rules.stateResolution === 'v1' ? resolveV1(input) : resolveV2(input);

/** Resolves without pause. */
export function resolveConflicted(input: ConflictInput): Winners {
  const slices = resolve(input);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
  }
}

/**
 * Resolves in slices of about a millisecond (but for one sort of all conflicted events), with `pause` between them, which
 * may well return at once.
 */
export async function resolveConflictedInSlices(input: ConflictInput, pause: () => Promise<void>): Promise<Winners> {
  const slices = resolve(input);
  for (;;) {
    const { done, value } = slices.next();
    if (done === true) return value;
    await pause();
  }
}

/** State as type → state key → event NID. */
export type StateMap = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** The conflicted tuples of some state sets, per set, and what they all agree on. */
export interface SplitState {
  readonly conflicted: readonly number[][];
  readonly unconflicted: StateMap;
}

/** A tuple is unconflicted when every set has it, with the same event (§State resolution, Definitions). */
export function splitStateSets(stateSets: readonly StateMap[]): SplitState {
  const conflicted = stateSets.map((): number[] => []);
  const unconflicted = new Map<string, Map<string, number>>();
  stateSets.forEach((stateSet, set) => {
    for (const [type, keys] of stateSet) {
      for (const [stateKey, nid] of keys) {
        if (!stateSets.every((other) => other.get(type)?.get(stateKey) === nid)) conflicted[set]?.push(nid);
        else if (set === 0) setIn(unconflicted, type, stateKey, nid);
      }
    }
  });
  return { conflicted, unconflicted };
}

function setIn(map: Map<string, Map<string, number>>, type: string, stateKey: string, nid: number): void {
  const keys = map.get(type);
  if (keys === undefined) map.set(type, new Map([[stateKey, nid]]));
  else keys.set(stateKey, nid);
}

const viewOf = (state: StateMap): UnconflictedState => ({
  get: (type, stateKey) => state.get(type)?.get(stateKey),
  nids: () => [...state.values()].flatMap((keys) => [...keys.values()]),
});

/** Resolves whole states; the room has exactly the state that is returned. */
export function resolveState(
  stateSets: readonly StateMap[],
  source: ResolutionSource,
  rules: RoomVersionRules,
  checks: AuthChecks = authChecks,
): StateMap {
  const { conflicted, unconflicted } = splitStateSets(stateSets);
  const resolved = new Map([...unconflicted].map(([type, keys]) => [type, new Map(keys)]));
  if (conflicted.every((nids) => nids.length === 0)) return resolved;
  const input: ConflictInput = { conflicted, unconflicted: viewOf(unconflicted), source, rules, checks };
  for (const { type, stateKey, nid } of resolveConflicted(input)) setIn(resolved, type, stateKey, nid);
  return resolved;
}
