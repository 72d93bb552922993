/** Keeps the outbox short: what all servers have goes, and so does what is too old to be kept for those that are away. */
import type { Database } from '../../storage/index.ts';
import { deleteOutbox, selectKeptFrom, selectLowestCursor, selectSender, updateTrimmed } from './storage.ts';

/** Rows deleted in one unit of work. */
const rowsAtOnce = 2000;

/** @param kept rows that stay for servers that are away */
export async function trimOutbox(db: Database, kept: number, signal?: AbortSignal): Promise<void> {
  const bound = db.read((snapshot) => {
    const { settled } = snapshot.get(selectSender) ?? { settled: 0 };
    const had = Math.min(settled, snapshot.get(selectLowestCursor)?.cursor ?? settled);
    // Behind the settled Position it is not known who lacks what: those rows tell it after a crash.
    return Math.min(settled, Math.max(had, snapshot.get(selectKeptFrom, kept)?.position ?? 0));
  });
  let deleted = rowsAtOnce;
  while (deleted === rowsAtOnce && signal?.aborted !== true) {
    deleted = await db.write((tx) => {
      // First: whoever is behind it looks for the ends of rooms from now on.
      tx.run(updateTrimmed, bound, bound);
      return tx.run(deleteOutbox, bound, rowsAtOnce).changes;
    });
  }
}
