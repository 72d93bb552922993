/**
 * `neurite verify` over all modules: what is stored is held against what it was made from. Verification is a process of its
 * own that only reads, so a running server neither waits for it nor answers from its caches; a repair is made by whoever
 * may write: the running server, or the command alone.
 *
 * Events, verdicts, the states stored with events, accounts and everything that users wrote are facts: a difference there
 * is named and stays. What is derived from them (current state, members and counts, edges, extremities, relations,
 * redaction marks, threads, media usage, search, user directory) is made anew by a repair.
 */
import { type Consumer, verifyConsumer, type VerifyConsumerOptions } from './bus/index.ts';
import { repairMediaUsage, verifyMedia } from './mediaapi/index.ts';
import type { ServerName } from './matrix/ids.ts';
import type { Modules } from './modules.ts';
import { databaseFiles } from './modules/ground.ts';
import { openRoomReader, repairRoomserver, type RoomReader, verifyRoomserver } from './roomserver/index.ts';
import { openReadOnly } from './storage/index.ts';
import { repairThreadEvents, searchConsumer, verifyThreadEvents } from './syncapi/index.ts';
import { openUserDirectory } from './userapi/index.ts';

/** Reads a data folder and tells each difference as a line. @throws MigrationError when there is nothing to read */
export async function* verifyData(
  folder: string,
  serverName: ServerName,
  options: VerifyConsumerOptions,
): AsyncGenerator<string, void> {
  const db = openReadOnly(databaseFiles(folder));
  try {
    yield* db.faults();
    yield* verifyRoomserver(db, serverName);
    const rooms = db.read((snapshot) => openRoomReader(snapshot, serverName));
    yield* verifyThreadEvents(db, rooms);
    yield* verifyMedia(db, folder);
    for (const consumer of consumersOf(rooms, serverName)) yield* verifyConsumer(db, consumer, options);
  } finally {
    db.close();
  }
}

const consumersOf = (rooms: RoomReader, serverName: ServerName): Consumer[] => [
  searchConsumer(rooms),
  openUserDirectory(rooms, serverName),
];

/** The lagging consumers whose tables are not what a rebuild would make of them. */
export async function wrongConsumers(
  folder: string,
  serverName: ServerName,
  options: VerifyConsumerOptions,
): Promise<string[]> {
  const db = openReadOnly(databaseFiles(folder));
  try {
    const rooms = db.read((snapshot) => openRoomReader(snapshot, serverName));
    const wrong: string[] = [];
    for (const consumer of consumersOf(rooms, serverName)) {
      for await (const _ of verifyConsumer(db, consumer, options)) {
        wrong.push(consumer.name);
        break;
      }
    }
    return wrong;
  } finally {
    db.close();
  }
}

/**
 * Makes what is derived anew where it differs.
 *
 * @param wrong lagging consumers to make anew as a whole
 * @param print is told of each difference
 */
export async function repairDerived(
  { db, rooms, clock, consumers }: Pick<Modules, 'db' | 'rooms' | 'clock' | 'consumers'>,
  wrong: readonly string[],
  print: (line: string) => void,
): Promise<void> {
  await repairRoomserver(db, rooms.stores, () => clock.now(), print);
  await repairThreadEvents(db, rooms, print);
  await repairMediaUsage(db, print);
  for (const consumer of consumers) {
    if (!wrong.includes(consumer.name)) continue;
    await consumer.rebuild();
    print(`${consumer.name}: all of it`);
  }
}
