/**
 * The durable queue of each pusher (Push Gateway API v1.19 §Homeserver behaviour): filled in the transaction of what is
 * notified, emptied by the delivery. Only users with pushers cost anything here.
 */
import type { EventNid, RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Position, Snapshot, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { zeroCounts } from './badges.ts';
import {
  deleteCountsRows,
  insertCountsRows,
  insertNotification,
  selectIdsOf,
  selectPusherUsers,
  shortenMailPause,
} from './pusher-storage.ts';

/** What is told of an event. */
export interface Notice {
  readonly room: RoomNid;
  readonly event: EventNid;
  readonly position: Position;
  /** Event id of the thread root, '' in the main timeline. */
  readonly thread: string;
}

/** Told once the commit is on disk: this pusher has something to do; `read`: because its user has read something. */
export type QueueListener = (pusher: number, read: boolean) => void;

export class PushQueue {
  readonly #clock: Clock;
  readonly #mailInterval: number;
  /** Users with pushers; only ever too many. */
  readonly #users: Set<string>;
  #listener: QueueListener = () => undefined;

  /** @param mailInterval the pause between two mails to somebody who reads, in ms */
  constructor(clock: Clock, mailInterval: number, snapshot: Snapshot) {
    this.#clock = clock;
    this.#mailInterval = mailInterval;
    this.#users = new Set(snapshot.all(selectPusherUsers).map((row) => row.user_id));
  }

  /** Users who may have pushers. */
  get users(): ReadonlySet<string> {
    return this.#users;
  }

  /** A pusher of this user is being made. */
  addUser(user: UserId): void {
    this.#users.add(user);
  }

  onWork(listener: QueueListener): void {
    this.#listener = listener;
  }

  /** Lets all pushers of a user tell of an event. */
  notify(tx: Tx, user: UserId, notice: Notice, tweaks: Readonly<JsonObject>): void {
    const { room, event, position, thread } = notice;
    for (const { id } of tx.all(selectIdsOf, user)) {
      tx.run(insertNotification, id, position, event, room, thread, JSON.stringify(tweaks), this.#clock.now());
      tx.afterDurable(() => this.#listener(id, false));
    }
  }

  /** A user's counts may have become lower: he read something, or it is gone. */
  countsChanged(tx: Tx, user: UserId, position: Position): void {
    if (!this.#users.has(user)) return;
    tx.run(deleteCountsRows, user);
    tx.run(insertCountsRows, position, this.#clock.now(), user, zeroCounts);
    tx.run(shortenMailPause, this.#mailInterval, user, this.#mailInterval);
    for (const { id } of tx.all(selectIdsOf, user)) tx.afterDurable(() => this.#listener(id, true));
  }
}
