/**
 * Rows of destinations that lack nothing any more go, some time after, many at once: until then a crash only sends the
 * last transaction again, under its id. The Position up to which everybody without a row has all moves on with them.
 */
import type { ServerName } from '../../matrix/ids.ts';
import type { Database, Position } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { Destination } from './destination.ts';
import { deleteDestination, updateSettled, upsertDestination } from './storage.ts';

export interface SettledParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly destinations: Map<ServerName, Destination>;
  /** Events up to this Position were shared out. */
  readonly heard: () => Position;
  /** ms; a destination stays this long after its last transaction. */
  readonly gapMs: number;
}

const delayMs = 1000;

export class SettledRows {
  readonly #parts: SettledParts;
  readonly #stop = new AbortController();
  #waiting: Promise<void> | undefined;

  constructor(parts: SettledParts) {
    this.#parts = parts;
  }

  /** A destination lacks nothing. */
  idle(): void {
    if (this.#stop.signal.aborted) return;
    this.#waiting ??= this.#later();
  }

  /** Writes what is settled and ends. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#waiting;
    await this.write();
  }

  async #later(): Promise<void> {
    await this.#parts.clock.sleep(delayMs, this.#stop.signal);
    if (this.#stop.signal.aborted) return;
    await this.write();
    this.#waiting = undefined;
    // Some had sent too lately, or must wait for others.
    if ([...this.#parts.destinations.values()].some(({ state }) => state === 'idle')) this.idle();
  }

  /** Deletes the rows of who lacks nothing, and moves the settled Position on. */
  async write(): Promise<void> {
    const { db, clock, log, destinations, gapMs, heard } = this.#parts;
    const isLast = this.#stop.signal.aborted;
    const all = [...destinations.values()];
    // What has no row would not be found behind this Position after a crash.
    const settled = all
      .filter(({ hasRow, waits, state }) => !hasRow && (waits || state === 'running'))
      .reduce<number>((lowest, { cursor }) => Math.min(lowest, cursor), heard());
    const idle = all.filter(
      (one) => one.state === 'idle' && !one.isWanted && (isLast || one.sentAt + gapMs <= clock.now()),
    );
    const gone = idle.filter(({ hasRow, cursor }) => !hasRow || cursor <= settled);
    const ahead = idle.filter(({ hasRow, cursor }) => hasRow && cursor > settled);
    for (const { server } of gone) destinations.delete(server);
    try {
      await db.write((tx) => {
        for (const { server, hasRow } of gone) if (hasRow) tx.run(deleteDestination, server);
        for (const { server, cursor } of ahead) tx.run(upsertDestination, server, cursor, null, null, null, null, null);
        tx.run(updateSettled, settled, settled);
      });
    } catch (error) {
      log.debug({ err: error }, 'what servers have was not recorded');
    }
  }
}
