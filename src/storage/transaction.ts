/** The write handle of one group commit: what its units asked to happen after it. */
import type { Connection, RunResult, Snapshot } from './connection.ts';
import type { Sequence, Position } from './sequence.ts';
import { sql, type SqlStatement, type SqlValue } from './statement.ts';

export const updateReservation = sql<[bound: number]>('UPDATE kernel_sequence SET reserved = ? WHERE id = 1');

/** A write handle. Valid only inside the synchronous callback that received it. */
export interface Tx extends Snapshot {
  run<P extends readonly SqlValue[]>(statement: SqlStatement<P, unknown>, ...params: P): RunResult;
  /** The next Position; void when the unit fails. */
  nextPosition(): Position;
  /** In-memory effects: runs once the group has committed (visible to readers, maybe not yet on disk). */
  afterCommit(effect: () => void): void;
  /** Effects that leave the process (wake-ups, sends): runs once the commit is on disk. */
  afterDurable(effect: () => void): void;
  /**
   * Names something whose visible value this unit changes (`room:1`, `user:@a:b`): a reply that shows it waits until
   * this commit is on disk.
   */
  touch(key: string): void;
}

/** Where a unit began, to take back what it asked for. */
interface Mark {
  readonly committed: number;
  readonly durable: number;
  readonly reserved: number;
}

export class GroupTx implements Tx {
  readonly #connection: Connection;
  readonly #sequence: Sequence;
  readonly committed: (() => void)[] = [];
  readonly durable: (() => void)[] = [];
  readonly touched = new Set<string>();
  #epoch: object = {};

  constructor(connection: Connection, sequence: Sequence) {
    this.#connection = connection;
    this.#sequence = sequence;
  }

  get epoch(): object {
    return this.#epoch;
  }

  get<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R | undefined {
    return this.#connection.get(statement, ...params);
  }

  all<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): R[] {
    return this.#connection.all(statement, ...params);
  }

  iterate<P extends readonly SqlValue[], R>(statement: SqlStatement<P, R>, ...params: P): IterableIterator<R> {
    return this.#connection.iterate(statement, ...params);
  }

  run<P extends readonly SqlValue[]>(statement: SqlStatement<P, unknown>, ...params: P): RunResult {
    return this.#connection.run(statement, ...params);
  }

  nextPosition(): Position {
    if (this.#sequence.exhausted) this.reserve();
    return this.#sequence.next();
  }

  reserve(): void {
    const bound = this.#sequence.nextReservation;
    this.#connection.run(updateReservation, bound);
    this.#sequence.reserve(bound);
  }

  afterCommit(effect: () => void): void {
    this.committed.push(effect);
  }

  afterDurable(effect: () => void): void {
    this.durable.push(effect);
  }

  touch(key: string): void {
    this.touched.add(key);
  }

  mark(): Mark {
    return {
      committed: this.committed.length,
      durable: this.durable.length,
      reserved: this.#sequence.reservedBound,
    };
  }

  rollbackTo(mark: Mark): void {
    this.committed.length = mark.committed;
    this.durable.length = mark.durable;
    this.#epoch = {};
    // A reservation made within the unit went with it; the Positions that it had are void.
    this.#sequence.restore(mark.reserved);
  }
}
