/**
 * States as other servers tell them, as lists of ids of stored events, become snapshots: what differs from the current
 * state is written. A big one is read in slices ahead of the transaction that stores it, which then only has to make sure
 * that no verdict has changed since.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { Database, Snapshot, Tx } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import type { Block } from '../state/blocks.ts';
import { emptySnapshot } from '../state/snapshots.ts';
import { flag } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { Room, SnapshotNid } from '../types.ts';
import type { PipelineTools } from './job.ts';

/** A told state that was read; it holds as long as no verdict changes. */
export interface ReadState {
  readonly told: readonly EventId[];
  readonly base: SnapshotNid;
  readonly changes: Block;
  /** See Resolver.verdictChanges. */
  readonly verdictChanges: number;
}

/** Events that are looked up in one go. */
const perLook = 250;
/** States with fewer events are read in the transaction that needs them. */
const readAheadFrom = 500;

/** A type and a key as one number: there are fewer than 2^21 types. */
const keySpan = 2 ** 32;
const pairOf = (type: number, key: number): number => type * keySpan + key;

/** Pair → event, 0 for one that goes. */
type Entries = Map<number, number>;

/** Reads a state; later events win. A sentence when an event is not stored. */
export async function readToldState(
  db: Database,
  { stores, resolver }: Pick<PipelineTools, 'stores' | 'resolver'>,
  room: Room,
  told: readonly EventId[],
): Promise<ReadState | string> {
  const entries: Entries = new Map();
  const { verdictChanges } = resolver;
  const slice = new Slice();
  for (let from = 0; from < told.length; from += perLook) {
    const part = told.slice(from, from + perLook);
    const fault = db.read((snapshot) => addEntries(snapshot, stores, room, part, entries));
    if (fault !== undefined) return fault;
    await slice.tick();
  }
  const difference = db.read((snapshot) => differenceToCurrent(snapshot, stores, room, entries));
  return { told, ...difference, verdictChanges };
}

/** The same for those that are big enough to be worth it. */
export async function readAhead(
  db: Database,
  tools: PipelineTools,
  room: Room,
  told: readonly EventId[] | undefined,
): Promise<ReadState | undefined> {
  if (told === undefined || told.length < readAheadFrom) return undefined;
  const read = await readToldState(db, tools, room, told);
  return typeof read === 'string' ? undefined : read;
}

/** Stores a state that was read; a sentence when one of its events is not stored any more. */
export function storeReadState(tx: Tx, tools: PipelineTools, room: Room, read: ReadState): SnapshotNid | string {
  const { base, changes, told, verdictChanges } = read;
  if (verdictChanges !== tools.resolver.verdictChanges) return storeToldState(tx, tools.stores, room, told);
  return tools.stores.states.overlayBlock(tx, base, changes);
}

/** A state as another server told it, stored; a sentence when one of its events is not stored. Later entries win. */
export function storeToldState(tx: Tx, stores: Stores, room: Room, told: readonly EventId[]): SnapshotNid | string {
  const entries: Entries = new Map();
  const fault = addEntries(tx, stores, room, told, entries);
  if (fault !== undefined) return fault;
  const { base, changes } = differenceToCurrent(tx, stores, room, entries);
  return stores.states.overlayBlock(tx, base, changes);
}

function addEntries(
  snapshot: Snapshot,
  { events }: Stores,
  room: Room,
  told: readonly EventId[],
  entries: Entries,
): string | undefined {
  for (const eventId of told) {
    const row = events.entryOf(snapshot, eventId);
    if (row === undefined) return `the state event ${eventId} is not known`;
    if (row.state_key === 0 || (row.flags & flag.rejected) !== 0 || row.room !== room.nid) continue;
    entries.set(pairOf(row.type, row.state_key), row.nid);
  }
  return undefined;
}

/** Most of a state is what the current one says too: only what differs is written. */
function differenceToCurrent(
  snapshot: Snapshot,
  { states, rooms }: Stores,
  room: Room,
  entries: Entries,
): Pick<ReadState, 'base' | 'changes'> {
  const current = rooms.head(snapshot, room.nid).snapshot;
  if (current === 0) return { base: emptySnapshot, changes: blockOfEntries(entries) };
  const { types, keys, events } = states.entries(snapshot, current);
  const pairs = Array.from(types, (type, index) => pairOf(type, keys[index] ?? 0));
  const isSame = (pair: number, index: number): boolean => entries.get(pair) === events[index];
  const same = new Set(pairs.filter(isSame));
  const gone = pairs.filter((pair) => !entries.has(pair));
  if (gone.length >= same.size) return { base: emptySnapshot, changes: blockOfEntries(entries) };
  const changes = new Map([...entries].filter(([pair]) => !same.has(pair)));
  for (const pair of gone) changes.set(pair, 0);
  return { base: current, changes: blockOfEntries(changes) };
}

function blockOfEntries(entries: Entries): Block {
  const pairs = Float64Array.from(entries.keys()).sort();
  const column = (valueOf: (pair: number) => number): Uint32Array => Uint32Array.from(pairs, valueOf);
  return {
    types: column((pair) => Math.floor(pair / keySpan)),
    keys: column((pair) => pair % keySpan),
    events: column((pair) => entries.get(pair) ?? 0),
  };
}
