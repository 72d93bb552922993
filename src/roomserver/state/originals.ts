/** What redacted events said is kept for a while and then deleted for good (INVARIANTS 20). */
import type { Database } from '../../storage/index.ts';
import { deleteOriginalsBefore } from '../storage/annotations.ts';

/** Deletes the originals of events redacted before `before` (ms), in units that leave room for other writes. */
export async function deleteOriginals(db: Database, before: number): Promise<void> {
  let deleted: number;
  do deleted = await db.write((tx) => deleteOriginalsBefore(tx, before));
  while (deleted > 0);
}
