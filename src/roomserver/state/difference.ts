/**
 * Where two states differ (DESIGN §5): found in the blocks that they do not share, in steps, because a state may have a
 * hundred thousand entries.
 */
import type { BlockNid } from '../types.ts';
import { type Block, emptyBlock, findInBlock, mergeBlocks } from './blocks.ts';

/** An entry in which two states differ; 0: the pair is absent there. */
export interface EntryChange {
  readonly type: number;
  readonly key: number;
  readonly from: number;
  readonly to: number;
}

/** Entries between two places where the work may pause. */
const perStep = 4096;

/** Where two states differ, both given by their blocks, sorted by type and key. Only blocks that they do not share are walked. */
export function* changesOf(
  left: readonly BlockNid[],
  right: readonly BlockNid[],
  blockOf: (nid: BlockNid) => Block,
): Generator<void, EntryChange[]> {
  const shared = commonBlocks(left, right);
  let touched = emptyBlock;
  for (const nid of [...left, ...right]) {
    if (shared.has(nid)) continue;
    touched = mergeBlocks(touched, blockOf(nid), false);
    yield;
  }
  const { types, keys } = touched;
  const changes: EntryChange[] = [];
  for (let index = 0; index < types.length; index += 1) {
    const [type = 0, key = 0] = [types[index], keys[index]];
    const [from, to] = [lookUp(left, blockOf, type, key), lookUp(right, blockOf, type, key)];
    if (from !== to) changes.push({ type, key, from, to });
    if (index % perStep === perStep - 1) yield;
  }
  return changes;
}

/** The event of a pair in a state of these blocks, 0: none. */
export function lookUp(
  blocks: readonly BlockNid[],
  blockOf: (nid: BlockNid) => Block,
  type: number,
  key: number,
): number {
  for (let index = blocks.length - 1; index >= 0; index--) {
    const nid = blocks[index];
    const event = nid === undefined ? undefined : findInBlock(blockOf(nid), type, key);
    if (event !== undefined) return event;
  }
  return 0;
}

/** Blocks that stand in both lists in the same order relative to each other: they can make no difference by themselves. */
function commonBlocks(left: readonly BlockNid[], right: readonly BlockNid[]): Set<BlockNid> {
  const places = new Map(left.map((nid, index) => [nid, index]));
  const shared = new Set<BlockNid>();
  let last = -1;
  for (const nid of right) {
    const place = places.get(nid);
    if (place === undefined || place <= last) continue;
    shared.add(nid);
    last = place;
  }
  return shared;
}
