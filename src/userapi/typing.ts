/**
 * Typing notifications (C-S API v1.19 §Typing Notifications): lists in memory, one per room, with time limits. Rooms with
 * a living list are noted with the next commit; after a restart their clients are sent the empty list.
 */
import type { Bus } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { Room, RoomNid } from '../roomserver/index.ts';
import { sql, type Database, type Position, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { Deferred } from './deferred.ts';

interface TypingRoom {
  readonly roomId: RoomId;
  /** Each with what ends his time limit. */
  readonly users: Map<UserId, AbortController>;
  position: Position;
}

export interface TypingList {
  /** Position of the last change. */
  readonly position: Position;
  readonly users: readonly UserId[];
}

const selectRooms = sql<[], { room_nid: RoomNid; room_id: RoomId }>(
  'SELECT room_nid, room_id FROM userapi_typing_rooms',
);
const insertRoom = sql<[room: number, roomId: string]>(
  'INSERT INTO userapi_typing_rooms (room_nid, room_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
);
const deleteRoom = sql<[room: number]>('DELETE FROM userapi_typing_rooms WHERE room_nid = ?');

/** ms */
const longestTimeout = 120_000;
const writeDelay = 1000;

export class Typing {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #rooms = new Map<RoomNid, TypingRoom>();
  /** Rooms whose row may not say whether they have a list. */
  readonly #dirty = new Map<RoomNid, RoomId>();
  readonly #rows: Deferred;

  constructor(db: Database, bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
    const write = (tx: Tx): void => this.#write(tx);
    this.#rows = new Deferred({ db, clock, bus, name: 'userapi.typing', delay: writeDelay, write });
    // Who was typing when the last process ended is not known any more: clients replace what they show by nothing.
    for (const row of db.read((snapshot) => snapshot.all(selectRooms))) {
      this.#rooms.set(row.room_nid, {
        roomId: row.room_id,
        users: new Map(),
        position: this.#publish(row.room_nid, row.room_id),
      });
      this.#mark(row.room_nid, row.room_id);
    }
  }

  /** A user is typing for at most `timeout` ms (refreshed by each call). */
  start(room: Pick<Room, 'nid' | 'roomId'>, user: UserId, timeout: number): void {
    let list = this.#rooms.get(room.nid);
    const before = list?.users.get(user);
    before?.abort();
    const limit = new AbortController();
    if (list === undefined) {
      list = { roomId: room.roomId, users: new Map(), position: 0 as Position };
      this.#rooms.set(room.nid, list);
    }
    list.users.set(user, limit);
    if (before === undefined) this.#changed(room.nid, list);
    void this.#expire(room.nid, user, Math.min(Math.max(timeout, 0), longestTimeout), limit);
  }

  /** A user is not typing any more. */
  stop(room: RoomNid, user: UserId): void {
    const list = this.#rooms.get(room);
    const limit = list?.users.get(user);
    if (list === undefined || limit === undefined) return;
    limit.abort();
    list.users.delete(user);
    this.#changed(room, list);
  }

  /** The list of a room; undefined: nobody has typed there since the start of this process. */
  list(room: RoomNid): TypingList | undefined {
    const list = this.#rooms.get(room);
    return list === undefined ? undefined : { position: list.position, users: [...list.users.keys()].sort() };
  }

  /** Rooms whose list changed after a Position. */
  changedRooms(since: Position): RoomNid[] {
    return [...this.#rooms].filter(([, list]) => list.position > since).map(([room]) => room);
  }

  /** Ends all time limits; what lives is told again as empty after the next start. */
  async close(): Promise<void> {
    for (const { users } of this.#rooms.values()) for (const limit of users.values()) limit.abort();
    await this.#rows.close();
  }

  async #expire(room: RoomNid, user: UserId, timeout: number, limit: AbortController): Promise<void> {
    await this.#clock.sleep(timeout, limit.signal);
    if (!limit.signal.aborted) this.stop(room, user);
  }

  #changed(room: RoomNid, list: TypingRoom): void {
    list.position = this.#publish(room, list.roomId);
    this.#mark(room, list.roomId);
  }

  #publish(room: RoomNid, roomId: RoomId): Position {
    return this.#bus.publish({ topic: 'room.typing', room, roomId });
  }

  #mark(room: RoomNid, roomId: RoomId): void {
    this.#dirty.set(room, roomId);
    this.#rows.mark();
  }

  #write(tx: Tx): void {
    const written = new Map<RoomNid, boolean>();
    for (const [room, roomId] of this.#dirty) {
      const lives = (this.#rooms.get(room)?.users.size ?? 0) > 0;
      if (lives) tx.run(insertRoom, room, roomId);
      else tx.run(deleteRoom, room);
      written.set(room, lives);
    }
    tx.afterCommit(() => {
      for (const [room, lives] of written) {
        if ((this.#rooms.get(room)?.users.size ?? 0) > 0 === lives) this.#dirty.delete(room);
      }
    });
  }
}
