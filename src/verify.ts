/**
 * `neurite verify` over all modules: what is stored is held against what it was made from. Verification is a process of its
 * own that only reads, so a running server neither waits for it nor answers from its caches; a repair is made by whoever
 * may write: the running server, or the command alone.
 *
 * Events, verdicts, the states stored with events, accounts and everything that users wrote are facts: a difference there
 * is named and stays. What is derived from them (current state, members and counts, edges, extremities, relations,
 * redaction marks, threads, the indexes of messages and people, media usage) is made anew by a repair.
 */
import { repairMediaUsage, verifyMedia } from './mediaapi/index.ts';
import type { ServerName } from './matrix/ids.ts';
import { databaseFiles, type Modules } from './modules.ts';
import { openRoomReader, repairRoomserver, verifyRoomserver } from './roomserver/index.ts';
import { openReadOnly } from './storage/index.ts';
import { repairThreadEvents, verifyThreadEvents, verifySearchIndex } from './syncapi/index.ts';

/** Reads a data folder and tells each difference as a line. @throws MigrationError when there is nothing to read */
export async function* verifyData(folder: string, serverName: ServerName): AsyncGenerator<string, void> {
  const db = openReadOnly(databaseFiles(folder));
  try {
    yield* db.faults();
    yield* verifyRoomserver(db, serverName);
    const rooms = db.read((snapshot) => openRoomReader(snapshot, serverName));
    yield* verifyThreadEvents(db, rooms);
    yield* verifySearchIndex(db, rooms);
    yield* verifyMedia(db, folder);
  } finally {
    db.close();
  }
}

/** Makes what is derived anew where it differs. @param print is told of each difference */
export async function repairDerived(
  { db, rooms, sync, directoryIndex, clock }: Pick<Modules, 'db' | 'rooms' | 'sync' | 'directoryIndex' | 'clock'>,
  print: (line: string) => void,
): Promise<void> {
  await repairRoomserver(db, rooms.stores, () => clock.now(), print);
  await repairThreadEvents(db, rooms, print);
  await repairSearch(db, rooms, sync, print);
  await directoryIndex.rebuild();
  await repairMediaUsage(db, print);
}

/** An index is made anew as a whole. */
async function repairSearch(
  db: Modules['db'],
  rooms: Modules['rooms'],
  { searchIndex }: Modules['sync'],
  print: (line: string) => void,
): Promise<void> {
  await searchIndex.caughtUp();
  const lines = [...verifySearchIndex(db, rooms)];
  if (lines.length === 0) return;
  lines.forEach(print);
  await searchIndex.rebuild();
}
