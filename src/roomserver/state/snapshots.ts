/**
 * State snapshots (DESIGN §5): an ordered list of at most 64 block NIDs, largest and oldest first; a later block
 * overrides an earlier one. A new block is merged with its neighbours while a size tier [4^t, 4^(t+1)) would hold four,
 * so the list stays short, old blocks stay shared, and appending costs O(log N) entries. Snapshots are immutable and
 * know nothing of rooms. Caches are keyed by immutable numbers that are never given out twice by this process.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';
import { LruCache } from '../../util/lru.ts';
import { runNow } from '../../util/slice.ts';
import { packList, unpackList } from '../../util/varint.ts';
import type { Counter } from '../storage/nids.ts';
import type { BlockNid, SnapshotNid } from '../types.ts';
import { type Block, type Entry, blockBytes, blockOf, decodeBlock, emptyBlock, encodeBlock } from './blocks.ts';
import { mergeBlocks, ofType, withoutType } from './blocks.ts';
import { changesOf, type EntryChange, lookUp } from './difference.ts';

/** The empty state before a create event: a real snapshot, made by the migration. */
export const emptySnapshot = 1 as SnapshotNid;
/** Blocks of one size tier that are merged into one. */
const mergedAt = 4;
/** Blocks from this size on are looked up by their content before they are stored. */
const hashedFrom = 64;

const selectBlock = sql<[nid: number], { size: number; body: Uint8Array }>(
  'SELECT size, body FROM room_blocks WHERE nid = ?',
);
const selectBlockSize = sql<[nid: number], { size: number }>('SELECT size FROM room_blocks WHERE nid = ?');
const selectBlocksByHash = sql<[hash: Uint8Array], { nid: number; body: Uint8Array }>(
  'SELECT nid, body FROM room_blocks WHERE hash = ?',
);
const insertBlock = sql<[nid: number, size: number, hash: Uint8Array | null, body: Uint8Array]>(
  'INSERT INTO room_blocks (nid, size, hash, body) VALUES (?, ?, ?, ?)',
);
const selectSnapshot = sql<[nid: number], { blocks: Uint8Array }>('SELECT blocks FROM room_snapshots WHERE nid = ?');
const selectSnapshotsByHash = sql<[hash: Uint8Array], { nid: number; blocks: Uint8Array }>(
  'SELECT nid, blocks FROM room_snapshots WHERE hash = ?',
);
const insertSnapshot = sql<[nid: number, hash: Uint8Array | null, blocks: Uint8Array]>(
  'INSERT INTO room_snapshots (nid, hash, blocks) VALUES (?, ?, ?)',
);

export interface StateStoreOptions {
  readonly blockNids: Counter;
  readonly snapshotNids: Counter;
  /** Bound of the decoded blocks kept in memory, in bytes. */
  readonly cacheBytes?: number;
}

export class StateStore {
  readonly #blockNids: Counter;
  readonly #snapshotNids: Counter;
  readonly #blocks: LRUCache<number, Block>;
  readonly #sizes = new LruCache<number, number>({ max: 20_000 });
  readonly #lists = new LruCache<number, readonly BlockNid[]>({ max: 5_000 });
  /** Committed results of `append`, by parent and event. */
  readonly #appended = new LruCache<string, SnapshotNid>({ max: 2_000 });

  /** A difference that was found ahead: for the next one who asks for it. */
  #prepared: { readonly from: number; readonly to: number; readonly changes: readonly EntryChange[] } | undefined;

  /** Numbers handed out while a collection is under way. */
  readonly #uses = new Set<{ readonly snapshots: Set<number>; readonly blocks: Set<number> }>();

  constructor(options: StateStoreOptions) {
    this.#blockNids = options.blockNids;
    this.#snapshotNids = options.snapshotNids;
    this.#blocks = new LRUCache({ maxSize: options.cacheBytes ?? 16 * 2 ** 20, sizeCalculation: blockBytes });
  }

