/** `GET /rooms/{roomId}/timestamp_to_event` (C-S API v1.19): the event closest to a time that the user may see. */
import { matrixError } from '../matrix/errors.ts';
import { type Room, type StoredEvent, eventsByTime } from '../roomserver/index.ts';
import { isIgnored } from './event-admission.ts';
import type { Direction } from './page.ts';
import { type Asker, type ReadParts, type RoomRead, readRoom } from './room-read.ts';

export interface TimestampRequest {
  readonly roomId: string;
  /** ms since the epoch. */
  readonly ts: number;
  readonly direction: Direction;
}

/** @throws M_FORBIDDEN, M_NOT_FOUND */
export async function readEventAtTime(
  parts: ReadParts,
  asker: Asker,
  request: TimestampRequest,
): Promise<{ readonly event_id: string; readonly origin_server_ts: number }> {
  const { ts, direction } = request;
  const own = await closestHere(parts, asker, request);
  const wish = { ts, direction, own: own.event?.originServerTs, user: asker.userId };
  const isExact = own.event?.originServerTs === ts;
  const nearer = !isExact && own.follows && (await parts.history?.fetchNearer(own.room, wish)) === true;
  const { event } = nearer ? await closestHere(parts, asker, request) : own;
  if (event !== undefined) return { event_id: event.eventId, origin_server_ts: event.originServerTs };
  const words = direction === 'f' ? 'forward' : 'backward';
  throw matrixError.notFound(`Unable to find event from ${ts} in ${words} direction`);
}

interface Closest {
  readonly room: Room;
  /** Who has left is told what is here. */
  readonly follows: boolean;
  readonly event: StoredEvent | undefined;
}

const closestHere = (parts: ReadParts, asker: Asker, { roomId, ts, direction }: TimestampRequest): Promise<Closest> =>
  readRoom(parts, asker, roomId, async (read) => {
    const { room, follows } = read.access;
    return { room, follows, event: await closest(read, ts, direction) };
  });

async function closest(read: RoomRead, ts: number, direction: Direction): Promise<StoredEvent | undefined> {
  const { snapshot, rooms, access, userId } = read;
  for (let offset = 0; ;) {
    const nids = eventsByTime(snapshot, access.room.nid, ts, direction, offset);
    for (const nid of nids) {
      const event = rooms.event(snapshot, nid);
      if (event !== undefined && !isIgnored(read, event) && rooms.mayView(snapshot, userId, event)) return event;
      await read.slice.tick();
    }
    if (nids.length === 0) return undefined;
    offset += nids.length;
  }
}
