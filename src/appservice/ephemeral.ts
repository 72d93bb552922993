/**
 * Typing and presence for services (A-S API v1.19 §Pushing ephemeral data): per service the rooms and users with
 * something new, in memory as they are themselves. The last value goes into the next transaction.
 */
import type { Logged, RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database, Position } from '../storage/index.ts';
import type { Presence, Typing } from '../userapi/index.ts';
import type { Interest } from './interest.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

interface Waiting {
  readonly typing: Map<RoomNid, RoomId>;
  readonly presence: Set<UserId>;
}

export interface EphemeralParts {
  readonly db: Database;
  readonly registry: ServiceRegistry;
  readonly interest: Interest;
  readonly rooms: RoomReader;
  readonly typing: Typing;
  readonly presence: Presence;
  readonly wake: (service: Registration) => void;
}

export class EphemeralData {
  readonly #parts: EphemeralParts;
  readonly #waiting = new Map<Registration, Waiting>();

  constructor(parts: EphemeralParts) {
    this.#parts = parts;
    for (const service of parts.registry.reached) {
      if (service.receiveEphemeral) this.#waiting.set(service, { typing: new Map(), presence: new Set() });
    }
  }

  /** Lists of before the last stop are empty now: whoever knew them is told so. */
  begin(): void {
    for (const room of this.#parts.typing.changedRooms(0 as Position)) {
      const roomId = this.#parts.db.read((snapshot) => this.#parts.rooms.roomByNid(snapshot, room).roomId);
      this.#typing(room, roomId);
    }
  }

  /** Takes notice of what happened; a listener of the bus. */
  hear(entries: readonly Logged[]): void {
    if (this.#waiting.size === 0) return;
    for (const { entry } of entries) {
      if (entry.topic === 'room.typing') this.#typing(entry.room, entry.roomId);
      else if (entry.topic === 'user.presence') this.#presence(entry.user);
    }
  }

  isEmpty(service: Registration): boolean {
    const waiting = this.#waiting.get(service);
    return waiting === undefined || (waiting.typing.size === 0 && waiting.presence.size === 0);
  }

  /** JSON texts of what waits, as it is now; `forget` when they are on disk. */
  events(service: Registration): string[] {
    const { typing, presence } = this.#parts;
    const waiting = this.#waiting.get(service);
    if (waiting === undefined) return [];
    return [
      ...[...waiting.typing].map(([room, roomId]) => {
        const users = typing.list(room)?.users ?? [];
        return JSON.stringify({ type: 'm.typing', room_id: roomId, content: { user_ids: users } });
      }),
      ...[...waiting.presence].flatMap((user) => {
        const content = presence.get(user);
        return content === undefined ? [] : [JSON.stringify({ type: 'm.presence', sender: user, content })];
      }),
    ];
  }

  forget(service: Registration): void {
    const waiting = this.#waiting.get(service);
    waiting?.typing.clear();
    waiting?.presence.clear();
  }

  #typing(room: RoomNid, roomId: RoomId): void {
    const { db, interest, wake } = this.#parts;
    const interested = db.read((snapshot) => interest.ofCommittedRoom(snapshot, room, roomId));
    for (const [service, waiting] of this.#waiting) {
      if (!interested.has(service)) continue;
      waiting.typing.set(room, roomId);
      wake(service);
    }
  }

  /** Of users whom the service shares a room with, and of its own. */
  #presence(user: UserId): void {
    const { db, interest, registry, wake } = this.#parts;
    for (const [service, waiting] of this.#waiting) {
      const concerns =
        registry.ownsUser(service, user) || db.read((snapshot) => interest.sharesRoom(snapshot, service, user));
      if (!concerns) continue;
      waiting.presence.add(user);
      wake(service);
    }
  }
}
