/**
 * Paging through a room's one order: the next events in a direction that the user may see and the caller admits. What is
 * passed over costs time, so one page looks at a bounded number of events; it then ends early and says where to go on.
 */
import type { Place, StoredEvent } from '../roomserver/index.ts';
import type { Gaps } from './gaps.ts';
import { type Cut, cutBefore, earlierCut, tokenAfter, tokenBefore } from './place-token.ts';
import type { RoomRead } from './room-read.ts';
import { startOfTime } from './token.ts';

export type Direction = 'b' | 'f';

export interface PageQuery {
  readonly direction: Direction;
  /** Backwards: the newest events wanted lie before it; forwards: the oldest lie behind it. */
  readonly from: Cut;
  /** Where to stop; undefined: at the end of what there is. */
  readonly to?: Cut | undefined;
  readonly limit: number;
  readonly admits: (event: StoredEvent) => boolean;
  /** Where history is missing the page ends. Without it gaps are passed over. */
  readonly gaps?: Gaps | undefined;
}

export interface Page {
  /** In the order of the direction. */
  readonly events: readonly StoredEvent[];
  /** Where the next page starts: behind (backwards: before) this place; undefined: there is nothing more. */
  readonly next: { readonly token: string } | undefined;
}

/** How many events one page looks at beyond its limit. */
const lookedAt = 10_000;
const largestBatch = 400;

/** Reads a page. The user's own bounds in the room hold beside those asked for. */
export async function readPage(read: RoomRead, query: PageQuery, fromToken: string): Promise<Page> {
  const events: StoredEvent[] = [];
  let passed: Place | undefined;
  let budget = lookedAt + query.limit;
  const pageEnd = (): Page => ({ events, next: { token: nextToken(query, passed, fromToken) } });
  if (startsAtGap(read, query)) return pageEnd();
  for (let size = Math.min(query.limit + 1, largestBatch); ; size = Math.min(size * 2, largestBatch)) {
    const batch = readBatch(read, query, passed, size);
    const admitted = batch.filter(query.admits);
    const visible = new Set(read.rooms.visibleTo(read.snapshot, read.userId, admitted));
    for (const event of batch) {
      if (query.direction === 'f' && endsAtGap(read, query, event, events.length)) return pageEnd();
      if (visible.has(event)) {
        if (events.length === query.limit) return pageEnd();
        events.push(event);
      }
      passed = event.place ?? passed;
      if (query.direction === 'b' && endsAtGap(read, query, event, events.length)) return pageEnd();
    }
    if (batch.length < size) return { events, next: undefined };
    budget -= batch.length;
    if (budget <= 0) return pageEnd();
    await read.slice.tick();
  }
}

/** Whether history is missing right at the place from which a page goes back: the event behind it has missing ancestors. */
function startsAtGap(read: RoomRead, query: PageQuery): boolean {
  const { direction, from, gaps } = query;
  if (gaps === undefined || direction === 'f' || typeof from === 'number') return false;
  const { snapshot, rooms, access, head } = read;
  const [behind] = rooms.timelineForward(snapshot, access.room.nid, from, head, 1);
  // What is filled in gets the slot of that event.
  return behind !== undefined && isRightBefore(from, behind) && endsAtGap(read, query, behind, 0);
}

function endsAtGap(
  read: RoomRead,
  { gaps, direction, from, limit }: PageQuery,
  event: StoredEvent,
  found: number,
): boolean {
  if (gaps === undefined || !gaps.isBefore(read, event)) return false;
  // Whoever reads on from right before this event has its gap behind him.
  if (direction === 'f' && isRightBefore(from, event)) return false;
  gaps.end(read, event, found >= limit);
  return true;
}

/** Whether a cut is the token before an event, with nothing in between even when more is filled in. */
function isRightBefore(cut: Cut, { place }: StoredEvent): boolean {
  if (typeof cut === 'number' || cut.slot !== place?.slot || cut.live !== place.live) return false;
  return place.live === 1 || (cut.depth === place.depth && cut.nid === place.nid - 1);
}

function readBatch(read: RoomRead, query: PageQuery, passed: Place | undefined, size: number): StoredEvent[] {
  const { snapshot, rooms, access } = read;
  if (query.direction === 'b') {
    const upTo = passed === undefined ? earlierCut(query.from, access.upTo) : cutBefore(passed);
    return rooms.timelineBackward(snapshot, access.room.nid, upTo, query.to ?? startOfTime, size);
  }
  const upTo = query.to === undefined ? access.upTo : earlierCut(query.to, access.upTo);
  return rooms.timelineForward(snapshot, access.room.nid, passed ?? query.from, upTo, size);
}

function nextToken({ direction }: PageQuery, passed: Place | undefined, fromToken: string): string {
  if (passed === undefined) return fromToken;
  return direction === 'b' ? tokenBefore(passed) : tokenAfter(passed);
}
