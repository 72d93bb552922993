/** What the last process left unsent, as rows and tables of their own tell it, and events that it shared out to nobody. */
import type { ServerName } from '../../matrix/ids.ts';
import type { RoomNid, RoomReader } from '../../roomserver/index.ts';
import { asPosition, type Database, type Position } from '../../storage/index.ts';
import type { Destination } from './destination.ts';
import { selectDestinations, selectOutbox, selectSender, selectWaiting } from './storage.ts';

export interface BootParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  /** Makes a destination, or finds it; undefined: one that we send nothing to. */
  readonly destination: (server: ServerName, cursor: Position) => Destination | undefined;
}

/** Rows of the outbox read at once. */
const rowsAtOnce = 500;

/** Makes the destinations that lack something; returns the Position up to which events are shared out among them. */
export function restoreDestinations({ db, rooms, destination }: BootParts): Position {
  const { settled, known, waiting } = db.read((snapshot) => ({
    settled: asPosition(snapshot.get(selectSender)?.settled ?? 0),
    known: snapshot.all(selectDestinations),
    waiting: snapshot.all(selectWaiting),
  }));
  for (const { server, cursor, has_txn: hasTransaction } of known) {
    const found = destination(server as ServerName, asPosition(cursor));
    if (found === undefined) continue;
    found.hasRow = true;
    found.waits = true;
    if (hasTransaction === 1) found.kept = 'parts';
  }
  for (const { server } of waiting) {
    const found = destination(server as ServerName, settled);
    if (found !== undefined) found.waits = true;
  }
  return shareOut({ db, rooms, destination }, settled);
}

/** Behind this Position rows alone do not tell who lacks what. */
function shareOut({ db, rooms, destination }: BootParts, settled: Position): Position {
  let shared = settled;
  for (let last = rowsAtOnce; last === rowsAtOnce;) {
    last = db.read((snapshot) => {
      const rows = snapshot.all(selectOutbox, shared, rowsAtOnce);
      for (const { room, position, brought_by: broughtBy } of rows) {
        for (const server of rooms.hostsAt(snapshot, room as RoomNid, asPosition(position))) {
          const found = server === broughtBy ? undefined : destination(server, shared);
          if (found !== undefined && position > found.cursor) found.waits = true;
        }
        shared = asPosition(position);
      }
      return rows.length;
    });
  }
  return shared;
}
