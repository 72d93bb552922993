/**
 * What every read of a room's history shares: one snapshot, who asks, which room, how its events are written. The reply
 * waits for the room's and the user's last values to be on disk (INVARIANTS 1).
 */
import type { UserId } from '../matrix/ids.ts';
import {
  type ClientView,
  type RoomReader,
  type StoredEvent,
  clientEvent,
  clientView,
  createBundle,
} from '../roomserver/index.ts';
import type { Database, Position, Shown, Snapshot } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { Slice } from '../util/slice.ts';
import type { Admission } from './event-admission.ts';
import type { MissingHistory } from './gaps.ts';
import { type RoomAccess, accessRoom } from './room-access.ts';
import type { UserData } from './sources.ts';

export interface ReadParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly userData: Pick<UserData, 'ignoredUsers'>;
  readonly clock: Clock;
  /** Fetches history that is missing; without it gaps are passed over. */
  readonly history?: MissingHistory | undefined;
}

/** Who asks, and where it is noted what he is shown. */
export interface Asker {
  readonly userId: UserId;
  readonly deviceId: string | undefined;
  readonly shown: Shown;
}

/** One read of one room. Valid within the `readRoom` that made it. */
export interface RoomRead extends Admission {
  readonly head: Position;
  readonly access: RoomAccess;
  readonly view: ClientView;
  readonly slice: Slice;
}

/** Opens a snapshot and checks that the user may read the room. @throws M_FORBIDDEN */
export function readRoom<T>(
  parts: ReadParts,
  asker: Asker,
  roomId: string,
  work: (read: RoomRead) => Promise<T>,
): Promise<T> {
  return parts.db.snapshot(async (snapshot, head) => work(openRoom(parts, asker, roomId, snapshot, head)));
}

/** The same on a snapshot that is open already. @throws M_FORBIDDEN */
export function openRoom(
  { rooms, userData, clock }: ReadParts,
  { userId, deviceId, shown }: Asker,
  roomId: string,
  snapshot: Snapshot,
  head: Position,
): RoomRead {
  shown.key(`user:${userId}`);
  const access = accessRoom(snapshot, rooms, userId, roomId, head);
  shown.key(`room:${access.room.nid}`);
  const ignored = userData.ignoredUsers(snapshot, userId);
  const now = clock.now();
  const bundle = createBundle(snapshot, rooms, { userId, deviceId, now, ignored });
  const view = clientView({ userId, deviceId, now, bundle });
  const { roomId: shownId } = access.room;
  return { snapshot, head, rooms, userId, roomId: shownId, access, ignored, view, slice: new Slice() };
}

/** JSON text of events as the client gets them, joined by commas. */
export async function writeEvents(read: RoomRead, events: Iterable<StoredEvent>): Promise<string> {
  const texts: string[] = [];
  for (const event of events) {
    texts.push(clientEvent(read.snapshot, read.rooms, event, read.view));
    if (read.slice.spent) await read.slice.tick();
  }
  return texts.join(',');
}
