/**
 * For who was away longer than the outbox reaches back: not every event that he missed, but the ends of every room that he
 * shares or shared with us meanwhile (INVARIANTS 21); the rest he asks for. Rooms come in the order of our last event
 * in them, so that each batch brings the cursor forward, and the outbox takes over where it begins.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { serverNameOf } from '../../matrix/ids.ts';
import type { HostInterval, RoomReader } from '../../roomserver/index.ts';
import type { Position, Snapshot } from '../../storage/index.ts';
import type { Batch, Candidate } from './compose.ts';
import { selectOutboxRoom } from './storage.ts';
import { mostPdus } from './transaction.ts';

/** A room of which the server lacks events, and the Position up to which it is told of them. */
interface Lacking {
  readonly interval: HostInterval;
  readonly mark: number;
}

/** Ends of one room at most: the others follow from them. */
const mostEnds = 20;

/** The next batch for a server whose cursor is older than the outbox, which begins behind `trimmed`. */
export function catchUp(
  snapshot: Snapshot,
  rooms: RoomReader,
  server: ServerName,
  cursor: Position,
  trimmed: Position,
): Batch {
  const lacking = lackingRooms(snapshot, rooms, server, cursor);
  const events: Candidate[] = [];
  let reached: number = cursor;
  for (const { interval, mark } of lacking) {
    // The outbox has all of what is left.
    if (reached >= trimmed) return { events, cursor: reached, more: true };
    const ends = endsOf(snapshot, rooms, server, interval).map((event) => ({ position: mark, event }));
    if (events.length > 0 && events.length + ends.length > mostPdus) return { events, cursor: reached, more: true };
    events.push(...ends);
    reached = mark;
  }
  return { events, cursor: Math.max(reached, trimmed), more: true };
}

function lackingRooms(snapshot: Snapshot, rooms: RoomReader, server: ServerName, cursor: Position): Lacking[] {
  return rooms
    .roomsOfHost(snapshot, server, cursor)
    .flatMap((interval) => {
      const last = snapshot.get(selectOutboxRoom, interval.room)?.position ?? 0;
      const mark = Math.min(last, interval.to ?? last);
      return mark > cursor && last > interval.from ? [{ interval, mark }] : [];
    })
    .sort((a, b) => a.mark - b.mark);
}

/** The ends of a room as they are now, or as they were when the server left it; its own events are no news to it. */
function endsOf(
  snapshot: Snapshot,
  rooms: RoomReader,
  server: ServerName,
  { room, from, to }: HostInterval,
): Candidate['event'][] {
  const ends =
    to === undefined ? rooms.forwardExtremities(snapshot, room) : rooms.timelineBackward(snapshot, room, to, from, 1);
  return ends
    .filter(({ sender }) => serverNameOf(sender) !== server)
    .slice(-mostEnds)
    .map(({ nid }) => nid);
}
