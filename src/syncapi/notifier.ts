/**
 * Who is woken by what (DESIGN §6). Parked waiters hang on their user; users who sync hang on their rooms, so that a
 * message costs what its parked local members cost and parking costs nothing per room. Entries come here once they are
 * on disk, a batch for each commit; whoever was parked before the batch and is concerned by it is woken once.
 */
import type { Bus, Entry, Logged, RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';

/** A parked request. Register it, read, and only then wait: what comes between reading and waiting is not missed. */
export interface Waiter extends Disposable {
  /** Forgets earlier wakes: to be called right before reading the position. */
  arm(): void;
  /** Resolves when something concerned the user since `arm`. */
  woken(): Promise<void>;
}

interface Parked {
  readonly deviceId: string | undefined;
  woken: boolean;
  resolve: (() => void) | undefined;
}

/** A user who syncs, with the rooms that he is joined to. */
interface Watch {
  readonly user: UserId;
  readonly rooms: Set<RoomNid>;
  readonly parked: Set<Parked>;
}

/** How many users without a parked request keep their place in the room index. */
const idleWatches = 500;

export class Notifier {
  readonly #db: Database;
  readonly #rooms: RoomReader;
  /** Least recently parked first. */
  readonly #watches = new Map<UserId, Watch>();
  readonly #byRoom = new Map<RoomNid, Set<Watch>>();
  #parked = 0;
  #wakes = 0;

  constructor(db: Database, bus: Bus, rooms: RoomReader) {
    this.#db = db;
    this.#rooms = rooms;
    bus.addListener((entries) => this.#tell(entries));
  }

  /** Requests waiting now. */
  get parked(): number {
    return this.#parked;
  }

  /** How many times a waiter was woken. */
  get wakes(): number {
    return this.#wakes;
  }

  register(user: UserId, deviceId: string | undefined): Waiter {
    const watch = this.#watch(user);
    const parked: Parked = { deviceId, woken: false, resolve: undefined };
    watch.parked.add(parked);
    this.#parked += 1;
    return {
      arm: () => void (parked.woken = false),
      woken: () =>
        new Promise((resolve) => {
          if (parked.woken) resolve();
          else parked.resolve = resolve;
        }),
      [Symbol.dispose]: () => {
        if (watch.parked.delete(parked)) this.#parked -= 1;
      },
    };
  }

  #watch(user: UserId): Watch {
    const known = this.#watches.get(user);
    this.#watches.delete(user);
    const watch = known ?? this.#newWatch(user);
    this.#watches.set(user, watch);
    if (known === undefined) this.#dropIdle();
    return watch;
  }

  #newWatch(user: UserId): Watch {
    // Entries that are committed and not yet told may be in these already: telling them again changes nothing.
    const rooms = this.#db.read((snapshot) => this.#rooms.joinedRooms(snapshot, user));
    const watch: Watch = { user, rooms: new Set(rooms), parked: new Set() };
    for (const room of rooms) this.#index(room, watch);
    return watch;
  }

  #dropIdle(): void {
    let over = this.#watches.size - this.#parked - idleWatches;
    if (over <= 0) return;
    for (const watch of this.#watches.values()) {
      if (over <= 0) return;
      if (watch.parked.size > 0) continue;
      for (const room of watch.rooms) this.#unindex(room, watch);
      this.#watches.delete(watch.user);
      over -= 1;
    }
  }

  #index(room: RoomNid, watch: Watch): void {
    const watches = this.#byRoom.get(room);
    if (watches === undefined) this.#byRoom.set(room, new Set([watch]));
    else watches.add(watch);
  }

  #unindex(room: RoomNid, watch: Watch): void {
    const watches = this.#byRoom.get(room);
    watches?.delete(watch);
    if (watches?.size === 0) this.#byRoom.delete(room);
  }

  #tell(entries: readonly Logged[]): void {
    const concerned = new Set<Parked>();
    for (const { entry } of entries) this.#concern(entry, concerned);
    for (const parked of concerned) {
      if (parked.woken) continue;
      parked.woken = true;
      this.#wakes += 1;
      parked.resolve?.();
      parked.resolve = undefined;
    }
  }

  #concern(entry: Entry, concerned: Set<Parked>): void {
    switch (entry.topic) {
      case 'room.event':
      case 'room.state':
      case 'room.unpartial':
      case 'room.typing':
        return this.#concernRoom(entry.room, concerned);
      case 'room.receipt':
        // "Private" ones are for nobody but the user himself.
        if (entry.receiptType === 'm.read.private') return this.#concernUser(entry.user, concerned);
        return this.#concernRoom(entry.room, concerned);
      case 'room.membership':
        this.#move(entry.user, entry.room, entry.membership === 'join');
        return this.#concernUser(entry.user, concerned);
      case 'user.account_data':
        return this.#concernUser(entry.user, concerned);
      case 'user.presence':
        this.#concernPresumed(entry.user, concerned);
        return this.#concernSharing(entry.user, concerned);
      case 'user.device_list':
        return this.#concernSharing(entry.user, concerned);
      case 'device.to_device':
      case 'device.key_counts':
        return this.#concernUser(entry.user, concerned, entry.deviceId);
      // Counts go with an event or a receipt, a redaction is an event, profiles reach rooms as member events, and what is
      // back-filled or purged is no news.
      case 'user.counts':
      case 'room.backfilled':
      case 'event.redacted':
      case 'event.withdrawn':
      case 'room.purged':
      case 'user.profile':
        return;
    }
  }

  #concernRoom(room: RoomNid, concerned: Set<Parked>): void {
    for (const watch of this.#byRoom.get(room) ?? []) for (const parked of watch.parked) concerned.add(parked);
  }

  #concernUser(user: UserId, concerned: Set<Parked>, deviceId?: string): void {
    for (const parked of this.#watches.get(user)?.parked ?? []) {
      if (deviceId === undefined || parked.deviceId === deviceId) concerned.add(parked);
    }
  }

  #concernSharing(user: UserId, concerned: Set<Parked>): void {
    this.#concernUser(user, concerned);
    if (this.#parked === 0) return;
    const rooms =
      this.#watches.get(user)?.rooms ?? this.#db.read((snapshot) => this.#rooms.joinedRooms(snapshot, user));
    for (const room of rooms) this.#concernRoom(room, concerned);
  }

  /** Who waits in a partial-state room that the user may be in. */
  #concernPresumed(user: UserId, concerned: Set<Parked>): void {
    if (this.#parked === 0) return;
    const rooms = this.#db.read((snapshot) => this.#rooms.presumedRooms(snapshot, user));
    for (const room of rooms) this.#concernRoom(room, concerned);
  }

  #move(user: UserId, room: RoomNid, joined: boolean): void {
    const watch = this.#watches.get(user);
    if (watch === undefined) return;
    if (joined) {
      watch.rooms.add(room);
      this.#index(room, watch);
    } else {
      watch.rooms.delete(room);
      this.#unindex(room, watch);
    }
  }
}
