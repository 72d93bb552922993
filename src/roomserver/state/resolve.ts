/**
 * State resolution over stored snapshots: the conflicted part comes from block differences, events are read as auth
 * records, the result is a base snapshot plus changes. Results are remembered by the set of snapshots they come from.
 */
import { authChecks } from '../../matrix/auth-checks.ts';
import type { AuthEvent } from '../../matrix/auth-types.ts';
import {
  type AuthRecord,
  type ConflictInput,
  type ResolutionSource,
  type Winners,
  resolveConflicted,
  resolveConflictedInSlices,
} from '../../matrix/state-res/index.ts';
import { LRUCache } from 'lru-cache';
import type { Snapshot, Tx } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import { flag, membershipOfCode } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';
import type { Entry } from './blocks.ts';
import { entriesOf } from './snapshots.ts';

/** Conflicted events up to which a resolution runs inside the transaction that needs it. */
const defaultInlineLimit = 500;

/** Thrown inside a transaction when a resolution should be prepared before: the unit is rolled back and tried again. */
export class ResolutionTooLarge extends Error {
  override readonly name = 'ResolutionTooLarge';
  readonly sets: readonly SnapshotNid[];
  /** States around the event that is being stored, where they are among the sets: they roll back with it. */
  readonly event: { readonly before: SnapshotNid; readonly after: SnapshotNid } | undefined;
  /** Which event of a batch met it. */
  index = 0;

  constructor(sets: readonly SnapshotNid[], event?: { readonly before: SnapshotNid; readonly after: SnapshotNid }) {
    super('the state resolution must be prepared outside the transaction');
    this.sets = sets;
    this.event = event;
  }
}

/** What to change in `base` to get the resolved state. */
interface Resolution {
  readonly base: SnapshotNid;
  readonly changes: readonly Entry[];
}

interface Conflict {
  readonly input: ConflictInput;
  readonly size: number;
  /** Per state set its entry of each conflicted pair, event 0 where it has none. */
  readonly entries: readonly (readonly Entry[])[];
}

