/**
 * Rooms with many forward extremities: resolving so many states costs everyone in the room. A user of ours who may sends an
 * event that names them as its prev events and says nothing; clients are not shown it.
 */
import { MatrixError } from '../../matrix/errors.ts';
import { dummyType } from '../../matrix/history-visibility.ts';
import { type Database, sql } from '../../storage/index.ts';
import type { Logger } from '../../util/log.ts';
import type { RoomCore } from '../core.ts';
import type { RoomNid } from '../types.ts';

/** Forward extremities that a room may have. */
const mostExtremities = 10;
/** Users who are tried; and events in a room at a time, each of which takes 20 extremities together. */
const most = { users: 5, events: 10 };

const selectScattered = sql<[most: number], { room: number }>(
  'SELECT room FROM room_extremities GROUP BY room HAVING count(*) > ?',
);

export interface MergingParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly log: Logger;
}

/** Brings every room in which somebody of ours may write to at most ten forward extremities. */
export async function mergeExtremities({ db, rooms, log }: MergingParts, signal: AbortSignal): Promise<void> {
  const scattered = db.read((snapshot) => snapshot.all(selectScattered, mostExtremities));
  for (const { room } of scattered) {
    for (let sent = 0; sent < most.events && !signal.aborted; sent += 1) {
      if (!(await mergeSome({ db, rooms, log }, room as RoomNid))) break;
    }
  }
}

/** True when an event was sent and more are needed. */
async function mergeSome({ db, rooms, log }: MergingParts, nid: RoomNid): Promise<boolean> {
  const users = db.read((snapshot) => rooms.joinedLocalUsers(snapshot, nid).slice(0, most.users));
  for (const sender of users) {
    try {
      return await db.write((tx) => {
        if (rooms.forwardExtremities(tx, nid).length <= mostExtremities) return false;
        rooms.send(tx, rooms.roomByNid(tx, nid), { type: dummyType, sender, content: {} });
        return rooms.forwardExtremities(tx, nid).length > mostExtremities;
      });
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
      log.debug({ room: nid, reason: error.message }, 'forward extremities were not merged by a user');
    }
  }
  return false;
}
