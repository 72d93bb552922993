/** Which commits are on disk, who waits for that, and what a reply shows (INVARIANTS 1). */
import { closeSync, fdatasync, fdatasyncSync, fstatSync, openSync } from 'node:fs';

/** Which commits are on disk, and who waits for that. Commits are numbered 1, 2, … in this process. */
export class Durability {
  readonly #walPath: string;
  readonly #onFatal: (error: Error) => void;
  readonly #waiters: { readonly commit: number; readonly resolve: () => void }[] = [];
  readonly #dirty = new Map<string, number>();
  /** Commits not yet on disk, with the sequence head of each. */
  #pending: { readonly commit: number; readonly head: number }[] = [];
  #descriptor: number | undefined;
  #syncing = false;
  #walBytes = 0;
  #syncs = 0;
  #syncMs = 0;
  #committed = 0;
  #durable = 0;
  /** The sequence head of what is on disk. */
  #durableHead: number;

  /** @param head the sequence head at the start: all up to it is on disk */
  constructor(walPath: string, head: number, onFatal: (error: Error) => void) {
    this.#durableHead = head;
    this.#walPath = walPath;
    this.#onFatal = onFatal;
  }

  get committed(): number {
    return this.#committed;
  }

  /** Size of the WAL file when it was last looked at, at most 16 times fdatasync ago, in bytes. */
  get walBytes(): number {
    return this.#walBytes;
  }

  /** fdatasync calls and the time that they took together, in ms. */
  get syncs(): { readonly count: number; readonly ms: number } {
    return { count: this.#syncs, ms: this.#syncMs };
  }

  commit(head: number, touched: ReadonlySet<string>): number {
    this.#committed += 1;
    this.#pending.push({ commit: this.#committed, head });
    for (const key of touched) this.#dirty.set(key, this.#committed);
    return this.#committed;
  }

  /** Puts what is committed on disk, beside the event loop; one fdatasync at a time covers all commits made meanwhile. */
  sync(): void {
    if (this.#syncing || this.#durable === this.#committed) return;
    this.#syncing = true;
    const descriptor = this.#open();
    const covered = this.#committed;
    const started = performance.now();
    fdatasync(descriptor, (error) => {
      this.#syncing = false;
      // After a failed fsync the kernel may have dropped the pages: nothing that follows could be trusted.
      if (error !== null) return this.#onFatal(error);
      this.#syncs += 1;
      this.#syncMs += performance.now() - started;
      // A look costs as much as a small write; the checkpoint's bound is far coarser than what comes between two.
      if (this.#syncs % 16 === 1) this.#walBytes = fstatSync(descriptor).size;
      this.#advance(covered);
      this.sync();
    });
  }

  /** Puts what is committed on disk before it returns. */
  syncNow(): void {
    try {
      fdatasyncSync(this.#open());
    } catch (error) {
      return this.#onFatal(error as Error);
    }
    this.#advance(this.#committed);
  }

  wait(commit: number): Promise<void> {
    if (commit <= this.#durable) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ commit, resolve }));
  }

  /** The commit that must be on disk before `position` may be shown; 0: it is already. */
  commitOfPosition(position: number): number {
    if (position <= this.#durableHead) return 0;
    return this.#pending.find((entry) => entry.head >= position)?.commit ?? 0;
  }

  commitOfKey(key: string): number {
    return this.#dirty.get(key) ?? 0;
  }

  async close(): Promise<void> {
    await this.wait(this.#committed);
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  #open(): number {
    return (this.#descriptor ??= openSync(this.#walPath, 'r+'));
  }

  #advance(commit: number): void {
    if (commit <= this.#durable) return;
    this.#durable = commit;
    this.#durableHead = this.#pending.findLast((entry) => entry.commit <= commit)?.head ?? this.#durableHead;
    this.#pending = this.#pending.filter((entry) => entry.commit > commit);
    if (this.#pending.length === 0) this.#dirty.clear();
    else for (const [key, at] of this.#dirty) if (at <= commit) this.#dirty.delete(key);
    let settled = 0;
    for (const waiter of this.#waiters) {
      if (waiter.commit > commit) break;
      waiter.resolve();
      settled += 1;
    }
    this.#waiters.splice(0, settled);
  }
}

/** Collects what one reply shows, so that it leaves only when all of that is on disk, and at once if it already is. */
export class Shown {
  readonly #durability: Durability;
  #commit = 0;

  constructor(durability: Durability) {
    this.#durability = durability;
  }

  /** The reply shows something whose entry has this Position. */
  position(position: number): void {
    this.#commit = Math.max(this.#commit, this.#durability.commitOfPosition(position));
  }

  /** The reply shows the current value of something named as in `Tx.touch`. */
  key(key: string): void {
    this.#commit = Math.max(this.#commit, this.#durability.commitOfKey(key));
  }

  /** Resolves once all that was noted is on disk. */
  async durable(): Promise<void> {
    if (this.#commit > 0) await this.#durability.wait(this.#commit);
  }
}
