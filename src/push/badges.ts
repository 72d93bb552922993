/**
 * A user's counts over all his rooms, as push gateways are told (Push Gateway API v1.19 §Counts). A room is counted
 * again only when something in it has changed.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Position, Snapshot, Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';
import type { UnreadCounts } from './counts.ts';

export interface Badge {
  readonly unread: number;
  readonly missedCalls: number;
}

interface Counted extends Badge {
  readonly upTo: number;
}

/**
 * JSON text of `counts`. Zeros "should be omitted", but a badge goes away only when the gateway is told of its zero, so
 * that `unread` always stands there.
 */
export const countsText = ({ unread, missedCalls }: Badge): string =>
  JSON.stringify({ unread, ...(missedCalls === 0 ? {} : { missed_calls: missedCalls }) });

export const zeroCounts = countsText({ unread: 0, missedCalls: 0 });

export class Badges {
  readonly #rooms: RoomReader;
  readonly #counts: UnreadCounts;
  readonly #users = new LruCache<UserId, Map<RoomNid, Counted>>({ max: 1000 });
  /** Heads at which rooms last changed, since the start. */
  readonly #changed = new Map<RoomNid, number>();

  constructor(rooms: RoomReader, counts: UnreadCounts) {
    this.#rooms = rooms;
    this.#counts = counts;
  }

  /** A room's events or their outcomes have changed. */
  roomChanged(tx: Tx, room: RoomNid, position: Position): void {
    tx.afterCommit(() => this.#changed.set(room, position));
  }

  /** A user has read in a room, joined or left it. */
  userChanged(tx: Tx, user: UserId, room: RoomNid): void {
    tx.afterCommit(() => this.#users.get(user)?.delete(room));
  }

  /** The user's counts as of `head`, the sequence head of the snapshot. */
  of(snapshot: Snapshot, head: Position, user: UserId): Badge {
    const known = this.#users.get(user) ?? new Map<RoomNid, Counted>();
    this.#users.set(user, known);
    let unread = 0;
    let missedCalls = 0;
    for (const room of this.#rooms.joinedRooms(snapshot, user)) {
      let counted = known.get(room);
      if (counted === undefined || counted.upTo < (this.#changed.get(room) ?? 0)) {
        counted = { ...this.#count(snapshot, head, room, user), upTo: head };
        known.set(room, counted);
      }
      unread += counted.unread;
      missedCalls += counted.missedCalls;
    }
    return { unread, missedCalls };
  }

  #count(snapshot: Snapshot, head: Position, room: RoomNid, user: UserId): Badge {
    const { main, threads, missedCalls } = this.#counts.of(snapshot, head, room, user);
    let unread = main.notifications;
    for (const thread of threads.values()) unread += thread.notifications;
    return { unread, missedCalls };
  }
}
