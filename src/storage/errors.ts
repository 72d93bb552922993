/** What goes wrong with a disk, as far as callers can tell it apart. */
import { codeOf } from '../util/error-text.ts';

/** The group that a unit of work was part of could not be committed: nothing of it stands, and it may be tried again. */
export class CommitError extends Error {
  override readonly name = 'CommitError';
  /** SQLite's code: `SQLITE_FULL`, `SQLITE_BUSY` … */
  readonly code: string | undefined;

  constructor(cause: unknown) {
    super('the transaction could not be committed', { cause });
    this.code = codeOf(cause);
  }
}

/** True for writes that were refused because the disk is full: reads go on, and writes do when there is space again. */
export const isStorageFull = (error: unknown): boolean =>
  /^(SQLITE_FULL|SQLITE_IOERR_SHMSIZE|ENOSPC|EDQUOT)$/.test(codeOf(error) ?? '');

/**
 * Thrown inside a unit that needs something from outside first: the unit is rolled back, and runs again when `ready` has
 * resolved (it rejects when that rejects).
 */
export class NotReady extends Error {
  override readonly name = 'NotReady';
  readonly ready: () => Promise<void>;

  constructor(ready: () => Promise<void>) {
    super('the unit needs something that is not there yet');
    this.ready = ready;
  }
}
