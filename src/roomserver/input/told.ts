/**
 * States as other servers tell them, as lists of ids of stored events, become snapshots: what differs from the current
 * state is written. A big one is read in slices ahead of the transaction that stores it, which then only has to make sure
 * that no verdict has changed since.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { Database, Snapshot, Tx } from '../../storage/index.ts';
import { runNow, runSliced, Slice } from '../../util/slice.ts';
import { type Block, emptyBlock } from '../state/blocks.ts';
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

type Difference = Pick<ReadState, 'base' | 'changes'>;

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
  const work = db.read((snapshot) => differenceToCurrent(snapshot, stores, room, entries));
  return { told, ...(await runSliced(work, slice)), verdictChanges };
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
  const { base, changes } = runNow(differenceToCurrent(tx, stores, room, entries));
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

/** The snapshot is read here and now, the rest is work on what was read. */
function differenceToCurrent(
  snapshot: Snapshot,
  { states, rooms }: Stores,
  room: Room,
  entries: Entries,
): Generator<void, Difference> {
  const current = rooms.head(snapshot, room.nid).snapshot;
  return differenceTo(current, current === 0 ? emptyBlock : states.entries(snapshot, current), entries);
}

/** Most of a state is what the current one says too: only what differs is written. Uses the entries up. */
function* differenceTo(base: SnapshotNid, current: Block, entries: Entries): Generator<void, Difference> {
  const pairAt = (index: number): number => pairOf(current.types[index] ?? 0, current.keys[index] ?? 0);
  let [same, gone] = [0, 0];
  for (let index = 0; index < current.types.length; index += 1) {
    const event = entries.get(pairAt(index));
    if (event === undefined) gone += 1;
    else if (event === current.events[index]) same += 1;
    if (isPause(index)) yield;
  }
  if (gone >= same) return { base: emptySnapshot, changes: yield* blockOfEntries(entries) };
  for (let index = 0; index < current.types.length; index += 1) {
    const pair = pairAt(index);
    const event = entries.get(pair);
    if (event === undefined) entries.set(pair, 0);
    else if (event === current.events[index]) entries.delete(pair);
    if (isPause(index)) yield;
  }
  return { base, changes: yield* blockOfEntries(entries) };
}

function* blockOfEntries(entries: Entries): Generator<void, Block> {
  const pairs = new Float64Array(entries.size);
  let size = 0;
  for (const pair of entries.keys()) {
    pairs[size++] = pair;
    if (isPause(size)) yield;
  }
  pairs.sort();
  yield;
  const block = { types: new Uint32Array(size), keys: new Uint32Array(size), events: new Uint32Array(size) };
  for (let index = 0; index < size; index += 1) {
    const pair = pairs[index] ?? 0;
    block.types[index] = Math.floor(pair / keySpan);
    block.keys[index] = pair % keySpan;
    block.events[index] = entries.get(pair) ?? 0;
    if (isPause(index)) yield;
  }
  return block;
}

const isPause = (index: number): boolean => index % 4096 === 4095;
