/**
 * Unread counts (C-S API v1.19 §Receiving notifications, INVARIANTS 18): the number of action rows of a user in a room,
 * by thread, above the furthest of his receipts. Rows are facts; what is cached here is only how far they were counted.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';
import { callBit, highlightBit, outcomeFor, selectActionsAfter, selectOwnEvents } from './storage.ts';

/** Counts of one timeline: the main one or a thread. */
export interface UnreadCount {
  readonly notifications: number;
  readonly highlights: number;
}

export interface RoomCounts {
  readonly main: UnreadCount;
  /** By event id of the thread root; only threads with something unread. */
  readonly threads: ReadonlyMap<string, UnreadCount>;
  /** Calls that rang and that the user has done nothing about since. */
  readonly missedCalls: number;
}

/** How far a user has read: `threadId` null is unthreaded, `main` the main timeline, else a thread root's event id. */
export interface ReadMarker {
  readonly threadId: string | null;
  readonly slot: Position;
}

export interface ReadMarkerSource {
  /** The user's own public and private receipts in a room whose events have a place there. */
  readMarkers(snapshot: Snapshot, room: RoomNid, user: UserId): readonly ReadMarker[];
}

interface Tally {
  notifications: number;
  highlights: number;
  calls: number;
}

interface Cached {
  readonly bounds: string;
  upTo: number;
  tallies: ReadonlyMap<string, Tally>;
}

const nothing: UnreadCount = { notifications: 0, highlights: 0 };

export class UnreadCounts {
  readonly #rooms: RoomReader;
  readonly #markers: ReadMarkerSource;
  readonly #cache = new LruCache<string, Cached>({ max: 5000 });
  /** Rows were deleted or rewritten in these rooms since they were counted: part of the cache key. */
  readonly #generations = new Map<RoomNid, number>();

  constructor(rooms: RoomReader, markers: ReadMarkerSource) {
    this.#rooms = rooms;
    this.#markers = markers;
  }

  /** Counts held in memory. */
  get cached(): number {
    return this.#cache.size;
  }

  /** Forgets what was counted in a room, because rows of it have changed. */
  invalidate(room: RoomNid): void {
    this.#generations.set(room, (this.#generations.get(room) ?? 0) + 1);
  }

  /** The user's counts as of `head`, the sequence head of the snapshot; `joined`: his membership then. */
  of(
    snapshot: Snapshot,
    head: Position,
    room: RoomNid,
    user: UserId,
    joined = this.#rooms.localMembershipAt(snapshot, user, room, head),
  ): RoomCounts {
    if (joined?.membership !== 'join') return { main: nothing, threads: new Map(), missedCalls: 0 };
    const bounds = this.#bounds(snapshot, room, user, joined.position);
    const key = `${room} ${user}`;
    const boundsKey = `${this.#generations.get(room) ?? 0} ${JSON.stringify([...bounds])}`;
    const cached = this.#cache.get(key);
    const usable = cached !== undefined && cached.bounds === boundsKey && cached.upTo <= head ? cached : undefined;
    const from = usable?.upTo ?? bounds.get('*') ?? 0;
    const tallies = new Map<string, Tally>();
    for (const [thread, count] of usable?.tallies ?? []) tallies.set(thread, { ...count });
    for (const row of snapshot.all(selectActionsAfter, room, from, head)) {
      if (row.sender === user || row.position <= boundOf(bounds, row.thread_id)) continue;
      const outcome = outcomeFor(row, user);
      if (outcome === 0) continue;
      const tally = tallies.get(row.thread_id) ?? { notifications: 0, highlights: 0, calls: 0 };
      tally.notifications += 1;
      if ((outcome & highlightBit) !== 0) tally.highlights += 1;
      if ((outcome & callBit) !== 0) tally.calls += 1;
      tallies.set(row.thread_id, tally);
    }
    if (usable !== undefined) {
      usable.upTo = head;
      usable.tallies = tallies;
    } else if (cached === undefined || cached.upTo <= head) {
      this.#cache.set(key, { bounds: boundsKey, upTo: head, tallies });
    }
    const threads = new Map<string, UnreadCount>(tallies);
    threads.delete('');
    const missedCalls = [...tallies.values()].reduce((sum, { calls }) => sum + calls, 0);
    return { main: tallies.get('') ?? nothing, threads, missedCalls };
  }

  /**
   * Tells which of a room's events a user has read, as of `head`: by Position, and thread root or ''. Undefined: he is
   * not joined.
   */
  reading(
    snapshot: Snapshot,
    head: Position,
    room: RoomNid,
    user: UserId,
  ): ((position: number, thread: string) => boolean) | undefined {
    const joined = this.#rooms.localMembershipAt(snapshot, user, room, head);
    if (joined?.membership !== 'join') return undefined;
    const bounds = this.#bounds(snapshot, room, user, joined.position);
    return (position, thread) => position <= boundOf(bounds, thread);
  }

  /** Read up to where, by thread; the entry `*` holds for every thread. */
  #bounds(snapshot: Snapshot, room: RoomNid, user: UserId, joinedAt: Position): Map<string, number> {
    const bounds = new Map<string, number>([['*', joinedAt]]);
    const raise = (thread: string, position: number): void => {
      if (position > (bounds.get(thread) ?? 0)) bounds.set(thread, position);
    };
    for (const { threadId, slot } of this.#markers.readMarkers(snapshot, room, user)) {
      raise(threadId === null ? '*' : threadId === 'main' ? '' : threadId, slot);
    }
    for (const own of snapshot.all(selectOwnEvents, user, room)) raise(own.thread_id, own.position);
    return bounds;
  }
}

function boundOf(bounds: ReadonlyMap<string, number>, thread: string): number {
  return Math.max(bounds.get('*') ?? 0, bounds.get(thread) ?? 0);
}
