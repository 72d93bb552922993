/**
 * Who is interested in a room (A-S API v1.19 §Registration): services with the room's id or an alias of it in a
 * namespace, or with a local user of theirs joined in it. The last is remembered per room for the state that it was
 * found in.
 */
import type { RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Snapshot, Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';
import type { Registration } from './registration.ts';
import type { ServiceRegistry } from './registry.ts';

interface Joined {
  /** Snapshot NID of the room's current state. */
  readonly state: number;
  readonly services: ReadonlySet<Registration>;
}

const rememberedRooms = 10_000;

export class Interest {
  readonly #registry: ServiceRegistry;
  readonly #rooms: RoomReader;
  readonly #aliasesOf: (snapshot: Snapshot, room: RoomNid) => readonly string[];
  readonly #joined = new LruCache<RoomNid, Joined>({ max: rememberedRooms });

  constructor(
    registry: ServiceRegistry,
    rooms: RoomReader,
    aliasesOf: (snapshot: Snapshot, room: RoomNid) => readonly string[],
  ) {
    this.#registry = registry;
    this.#rooms = rooms;
    this.#aliasesOf = aliasesOf;
  }

  /** Services that get everything that happens in a room. */
  ofRoom(tx: Tx, room: RoomNid, roomId: RoomId): Set<Registration> {
    // What a unit sees may be taken back with it: only what was committed is remembered.
    return this.#ofRoom(tx, room, roomId, (remember) => tx.afterCommit(remember));
  }

  /** As `ofRoom`, from a committed state. */
  ofCommittedRoom(snapshot: Snapshot, room: RoomNid, roomId: RoomId): Set<Registration> {
    return this.#ofRoom(snapshot, room, roomId, (remember) => remember());
  }

  /** Whether the service is interested in any room that the user is joined in. */
  sharesRoom(snapshot: Snapshot, service: Registration, user: UserId): boolean {
    return this.#rooms.joinedRooms(snapshot, user).some((room) => {
      const { roomId } = this.#rooms.roomByNid(snapshot, room);
      return this.#ofRoom(snapshot, room, roomId, () => undefined).has(service);
    });
  }

  #ofRoom(
    snapshot: Snapshot,
    room: RoomNid,
    roomId: RoomId,
    settle: (remember: () => void) => void,
  ): Set<Registration> {
    const found = new Set(this.#joinedIn(snapshot, room, settle));
    let aliases: readonly string[] | undefined;
    for (const service of this.#registry.reached) {
      if (found.has(service)) continue;
      if (this.#registry.ownsRoom(service, roomId)) found.add(service);
      else if (service.aliases.length > 0) {
        aliases ??= this.#aliasesOf(snapshot, room);
        if (aliases.some((alias) => this.#registry.ownsAlias(service, alias))) found.add(service);
      }
    }
    return found;
  }

  #joinedIn(snapshot: Snapshot, room: RoomNid, settle: (remember: () => void) => void): ReadonlySet<Registration> {
    const state = this.#rooms.currentSnapshot(snapshot, room);
    const known = this.#joined.get(room);
    if (known?.state === state) return known.services;
    const services = new Set<Registration>();
    for (const user of this.#rooms.joinedLocalUsers(snapshot, room)) {
      for (const owner of this.#registry.ownersOfUser(user)) if (owner.url !== undefined) services.add(owner);
      if (services.size === this.#registry.reached.length) break;
    }
    settle(() => this.#joined.set(room, { state, services }));
    return services;
  }
}