  /** What is held in memory, in entries; `bytes` of the blocks, roughly. */
  get cached(): Record<'blocks' | 'snapshots' | 'bytes', number> {
    return { blocks: this.#blocks.size, snapshots: this.#lists.size, bytes: this.#blocks.calculatedSize };
  }

  /** The block NIDs of a snapshot, oldest first. 0 counts as empty. */
  blockList(snapshot: Snapshot, nid: SnapshotNid): readonly BlockNid[] {
    if (nid === 0 || nid === emptySnapshot) return [];
    const known = this.#lists.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(selectSnapshot, nid);
    if (row === undefined) throw new Error(`state snapshot ${nid} is missing`);
    const list = unpackList(row.blocks) as BlockNid[];
    this.#lists.set(nid, list);
    return list;
  }

  /** The event of a pair in a state, 0: none. */
  get(snapshot: Snapshot, nid: SnapshotNid, type: number, key: number): number {
    return lookUp(this.blockList(snapshot, nid), (block) => this.#block(snapshot, block), type, key);
  }

  /** The whole state, or that of one type, sorted by type and key, without tombstones. */
  entries(snapshot: Snapshot, nid: SnapshotNid, type?: number): Block {
    const list = this.blockList(snapshot, nid);
    let merged = emptyBlock;
    for (let index = list.length - 1; index >= 0; index--) {
      const block = this.#block(snapshot, list[index] ?? 0);
      merged = mergeBlocks(type === undefined ? block : ofType(block, type), merged, index === 0);
    }
    return merged;
  }

  /** The whole state but for one type, whose entries are not copied. */
  entriesWithout(snapshot: Snapshot, nid: SnapshotNid, type: number): Block {
    const list = this.blockList(snapshot, nid);
    let merged = emptyBlock;
    for (let index = list.length - 1; index >= 0; index--) {
      merged = mergeBlocks(withoutType(this.#block(snapshot, list[index] ?? 0), type), merged, index === 0);
    }
    return merged;
  }

  /** Where `to` differs from `from`, sorted by type and key. Only blocks that they do not share are walked. */
  difference(snapshot: Snapshot, from: SnapshotNid, to: SnapshotNid): readonly EntryChange[] {
    if (from === to) return [];
    const prepared = this.#prepared;
    if (prepared?.from === from || prepared?.to === to) {
      this.#prepared = undefined;
      if (prepared.from === from && prepared.to === to) return prepared.changes;
    }
    const [left, right] = [this.blockList(snapshot, from), this.blockList(snapshot, to)];
    return runNow(changesOf(left, right, (nid) => this.#block(snapshot, nid)));
  }

  /**
   * Finds a big difference ahead of the transaction that asks for it. Blocks are read here and now; what is left to be
   * done may pause.
   */
  prepareDifference(snapshot: Snapshot, from: SnapshotNid, to: SnapshotNid): Generator<void, void> {
    const [left, right] = [this.blockList(snapshot, from), this.blockList(snapshot, to)];
    const blocks = new Map([...left, ...right].map((nid) => [nid, this.#block(snapshot, nid)]));
    const work = changesOf(left, right, (nid) => blocks.get(nid) ?? emptyBlock);
    const keep = (changes: readonly EntryChange[]): void => void (this.#prepared = { from, to, changes });
    return (function* prepare() {
      keep(yield* work);
    })();
  }

  /** The state with one entry set. */
  append(tx: Tx, parent: SnapshotNid, type: number, key: number, event: number): SnapshotNid {
    const memo = `${parent} ${event}`;
    const known = this.#appended.get(memo);
    if (known !== undefined) return this.#named(known);
    const appended = this.#store(tx, parent, blockOf([{ type, key, event }]), false);
    tx.afterCommit(() => this.#appended.set(memo, appended));
    return appended;
  }

  /** The state with several entries set (event 0 removes): the result of a resolution. Equal results are one snapshot. */
  overlay(tx: Tx, parent: SnapshotNid, entries: readonly Entry[]): SnapshotNid {
    return entries.length === 0 ? parent : this.#store(tx, parent, blockOf(entries), true);
  }

  /** The same for entries that are a block already. */
  overlayBlock(tx: Tx, parent: SnapshotNid, entries: Block): SnapshotNid {
    return entries.types.length === 0 ? parent : this.#store(tx, parent, entries, true);
  }

  /** Notes every snapshot and block that is named anew from now on, until `end`: a collection spares them. */
  noteUses(): { readonly snapshots: ReadonlySet<number>; readonly blocks: ReadonlySet<number>; end(): void } {
    const uses = { snapshots: new Set<number>(), blocks: new Set<number>() };
    this.#uses.add(uses);
    return { ...uses, end: () => void this.#uses.delete(uses) };
  }

  /** Drops what is cached of deleted rows. */
  forget(blocks: Iterable<number>, snapshots: Iterable<number>): void {
    for (const nid of blocks) {
      this.#blocks.delete(nid);
      this.#sizes.delete(nid);
    }
    for (const nid of snapshots) this.#lists.delete(nid);
    this.#appended.clear();
  }

  /** Takes note that a stored snapshot is named again, and so are its blocks. */
  #named(nid: SnapshotNid): SnapshotNid {
    for (const uses of this.#uses) uses.snapshots.add(nid);
    return nid;
  }

  #block(snapshot: Snapshot, nid: number): Block {
    const known = this.#blocks.get(nid);
    if (known !== undefined) return known;
    const row = snapshot.get(selectBlock, nid);
    if (row === undefined) throw new Error(`state block ${nid} is missing`);
    const block = decodeBlock(row.body, row.size);
    this.#blocks.set(nid, block);
    return block;
  }

  #size(snapshot: Snapshot, nid: number): number {
    const known = this.#sizes.get(nid) ?? snapshot.get(selectBlockSize, nid)?.size;
    if (known === undefined) throw new Error(`state block ${nid} is missing`);
    this.#sizes.set(nid, known);
    return known;
  }

  #store(tx: Tx, parent: SnapshotNid, added: Block, hashed: boolean): SnapshotNid {
    const list = [...this.blockList(tx, parent)];
    let block = added;
    for (;;) {
      const merged = this.#blocksToMerge(tx, list, tierOf(block.types.length));
      if (merged === 0) break;
      for (let count = 0; count < merged; count++) {
        block = mergeBlocks(this.#block(tx, list.pop() ?? 0), block, list.length === 0);
      }
    }
    if (list.length === 0) block = mergeBlocks(emptyBlock, block, true);
    if (block.types.length > 0) list.push(this.#saveBlock(tx, block, hashed));
    return this.#saveSnapshot(tx, list, hashed);
  }

  /** How many blocks at the end of the list a block of this tier swallows: smaller ones, and its own tier when it is full. */
  #blocksToMerge(snapshot: Snapshot, list: readonly BlockNid[], tier: number): number {
    const tierAt = (back: number): number => tierOf(this.#size(snapshot, list[list.length - 1 - back] ?? 0));
    let smaller = 0;
    while (smaller < list.length && tierAt(smaller) < tier) smaller += 1;
    let same = 0;
    while (smaller + same < list.length && tierAt(smaller + same) === tier) same += 1;
    return same >= mergedAt - 1 ? smaller + same : smaller;
  }

  #saveBlock(tx: Tx, block: Block, hashed: boolean): BlockNid {
    const body = encodeBlock(block);
    const size = block.types.length;
    const hash = hashed || size >= hashedFrom ? shortHash(body) : null;
    if (hash !== null) {
      const equal = tx.all(selectBlocksByHash, hash).find((row) => Buffer.compare(row.body, body) === 0);
      if (equal !== undefined) {
        for (const uses of this.#uses) uses.blocks.add(equal.nid);
        return equal.nid as BlockNid;
      }
    }
    const nid = this.#blockNids.next() as BlockNid;
    tx.run(insertBlock, nid, size, hash, body);
    this.#blocks.set(nid, block);
    this.#sizes.set(nid, size);
    return nid;
  }

  #saveSnapshot(tx: Tx, list: readonly BlockNid[], hashed: boolean): SnapshotNid {
    if (list.length === 0) return emptySnapshot;
    const blocks = packList(list);
    const hash = hashed ? shortHash(blocks) : null;
    if (hash !== null) {
      const equal = tx.all(selectSnapshotsByHash, hash).find((row) => Buffer.compare(row.blocks, blocks) === 0);
      if (equal !== undefined) return this.#named(equal.nid as SnapshotNid);
    }
    const nid = this.#snapshotNids.next() as SnapshotNid;
    tx.run(insertSnapshot, nid, hash, blocks);
    this.#lists.set(nid, list);
    return nid;
  }
}

/** t for a size in [4^t, 4^(t+1)). */
export const tierOf = (size: number): number => Math.floor((31 - Math.clz32(size)) / 2);

const shortHash = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest().subarray(0, 8);

/** A part of the state as a list of entries. */
export function entriesOf(block: Block): Entry[] {
  return Array.from(block.types, (type, index) => ({
    type,
    key: block.keys[index] ?? 0,
    event: block.events[index] ?? 0,
  }));
}
