/** Event rows that the write transaction under way has read or written: a batch of events looks at the same few. */
import type { Snapshot } from '../../storage/index.ts';
import type { EventNid } from '../types.ts';
import type { EventMeta } from './event-rows.ts';

export interface Remembered {
  readonly epoch: object;
  readonly nids: Map<string, EventNid>;
  readonly metas: Map<EventNid, EventMeta>;
}

export class RowMemory {
  #remembered: Remembered | undefined;

  /** Undefined outside of a write transaction. */
  of({ epoch }: Snapshot): Remembered | undefined {
    if (epoch === undefined) return undefined;
    if (this.#remembered?.epoch !== epoch) {
      this.#remembered = { epoch, nids: new Map(), metas: new Map() };
    }
    return this.#remembered;
  }

  /** The row has changed. */
  changed(nid: EventNid): void {
    this.#remembered?.metas.delete(nid);
  }

  /** Rows are gone. */
  clear(): void {
    this.#remembered = undefined;
  }
}
