/** Keeps the outbox short: what all servers have goes, and so does what is too old to be kept for those that are away. */
import type { ServerName } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import {
  countToDevice,
  deleteOldToDevice,
  deleteOutbox,
  selectKeptFrom,
  selectLowestCursor,
  selectSender,
  updateTrimmed,
} from './storage.ts';

/** Messages to devices that wait for one server. */
const mostMessages = 10_000;
/** ms; a server that did not answer for so long is not waited for with messages that nobody could read any more. */
const longestOutageMs = 30 * 24 * 3_600_000;

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

/**
 * Keeps what waits for devices of servers that are away within bounds.
 *
 * @param failingSince since when a server does not answer, ms; undefined: it does
 */
export async function trimMessages(
  db: Database,
  failingSince: (server: ServerName) => number | undefined,
  now: number,
): Promise<void> {
  const counts = db.read((snapshot) => snapshot.all(countToDevice));
  for (const { server, count } of counts) {
    const kept = (failingSince(server as ServerName) ?? now) < now - longestOutageMs ? 0 : mostMessages;
    if (count > kept) await db.write((tx) => tx.run(deleteOldToDevice, server, server, kept));
  }
}
