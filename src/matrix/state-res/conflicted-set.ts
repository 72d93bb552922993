/**
 * Which events a resolution replays: the conflicted state set, the auth difference and, in v2.1, the conflicted state
 * subgraph (room versions §State resolution, Definitions). Both are computed in one pass along the NIDs, which are a
 * topological order of the auth graph.
 */
import { Heap } from './heap.ts';
import { type ConflictInput, type Sliced, sliceLength } from './source.ts';

/** The full conflicted set, as NIDs of stored events. */
export function* fullConflictedSet(input: ConflictInput, withSubgraph: boolean): Sliced<Set<number>> {
  const { source } = input;
  const conflicted = new Set<number>();
  for (const nids of input.conflicted) {
    for (let at = 0; at < nids.length; at++) {
      const nid = nids[at] ?? 0;
      if (source.record(nid) !== undefined) conflicted.add(nid);
      if (at % sliceLength === 0) yield;
    }
  }
  const full = new Set(conflicted);
  for (const nid of yield* authDifference(input)) full.add(nid);
  if (withSubgraph) for (const nid of yield* conflictedSubgraph(conflicted, input)) full.add(nid);
  return full;
}

/** Sets of state sets as small numbers: bit masks of any length, of which a resolution meets few. */
class Unions {
  readonly #masks: bigint[] = [];
  readonly #numbers = new Map<bigint, number>();
  /** By both numbers. */
  readonly #joined: number[][] = [];

  of(mask: bigint): number {
    let number = this.#numbers.get(mask);
    if (number === undefined) {
      number = this.#masks.push(mask) - 1;
      this.#numbers.set(mask, number);
      this.#joined.push([]);
    }
    return number;
  }

  join(a: number, b: number): number {
    const row = this.#joined[a] ?? [];
    return (row[b] ??= this.of((this.#masks[a] ?? 0n) | (this.#masks[b] ?? 0n)));
  }
}

/**
 * Events in the auth chain of some state set but not of all; an event of a state set counts as in that set's chain. A
 * descending sweep hands every event's set of state sets (a bit mask) down to its auth events. It ends when all that is
 * left to visit belongs to every set, and reads unconflicted events only as far down as that.
 */
function* authDifference({ conflicted, unconflicted, source }: ConflictInput): Sliced<number[]> {
  const unions = new Unions();
  const everySet = unions.of((1n << BigInt(conflicted.length)) - 1n);
  const masks = new Map<number, number>();
  const pending = new Heap<number>((a, b) => a > b);
  // Pending events that are not in every set.
  let partial = 0;
  const reach = (nid: number, mask: number): void => {
    const known = masks.get(nid);
    if (known === undefined) {
      if (source.record(nid) === undefined) return;
      masks.set(nid, mask);
      pending.push(nid);
      if (mask !== everySet) partial++;
      return;
    }
    if (known === everySet || known === mask) return;
    const joint = unions.join(known, mask);
    masks.set(nid, joint);
    if (joint === everySet) partial--;
  };
  for (const [set, nids] of conflicted.entries()) {
    const own = unions.of(1n << BigInt(set));
    for (let at = 0; at < nids.length; at++) {
      reach(nids[at] ?? 0, own);
      if (at % sliceLength === 0) yield;
    }
  }
  const shared = Float64Array.from(partial > 0 ? unconflicted.nids() : []).sort();
  let nextShared = shared.length - 1;
  const difference: number[] = [];
  let visited = 0;
  while (partial > 0) {
    // Unconflicted events join in at their place in the order: they are in every set.
    for (let nid = shared[nextShared]; nid !== undefined && nid >= (pending.peek() ?? 0); nid = shared[--nextShared]) {
      reach(nid, everySet);
    }
    const nid = pending.pop();
    if (nid === undefined) break;
    const mask = masks.get(nid) ?? everySet;
    if (mask !== everySet) {
      partial--;
      difference.push(nid);
    }
    const authNids = source.record(nid)?.authNids ?? [];
    for (let at = 0; at < authNids.length; at++) reach(authNids[at] ?? 0, mask);
    if (++visited % sliceLength === 0) yield;
  }
  return difference;
}

/** All other events on auth paths from one conflicted event to another. */
function* conflictedSubgraph(conflicted: ReadonlySet<number>, { source }: ConflictInput): Sliced<Set<number>> {
  // Nothing below the lowest conflicted event can lead to one.
  let lowest = Infinity;
  for (const nid of conflicted) if (nid < lowest) lowest = nid;
  const reached = new Set<number>();
  const stack: number[] = [];
  const visit = (nid: number): void => {
    const authNids = source.record(nid)?.authNids ?? [];
    for (let at = 0; at < authNids.length; at++) {
      const authNid = authNids[at] ?? 0;
      if (authNid < lowest || conflicted.has(authNid) || reached.has(authNid)) continue;
      reached.add(authNid);
      stack.push(authNid);
    }
  };
  let visited = 0;
  for (const nid of conflicted) {
    visit(nid);
    if (++visited % sliceLength === 0) yield;
  }
  for (let nid = stack.pop(); nid !== undefined; nid = stack.pop()) {
    visit(nid);
    if (++visited % sliceLength === 0) yield;
  }
  // Upwards: who is reached from a conflicted event and leads to one.
  const leading = new Set<number>();
  for (const nid of Float64Array.from(reached).sort()) {
    const authNids = source.record(nid)?.authNids ?? [];
    for (let at = 0; at < authNids.length; at++) {
      const authNid = authNids[at] ?? 0;
      if (!conflicted.has(authNid) && !leading.has(authNid)) continue;
      leading.add(nid);
      break;
    }
  }
  return leading;
}
