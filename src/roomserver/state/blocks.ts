/**
 * State blocks (DESIGN §5): an immutable set of (type NID, state key NID, event NID), sorted by type and key, one entry
 * per pair. Event 0 is a tombstone: it says that the pair has no event any more. In memory a block is three columns, on
 * disk one BLOB: runs of types, key differences within a run, zigzag differences of the events.
 */
import { VarintReader, VarintWriter } from '../../util/varint.ts';

export interface Block {
  readonly types: Uint32Array;
  readonly keys: Uint32Array;
  readonly events: Uint32Array;
}

/** One entry to put into a block; `event` 0 removes the pair. */
export interface Entry {
  readonly type: number;
  readonly key: number;
  readonly event: number;
}

export const emptyBlock: Block = { types: new Uint32Array(0), keys: new Uint32Array(0), events: new Uint32Array(0) };

/** Bytes that a decoded block takes in memory, roughly. */
export const blockBytes = (block: Block): number => block.types.length * 12 + 400;

/** Makes a block of entries in any order. Each pair may occur once. */
export function blockOf(entries: readonly Entry[]): Block {
  const sorted = entries.length > 1 ? [...entries].sort((a, b) => a.type - b.type || a.key - b.key) : entries;
  const block = newBlock(sorted.length);
  sorted.forEach((entry, index) => {
    block.types[index] = entry.type;
    block.keys[index] = entry.key;
    block.events[index] = entry.event;
  });
  return block;
}

function newBlock(size: number): Block {
  return { types: new Uint32Array(size), keys: new Uint32Array(size), events: new Uint32Array(size) };
}

const at = (column: Uint32Array, index: number): number => column[index] ?? 0;

/** Index of the first entry at or behind (type, key). */
export function lowerBound(block: Block, type: number, key: number): number {
  const { types, keys } = block;
  let low = 0;
  let high = types.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const difference = at(types, middle) - type || at(keys, middle) - key;
    if (difference < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The event of a pair: 0 for a tombstone, undefined when the block does not speak of the pair. */
export function findInBlock(block: Block, type: number, key: number): number | undefined {
  const index = lowerBound(block, type, key);
  return at(block.types, index) === type && at(block.keys, index) === key ? block.events[index] : undefined;
}

/** One block that says what `older` and then `newer` say. `final`: nothing lies below, so tombstones are dropped. */
export function mergeBlocks(older: Block, newer: Block, final: boolean): Block {
  const merged = newBlock(older.types.length + newer.types.length);
  let size = 0;
  let a = 0;
  let b = 0;
  while (a < older.types.length || b < newer.types.length) {
    const difference = compareEntries(older, a, newer, b);
    const [source, index] = difference < 0 ? [older, a] : [newer, b];
    if (difference <= 0) a += 1;
    if (difference >= 0) b += 1;
    const event = at(source.events, index);
    if (final && event === 0) continue;
    merged.types[size] = at(source.types, index);
    merged.keys[size] = at(source.keys, index);
    merged.events[size] = event;
    size += 1;
  }
  return sliceBlock(merged, 0, size);
}

function compareEntries(left: Block, a: number, right: Block, b: number): number {
  if (a >= left.types.length) return 1;
  if (b >= right.types.length) return -1;
  return at(left.types, a) - at(right.types, b) || at(left.keys, a) - at(right.keys, b);
}

/** Entries from `start` up to `end`, as views on the same memory when nothing is cut off, else copied. */
export function sliceBlock(block: Block, start: number, end: number): Block {
  if (start === 0 && end === block.types.length) return block;
  return {
    types: block.types.slice(start, end),
    keys: block.keys.slice(start, end),
    events: block.events.slice(start, end),
  };
}

/** The entries of one type. */
export const ofType = (block: Block, type: number): Block =>
  sliceBlock(block, lowerBound(block, type, 0), lowerBound(block, type + 1, 0));

/** The entries of all other types. */
export const withoutType = (block: Block, type: number): Block =>
  mergeBlocks(
    sliceBlock(block, 0, lowerBound(block, type, 0)),
    sliceBlock(block, lowerBound(block, type + 1, 0), block.types.length),
    false,
  );

export function encodeBlock(block: Block): Uint8Array {
  const { types, keys, events } = block;
  const size = types.length;
  const writer = new VarintWriter(size * 5 + 8);
  for (let start = 0; start < size;) {
    let end = start;
    while (end < size && types[end] === types[start]) end += 1;
    writer.unsigned(at(types, start));
    writer.unsigned(end - start);
    let key = 0;
    for (let index = start; index < end; index++) {
      writer.unsigned(at(keys, index) - key);
      key = at(keys, index);
    }
    start = end;
  }
  let event = 0;
  for (let index = 0; index < size; index++) {
    writer.signed(at(events, index) - event);
    event = at(events, index);
  }
  return writer.finish();
}

/** @param size the number of entries, which the row keeps beside the body */
export function decodeBlock(body: Uint8Array, size: number): Block {
  const block = newBlock(size);
  const reader = new VarintReader(body);
  for (let index = 0; index < size;) {
    const type = reader.unsigned();
    const end = index + reader.unsigned();
    let key = 0;
    for (; index < end; index++) {
      key += reader.unsigned();
      block.types[index] = type;
      block.keys[index] = key;
    }
  }
  let event = 0;
  for (let index = 0; index < size; index++) {
    event += reader.signed();
    block.events[index] = event;
  }
  return block;
}