export class Resolver {
  readonly #stores: Stores;
  readonly #inlineLimit: number;
  readonly #memo = new LRUCache<string, Resolution>({
    max: 500,
    maxSize: 200_000,
    sizeCalculation: ({ changes }) => changes.length + 1,
  });

  #verdictChanges = 0;

  constructor(stores: Stores, inlineLimit = defaultInlineLimit) {
    this.#stores = stores;
    this.#inlineLimit = inlineLimit;
  }

  /**
   * The resolved state of several snapshots, stored.
   * @throws ResolutionTooLarge when `mayDefer` and it is large and was not prepared
   */
  resolve(tx: Tx, room: Room, snapshots: readonly SnapshotNid[], mayDefer: boolean): SnapshotNid {
    const sets = distinct(snapshots);
    const [only] = sets;
    if (only === undefined) throw new Error('nothing to resolve');
    if (sets.length === 1) return only;
    const { base, changes } = this.#resolution(tx, room, sets, mayDefer);
    return this.#stores.states.overlay(tx, base, changes);
  }

  /** Resolves in slices and remembers the result for `resolve`. */
  async prepare(snapshot: Snapshot, room: Room, snapshots: readonly SnapshotNid[]): Promise<void> {
    const sets = distinct(snapshots);
    const key = memoKey(room, sets);
    if (sets.length < 2 || this.#memo.has(key)) return;
    const conflict = this.#conflictOf(snapshot, room, sets);
    const slice = new Slice();
    const winners = await resolveConflictedInSlices(conflict.input, () => slice.tick());
    this.#memo.set(key, this.#resolutionOf(snapshot, sets, conflict, winners));
  }

  /** The resolved state of several snapshots as changes to one of them, without storing it. */
  compute(snapshot: Snapshot, room: Room, snapshots: readonly SnapshotNid[]): Resolution {
    return this.#resolution(snapshot, room, distinct(snapshots), false);
  }

  /** What becomes of some entries that a few small states have at the same pairs: the winners, without storing a state. */
  among(snapshot: Snapshot, room: Room, sets: readonly (readonly Entry[])[]): Entry[] {
    const counts = new Map<number, number>();
    for (const { event } of sets.flat()) counts.set(event, (counts.get(event) ?? 0) + 1);
    const agreed = (sets[0] ?? []).filter(({ event }) => counts.get(event) === sets.length);
    const conflicted = sets.map((set) =>
      set.map(({ event }) => event).filter((event) => counts.get(event) !== sets.length),
    );
    const { types, keys, events } = this.#stores;
    const unconflicted = {
      get: (type: string, stateKey: string): number | undefined => {
        const [typeNid, key] = [types.find(snapshot, type), keys.find(snapshot, stateKey)];
        return agreed.find((entry) => entry.type === typeNid && entry.key === key)?.event;
      },
      nids: (): number[] => agreed.map(({ event }) => event),
    };
    const source = this.#source(snapshot, room);
    const winners = resolveConflicted({ conflicted, unconflicted, source, rules: room.rules, checks: authChecks });
    const won = winners.map(({ nid }): Entry => {
      const { type, key } = events.knownMeta(snapshot, nid as EventNid);
      return { type, key, event: nid };
    });
    return [...agreed, ...won];
  }

  /** Forgets results: a verdict that they rest on has changed. */
  clear(): void {
    this.#memo.clear();
    this.#verdictChanges += 1;
  }

  /** Grows whenever verdicts on stored events may have changed: what was decided on them before is to be decided again. */
  get verdictChanges(): number {
    return this.#verdictChanges;
  }

  #resolution(snapshot: Snapshot, room: Room, sets: readonly SnapshotNid[], mayDefer: boolean): Resolution {
    const key = memoKey(room, sets);
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const conflict = this.#conflictOf(snapshot, room, sets);
    if (mayDefer && conflict.size > this.#inlineLimit) throw new ResolutionTooLarge(sets);
    const resolution = this.#resolutionOf(snapshot, sets, conflict, resolveConflicted(conflict.input));
    this.#memo.set(key, resolution);
    return resolution;
  }

  #conflictOf(snapshot: Snapshot, room: Room, sets: readonly SnapshotNid[]): Conflict {
    const { states, types, keys } = this.#stores;
    const [first, ...others] = sets;
    if (first === undefined) throw new Error('nothing to resolve');
    const pairs = new Map<string, Entry>();
    for (const other of others) {
      for (const { type, key, from } of states.difference(snapshot, first, other)) {
        pairs.set(pairOf(type, key), { type, key, event: from });
      }
    }
    const entries = sets.map((set) =>
      [...pairs.values()].map(({ type, key, event }) => ({
        type,
        key,
        event: set === first ? event : states.get(snapshot, set, type, key),
      })),
    );
    const conflicted = entries.map((list) => list.map(({ event }) => event).filter((event) => event > 0));
    const unconflicted = {
      get: (type: string, stateKey: string): number | undefined => {
        const typeNid = types.find(snapshot, type);
        const key = keys.find(snapshot, stateKey);
        if (typeNid === 0 || key === 0 || pairs.has(pairOf(typeNid, key))) return undefined;
        return states.get(snapshot, first, typeNid, key) || undefined;
      },
      nids: (): number[] =>
        entriesOf(states.entries(snapshot, first))
          .filter(({ type, key }) => !pairs.has(pairOf(type, key)))
          .map(({ event }) => event),
    };
    const source = this.#source(snapshot, room);
    const input: ConflictInput = { conflicted, unconflicted, source, rules: room.rules, checks: authChecks };
    return { input, size: conflicted.reduce((sum, { length }) => sum + length, 0), entries };
  }

  /** The result as changes to that set which is nearest to it. */
  #resolutionOf(snapshot: Snapshot, sets: readonly SnapshotNid[], conflict: Conflict, winners: Winners): Resolution {
    const won = new Map<string, Entry>();
    for (const { nid } of winners) {
      const { type, key } = this.#stores.events.knownMeta(snapshot, nid as EventNid);
      won.set(pairOf(type, key), { type, key, event: nid });
    }
    let nearest: Resolution | undefined;
    conflict.entries.forEach((entries, index) => {
      const changes = new Map(won);
      for (const { type, key, event } of entries) {
        const pair = pairOf(type, key);
        if ((won.get(pair)?.event ?? 0) === event) changes.delete(pair);
        else if (!won.has(pair)) changes.set(pair, { type, key, event: 0 });
      }
      if (nearest === undefined || changes.size < nearest.changes.length) {
        nearest = { base: sets[index] ?? (0 as SnapshotNid), changes: [...changes.values()] };
      }
    });
    if (nearest === undefined) throw new Error('nothing to resolve');
    return nearest;
  }

  #source(snapshot: Snapshot, room: Room): ResolutionSource {
    const { events, rooms } = this.#stores;
    const records = new Map<number, AuthRecord | undefined>();
    return {
      roomId: room.roomId,
      createNid: rooms.head(snapshot, room.nid).create_event,
      record: (nid) => {
        if (!records.has(nid)) records.set(nid, this.#record(snapshot, nid as EventNid));
        return records.get(nid);
      },
      event: (nid): AuthEvent | undefined =>
        events.meta(snapshot, nid as EventNid) && events.forAuth(snapshot, nid as EventNid, room.rules),
    };
  }

  #record(snapshot: Snapshot, nid: EventNid): AuthRecord | undefined {
    const { events, types, keys } = this.#stores;
    const meta = events.meta(snapshot, nid);
    if (meta === undefined || meta.key === 0) return undefined;
    return {
      nid,
      eventId: meta.eventId,
      type: types.text(snapshot, meta.type),
      stateKey: keys.text(snapshot, meta.key),
      sender: keys.text(snapshot, meta.sender),
      membership: membershipOfCode(meta.membership),
      needsContent: (meta.flags & flag.readInFull) !== 0,
      originServerTs: meta.ts,
      depth: meta.depth,
      authNids: events.authNids(snapshot, nid),
      rejected: (meta.flags & flag.rejected) !== 0,
    };
  }
}

const pairOf = (type: number, key: number): string => `${type} ${key}`;

const distinct = (snapshots: readonly SnapshotNid[]): SnapshotNid[] => [...new Set(snapshots)].sort((a, b) => a - b);

const memoKey = (room: Room, sets: readonly SnapshotNid[]): string => `${room.nid} ${sets.join(' ')}`;
