/**
 * Presence (C-S API v1.19 §Presence). Each device of a user says how it is; the user is what the most present one is. The
 * state lives in memory and takes a Position on a change of state, status or currently_active only; the last one is
 * written with the next commit and is right after a restart (INVARIANTS 1, 5).
 */
import type { Bus } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { sql, type Database, type Position, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { Deferred } from './deferred.ts';
import {
  contentOf,
  deviceOf,
  latestDevice,
  seenOf,
  unknownUser,
  type PresenceContent,
  type PresenceState,
  type UserPresence,
} from './presence-state.ts';

/** What another server says of its user. */
export interface RemotePresence {
  readonly state: PresenceState;
  readonly statusMsg: string | undefined;
  /** ms; undefined: not told. */
  readonly lastActiveAgo: number | undefined;
  readonly currentlyActive: boolean;
}

const selectAll = sql<
  [],
  { user_id: UserId; state: PresenceState; status_msg: string | null; last_active_at: number; position: Position }
>('SELECT user_id, state, status_msg, last_active_at, position FROM userapi_presence');
const upsertPresence = sql<
  [userId: string, state: string, statusMsg: string | null, lastActiveAt: number, position: number]
>(
  `INSERT INTO userapi_presence (user_id, state, status_msg, last_active_at, position) VALUES (?, ?, ?, ?, ?)
   ON CONFLICT (user_id) DO UPDATE SET state = excluded.state, status_msg = excluded.status_msg,
     last_active_at = excluded.last_active_at, position = excluded.position`,
);

/** ms between looks at who has become idle or gone, and the longest that a row waits. */
const lookEvery = 5000;
const writeDelay = 1000;

export class Presence {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #enabled: boolean;
  readonly #users = new Map<UserId, UserPresence>();
  readonly #dirty = new Set<UserId>();
  readonly #rows: Deferred;
  readonly #stop = new AbortController();
  /** Users who are not offline: those to look at. */
  readonly #present = new Set<UserId>();
  #looking = false;

  readonly #isLocal: (userId: UserId) => boolean;

  /** @param enabled false: everybody stays offline and nobody is told anything. */
  constructor(db: Database, bus: Bus, clock: Clock, enabled: boolean, isLocal: (userId: UserId) => boolean) {
    this.#isLocal = isLocal;
    this.#bus = bus;
    this.#clock = clock;
    this.#enabled = enabled;
    const write = (tx: Tx): void => this.#write(tx);
    this.#rows = new Deferred({ db, clock, bus, name: 'userapi.presence', delay: writeDelay, write });
    if (!enabled) return;
    for (const row of db.read((snapshot) => snapshot.all(selectAll))) this.#restore(row.user_id, row);
  }

  /** The user as others see him now; undefined: never heard of. */
  get(userId: UserId): PresenceContent | undefined {
    const user = this.#users.get(userId);
    return user === undefined ? undefined : contentOf(user, this.#clock.now());
  }

  /** Position of the user's last change; 0: none. */
  positionOf(userId: UserId): Position {
    return this.#users.get(userId)?.position ?? (0 as Position);
  }

  /** Users whose presence changed after a Position; 0: all that are not offline. */
  changedUsers(since: Position): UserId[] {
    if (since <= 0) return [...this.#present];
    return [...this.#users].filter(([, user]) => user.position > since).map(([userId]) => userId);
  }

  /** The user says how he is (PUT /presence/{userId}/status). `statusMsg` undefined clears it. */
  set(userId: UserId, deviceId: string | undefined, state: PresenceState, statusMsg: string | undefined): void {
    if (!this.#enabled) return;
    const user = this.#user(userId);
    const device = deviceOf(user, deviceId);
    device.state = state;
    device.heardAt = this.#clock.now();
    // Who says that he is away or gone means himself, not this device.
    if (state !== 'online') for (const other of user.devices.values()) other.state = state;
    if (state !== 'offline') user.lastActiveAt = this.#clock.now();
    this.#update(userId, user, statusMsg);
  }

  /**
   * A device asks for /sync with `set_presence`; it is there until the returned function is called, and a while longer.
   * `offline` leaves the user as he is.
   */
  polls(userId: UserId, deviceId: string | undefined, state: PresenceState): () => void {
    if (!this.#enabled || state === 'offline') return () => undefined;
    const user = this.#user(userId);
    const device = deviceOf(user, deviceId);
    device.state = state;
    device.heardAt = this.#clock.now();
    device.polls += 1;
    if (state === 'online') user.lastActiveAt = this.#clock.now();
    this.#update(userId, user);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      device.polls -= 1;
      device.heardAt = this.#clock.now();
    };
  }

  /**
   * The user did something (sent an event, a receipt, typed): whoever was idle is online again (§Idle timeout). Who is
   * offline, or wants to look so, stays that.
   */
  active(userId: UserId, deviceId: string | undefined): void {
    const user = this.#users.get(userId);
    if (!this.#enabled || user === undefined || user.state === 'offline') return;
    // Of an activity without a device it is taken that the one heard of last was at work.
    const device = deviceId === undefined ? latestDevice(user) : deviceOf(user, deviceId);
    if (device === undefined) return;
    device.heardAt = this.#clock.now();
    device.state = 'online';
    user.lastActiveAt = this.#clock.now();
    this.#update(userId, user);
  }

  /** Another server told how its user is (S-S API §Presence); the caller has checked that he is of that server. */
  hear(userId: UserId, { state, statusMsg, lastActiveAgo, currentlyActive }: RemotePresence): void {
    if (!this.#enabled) return;
    const user = this.#user(userId);
    const now = this.#clock.now();
    user.told = { state, currentlyActive: currentlyActive && state === 'online', heardAt: now };
    if (lastActiveAgo !== undefined) user.lastActiveAt = Math.max(1, now - lastActiveAgo);
    this.#update(userId, user, statusMsg);
  }

  /** An account was made: that was the user's first activity, and nobody is there yet who could be told. */
  created(userId: UserId): void {
    if (!this.#enabled) return;
    this.#user(userId).lastActiveAt = this.#clock.now();
    this.#dirty.add(userId);
    this.#rows.mark();
  }

  /** The user is gone for good (deactivation). */
  forget(userId: UserId): void {
    const user = this.#users.get(userId);
    if (user === undefined) return;
    user.devices.clear();
    this.#update(userId, user, undefined);
  }

  /** Display name or avatar, which clients show beside presence, has changed. */
  profileChanged(userId: UserId): void {
    const user = this.#users.get(userId);
    if (user !== undefined && user.state !== 'offline') this.#publish(userId, user);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#rows.close();
  }

  #user(userId: UserId): UserPresence {
    let user = this.#users.get(userId);
    if (user === undefined) {
      user = unknownUser();
      this.#users.set(userId, user);
    }
    return user;
  }

  /** After a restart a user is as he was, until his devices have had the time to come back. */
  #restore(
    userId: UserId,
    row: { state: PresenceState; status_msg: string | null; last_active_at: number; position: Position },
  ): void {
    const user = this.#user(userId);
    user.statusMsg = row.status_msg ?? undefined;
    user.lastActiveAt = row.last_active_at;
    user.position = row.position;
    user.state = row.state;
    if (row.state === 'offline') return;
    if (!this.#isLocal(userId)) {
      user.told = { state: row.state, currentlyActive: false, heardAt: this.#clock.now() };
      return this.#update(userId, user);
    }
    deviceOf(user, undefined).state = row.state;
    deviceOf(user, undefined).heardAt = this.#clock.now();
    this.#update(userId, user);
  }

  /** Works out what others see and tells them if it changed. */
  #update(userId: UserId, user: UserPresence, ...status: [statusMsg?: string | undefined]): void {
    const { state, currentlyActive } = seenOf(user, this.#clock.now());
    const statusMsg = status.length > 0 ? status[0] : user.statusMsg;
    const same = state === user.state && currentlyActive === user.currentlyActive && statusMsg === user.statusMsg;
    user.state = state;
    user.currentlyActive = currentlyActive;
    user.statusMsg = statusMsg;
    if (state === 'offline') this.#present.delete(userId);
    else this.#present.add(userId);
    if (!same) this.#publish(userId, user);
    if (this.#present.size > 0 && !this.#looking) void this.#look();
  }

  #publish(userId: UserId, user: UserPresence): void {
    user.position = this.#bus.publish({ topic: 'user.presence', user: userId });
    this.#dirty.add(userId);
    this.#rows.mark();
  }

  /** Every few seconds: who has become idle, or is gone? */
  async #look(): Promise<void> {
    this.#looking = true;
    while (this.#present.size > 0 && !this.#stop.signal.aborted) {
      await this.#clock.sleep(lookEvery, this.#stop.signal);
      if (this.#stop.signal.aborted) break;
      for (const userId of [...this.#present]) this.#update(userId, this.#user(userId));
    }
    this.#looking = false;
  }

  #write(tx: Tx): void {
    const written = new Map<UserId, Position>();
    for (const userId of this.#dirty) {
      const user = this.#users.get(userId);
      if (user === undefined) continue;
      tx.run(upsertPresence, userId, user.state, user.statusMsg ?? null, user.lastActiveAt, user.position);
      written.set(userId, user.position);
    }
    tx.afterCommit(() => {
      for (const [userId, position] of written) if (this.positionOf(userId) === position) this.#dirty.delete(userId);
    });
  }
}
