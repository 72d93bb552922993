/**
 * Waiting for a partial-state room to become whole. Whoever reads members of other servers passes here (the list of those
 * places stands in the README beside this file).
 */
import type { Database } from '../../storage/index.ts';
import type { PartialStore } from '../storage/partial.ts';
import type { RoomNid } from '../types.ts';

export class Gate {
  readonly #db: Database;
  readonly #partial: PartialStore;
  readonly #waiting = new Map<RoomNid, Set<() => void>>();

  constructor(db: Database, partial: PartialStore) {
    this.#db = db;
    this.#partial = partial;
  }

  /**
   * Resolves when the room's state is whole, or when nobody works on that any more (the last local user has left): the
   * caller reads again then. At once for other rooms; early when `signal` aborts.
   */
  async awaitFull(room: RoomNid, signal: AbortSignal): Promise<void> {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    // Registered first, looked at then: an end in between is not missed.
    const waiting = this.#waiting.get(room) ?? new Set();
    this.#waiting.set(room, waiting.add(open));
    signal.addEventListener('abort', open, { once: true });
    try {
      const isPartial = this.#db.read((snapshot) => this.#partial.get(snapshot, room) !== undefined);
      if (isPartial && !signal.aborted) await opened;
    } finally {
      signal.removeEventListener('abort', open);
      waiting.delete(open);
      if (waiting.size === 0) this.#waiting.delete(room);
    }
  }

  /** The room is partial no more. */
  open(room: RoomNid): void {
    for (const resolve of this.#waiting.get(room) ?? []) resolve();
  }
}
