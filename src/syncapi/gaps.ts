/**
 * Gaps in a room's history (S-S API v1.19 §Backfilling and retrieving missing events; INVARIANTS 12): what is filled in
 * later gets its place right before the event with missing ancestors, so whoever pages past that event would never meet
 * it. A page therefore ends at a gap that others may fill. When it is full the gap is filled in the background; when it is
 * not, the reader waits and the room is read again. A gap that nobody can fill is passed over.
 */
import type { UserId } from '../matrix/ids.ts';
import type { EventNid, Room, StoredEvent } from '../roomserver/index.ts';
import { type Asker, type ReadParts, type RoomRead, readRoom } from './room-read.ts';

/** What is asked for: events right before one. */
export interface HistoryWish {
  readonly behind: EventNid;
  readonly limit: number;
  /** Who reads: what he could not see anyway is not fetched. */
  readonly user: UserId;
}

/** Which event near a time is asked for. */
export interface NearerWish {
  /** ms since the epoch. */
  readonly ts: number;
  readonly direction: 'b' | 'f';
  /** `origin_server_ts` of the nearest event that the reader sees here. */
  readonly own: number | undefined;
  readonly user: UserId;
}

/** Fetches what is missing; the roomserver's part that asks other servers implements it. */
export interface MissingHistory {
  /** Whether others may know what stands before the event. */
  hasGap(room: Room, wish: HistoryWish): boolean;
  /** Resolves with whether anything came. */
  backfill(room: Room, wish: HistoryWish): Promise<boolean>;
  /** Fetches the event that others find nearer to a time; resolves with whether it came. */
  fetchNearer(room: Room, wish: NearerWish): Promise<boolean>;
}

/** One reading that looks out for gaps. */
export class Gaps {
  readonly #history: MissingHistory | undefined;
  readonly #limit: number;
  readonly #passedOver: ReadonlySet<EventNid>;
  /** Whether the room has any. */
  #any: boolean | undefined;
  /** The gap that the reader waits for. */
  met: Found | undefined;
  /** A gap that the next page begins at. */
  ahead: Found | undefined;

  constructor(history: MissingHistory | undefined, limit: number, passedOver: ReadonlySet<EventNid>) {
    this.#history = history;
    this.#limit = limit;
    this.#passedOver = passedOver;
  }

  /** Whether history is missing right before the event that others may know. */
  isBefore({ snapshot, rooms, access: { room }, userId }: RoomRead, event: StoredEvent): boolean {
    if (this.#history === undefined || this.#passedOver.has(event.nid)) return false;
    this.#any ??= rooms.hasGaps(snapshot, room.nid);
    if (!this.#any || !rooms.isBehindGap(snapshot, event)) return false;
    return this.#history.hasGap(room, { behind: event.nid, limit: this.#limit, user: userId });
  }

  /** The page ends at this gap; `enough`: with all the events that were asked for. */
  end({ access: { room }, userId }: RoomRead, event: StoredEvent, enough: boolean): void {
    const found = { room, wish: { behind: event.nid, limit: this.#limit, user: userId } };
    if (enough) this.ahead ??= found;
    else this.met ??= found;
  }
}

interface Found {
  readonly room: Room;
  readonly wish: HistoryWish;
}

/** For this long a reader waits for other servers, in ms; then he gets what there is, and goes on from the gap. */
const patienceMs = 30_000;
/** Gaps that one request waits for. */
const mostFills = 10;

/** Reads a room, again after each gap that it met was filled. `limit`: events that the reader wants of others' history. */
export async function readFilled(
  parts: ReadParts,
  asker: Asker,
  roomId: string,
  limit: number,
  work: (read: RoomRead, gaps: Gaps) => Promise<string>,
): Promise<string> {
  const { history } = parts;
  const passedOver = new Set<EventNid>();
  const refused = new Set<EventNid>();
  let late: AbortSignal | undefined;
  for (let fills = 0; ; fills++) {
    const gaps = new Gaps(history, limit, passedOver);
    const text = await readRoom(parts, asker, roomId, (read) => work(read, gaps));
    const { met, ahead } = gaps;
    if (history === undefined || (met === undefined && ahead === undefined)) return text;
    if (met === undefined) {
      if (ahead !== undefined) void history.backfill(ahead.room, ahead.wish);
      return text;
    }
    late ??= AbortSignal.timeout(patienceMs);
    if (late.aborted) return text;
    const came = fills < mostFills ? await within(history.backfill(met.room, met.wish), late) : false;
    if (came !== false) continue;
    // Another reader's errand may have been for another gap: then this one is asked for once more.
    const { behind } = met.wish;
    if (fills >= mostFills || refused.has(behind) || !history.hasGap(met.room, met.wish)) passedOver.add(behind);
    refused.add(behind);
  }
}

/** What a promise resolves with; undefined when the signal comes first. */
function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
