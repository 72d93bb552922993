/** What the rows share that tell other servers of events: who may ask, when, and in which form they are told. */
import { JsonText } from '../../http/index.ts';
import { unableDueToPartialState } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import {
  type RemoteRooms,
  type Room,
  roomForServer,
  type RoomReader,
  type ServerView,
  type StoredEvent,
} from '../../roomserver/index.ts';
import type { Database, Shown, Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { Slice } from '../../util/slice.ts';

export interface EventReadParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly remote: { readonly partial: Pick<RemoteRooms['partial'], 'awaitFull'> };
  readonly serverName: ServerName;
  readonly clock: Clock;
}

export interface Asked {
  readonly origin: ServerName;
  readonly shown: Shown;
  readonly signal: AbortSignal;
}

/** For this long a request waits for a partial room to become whole, in ms. */
const partialMs = 15_000;

/** A transaction without ids around PDUs. */
export const transaction = ({ serverName, clock }: EventReadParts, texts: readonly string[]): JsonText =>
  new JsonText([
    `{"origin":${JSON.stringify(serverName)},"origin_server_ts":${clock.now()},"pdus":[`,
    ...joined(texts),
    ']}',
  ]);

export const joined = (texts: readonly string[]): string[] =>
  texts.map((text, index) => (index === 0 ? text : `,${text}`));

/** The texts as this server may see them. */
export async function textsFor(view: ServerView, events: readonly StoredEvent[]): Promise<string[]> {
  const slice = new Slice();
  const texts: string[] = [];
  for (const event of events) {
    texts.push(view.pduText(event));
    if (slice.spent) await slice.tick();
  }
  return texts;
}

/**
 * Who is in a room that was joined without its members is known only when it is whole (DESIGN §7).
 * @throws ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE when that takes too long
 */
export async function settled(
  { db, rooms, remote }: EventReadParts,
  roomId: string,
  signal: AbortSignal,
): Promise<void> {
  const room = db.read((snapshot) => rooms.room(snapshot, roomId));
  if (room === undefined || !db.read((snapshot) => rooms.isPartial(snapshot, room.nid))) return;
  await remote.partial.awaitFull(room.nid, AbortSignal.any([signal, AbortSignal.timeout(partialMs)]));
  if (db.read((snapshot) => rooms.isPartial(snapshot, room.nid))) throw unableDueToPartialState(403);
}

/** Opens a snapshot on a room that the server is in. @throws M_FORBIDDEN */
export async function inRoom<T>(
  parts: EventReadParts,
  { origin, shown, signal, params }: Asked & { readonly params: { readonly roomId: string } },
  work: (snapshot: Snapshot, room: Room) => Promise<T>,
): Promise<T> {
  const { db, rooms } = parts;
  await settled(parts, params.roomId, signal);
  return db.snapshot(async (snapshot) => {
    const room = roomForServer(snapshot, rooms, params.roomId, origin);
    shown.key(`room:${room.nid}`);
    return work(snapshot, room);
  });
}
