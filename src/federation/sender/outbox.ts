/**
 * What becomes a matter of other servers, in the transaction in which it happens (INVARIANTS 6, 7, 21): one row for an
 * event, whatever number of servers it goes to; one for each server that gets it though it was not in the room; one for
 * each server that is told of a change of a user's devices.
 */
import type {
  DeviceListEntry,
  MembershipEntry,
  Projection,
  RoomEventEntry,
  RoomNid,
  StoredEntry,
} from '../../bus/index.ts';
import { serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Position, Tx } from '../../storage/index.ts';
import type { DeviceKeys, DeviceLists, Devices } from '../../userapi/index.ts';
import type { Introductions } from './introductions.ts';
import { deleteOutboxRoom, insertException, insertOutbox, upsertDeviceChange, upsertOutboxRoom } from './storage.ts';

/** Events since the join of a partial room that are looked at for servers found late: the newest. */
const mostMissed = 500;

export interface OutboxParts {
  readonly rooms: RoomReader;
  readonly serverName: ServerName;
  readonly deviceLists: DeviceLists;
  readonly devices: Pick<Devices, 'ids'>;
  readonly deviceKeys: Pick<DeviceKeys, 'get'>;
  readonly introductions: Introductions;
  /** Whether the operator lets us speak with a server: nothing is kept for others. */
  readonly permits: (server: ServerName) => boolean;
  /** Something besides events of shared rooms waits for these servers, on disk. */
  readonly wake: (servers: readonly ServerName[]) => void;
}

export class Outbox implements Projection {
  readonly name = 'federation.sender';
  readonly #parts: OutboxParts;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  apply(tx: Tx, entry: StoredEntry, position: Position): void {
    switch (entry.topic) {
      case 'room.event':
        return this.#event(tx, entry, position);
      case 'room.membership':
        return this.#membership(tx, entry);
      case 'user.device_list':
        return this.#deviceList(tx, entry, position);
      case 'room.unpartial':
        return this.#unpartial(tx, entry.room, position);
      case 'room.purged':
        if (entry.whole) tx.run(deleteOutboxRoom, entry.room);
        return;
      // Receipts are read from their table when they are sent.
      case 'room.receipt':
      case 'room.state':
      case 'room.backfilled':
      case 'event.redacted':
      case 'event.withdrawn':
      case 'user.account_data':
      case 'user.counts':
      case 'user.profile':
      case 'device.to_device':
      case 'device.key_counts':
        return;
      default:
        entry satisfies never;
    }
  }

  #event(tx: Tx, entry: RoomEventEntry, position: Position): void {
    const { rooms, serverName } = this.#parts;
    const { room, event, sender, broughtBy, type, stateKey } = entry;
    if (broughtBy === undefined && serverNameOf(sender) !== serverName) return;
    if (rooms.hasOtherHosts(tx, room, position)) {
      tx.run(insertOutbox, position, room, event, broughtBy ?? null);
      tx.run(upsertOutboxRoom, room, position);
    }
    const targets = new Set(rooms.isPartial(tx, room) ? rooms.partialServers(tx, room) : []);
    // Whom a kick, a ban or its end concerns is told of it, in the room or not. An invite was handed over by itself; as part
    // of a transaction it would be an event of an unknown room.
    if (type === 'm.room.member' && stateKey !== null && rooms.membershipOf(tx, event) !== 'invite')
      targets.add(serverNameOf(stateKey as UserId));
    const others = [...targets].filter(
      (server) =>
        server !== serverName &&
        server !== broughtBy &&
        !rooms.wasHost(tx, server, room, position) &&
        this.#parts.permits(server),
    );
    if (others.length === 0) return;
    for (const server of others) tx.run(insertException, server, position, event);
    tx.afterDurable(() => this.#parts.wake(others));
  }

  /**
   * "… when that user joins a room which contains servers which are not already receiving updates for that user's device
   * list" (§Device Management).
   */
  #membership(tx: Tx, { room, user, membership }: MembershipEntry): void {
    const { rooms, serverName } = this.#parts;
    if (membership !== 'join' || serverNameOf(user) !== serverName) return;
    const added = new Set(rooms.hostsNow(tx, room).filter((server) => server !== serverName));
    if (added.size === 0) return;
    for (const other of rooms.joinedRooms(tx, user)) {
      if (other !== room) for (const server of rooms.hostsNow(tx, other)) added.delete(server);
      if (added.size === 0) return;
    }
    this.#introduce(tx, [...added], user);
  }

  /** The resync of a partial room has found servers in it, or having been in it, that nobody had told us of. */
  #unpartial(tx: Tx, room: RoomNid, position: Position): void {
    const { rooms, serverName, deviceLists, devices } = this.#parts;
    const told = new Set([serverName, ...rooms.partialServers(tx, room)]);
    const came = rooms.hostsOpenedAt(tx, room, position).filter((server) => !told.has(server));
    const went = this.#departed(tx, room, position).filter((server) => !told.has(server));
    const found = [...new Set([...came, ...went])];
    if (found.length === 0) return;
    const began = rooms.partialSince(tx, room);
    for (const user of rooms.joinedLocalUsers(tx, room)) {
      this.#introduce(tx, came, user);
      const streamId = deviceLists.streamId(tx, user) as Position;
      if (streamId <= began) continue;
      // Which device has changed since the join is not known any more.
      for (const deviceId of devices.ids(tx, user)) this.#tell(tx, found, user, deviceId, streamId);
    }
    this.#sendMissed(tx, room, found, position);
  }

  /** Servers of members who left since the join, by the full state of then. */
  #departed(tx: Tx, room: RoomNid, position: Position): ServerName[] {
    const { rooms } = this.#parts;
    const servers = new Set<ServerName>();
    for (const event of rooms.timelineBackward(tx, room, position, rooms.partialSince(tx, room), mostMissed)) {
      const { type, stateKey, snapshot, nid } = event;
      if (type !== 'm.room.member' || stateKey === null || rooms.membershipOf(tx, nid) === 'join') continue;
      const before = rooms.stateEvent(tx, snapshot, type, stateKey);
      if (before !== 0 && rooms.membershipOf(tx, before) === 'join') servers.add(serverNameOf(stateKey as UserId));
    }
    return [...servers];
  }

  /** Our events since the join, which its resident has passed on, that servers should have got which we did not know to be in the room. */
  #sendMissed(tx: Tx, room: RoomNid, found: readonly ServerName[], position: Position): void {
    const { rooms, serverName } = this.#parts;
    const began = rooms.partialSince(tx, room);
    const own = rooms
      .timelineBackward(tx, room, position, began, mostMissed)
      .filter(({ sender, place }) => serverNameOf(sender) === serverName && place !== undefined);
    for (const server of found) {
      const users = rooms.membersOfServer(tx, room, server).map(({ user }) => user);
      for (const { nid, snapshot, place } of own) {
        const wasThere = users.some((user) => {
          const member = rooms.stateEvent(tx, snapshot, 'm.room.member', user);
          return member !== 0 && rooms.membershipOf(tx, member) === 'join';
        });
        if (wasThere && place !== undefined) tx.run(insertException, server, place.slot, nid);
      }
    }
    tx.afterDurable(() => this.#parts.wake(found));
  }

  /** Tells servers of all devices of a user: in a while, if nothing can be encrypted for any of them yet. */
  #introduce(tx: Tx, servers: readonly ServerName[], user: UserId): void {
    if (servers.length === 0) return;
    const { devices, deviceKeys, deviceLists } = this.#parts;
    // The stream id that they get with the whole list, which they will ask for.
    const streamId = deviceLists.streamId(tx, user) as Position;
    const ids = devices.ids(tx, user);
    const hasKeys = ids.some((deviceId) => deviceKeys.get(tx, user, deviceId) !== undefined);
    for (const deviceId of ids) {
      if (hasKeys) this.#tell(tx, servers, user, deviceId, streamId);
      else this.#write(tx, servers, user, deviceId, streamId);
    }
    if (hasKeys) return;
    for (const server of servers) this.#parts.introductions.hold(server, user, ids.length);
  }

  #deviceList(tx: Tx, { user, changed }: DeviceListEntry, position: Position): void {
    const { rooms, serverName } = this.#parts;
    if (changed === undefined || serverNameOf(user) !== serverName) return;
    const servers = rooms.hostsSharingWith(tx, user).filter((server) => server !== serverName);
    if (servers.length > 0) this.#tell(tx, servers, user, changed, position);
  }

  #tell(tx: Tx, servers: readonly ServerName[], user: UserId, deviceId: string, position: Position): void {
    const told = this.#write(tx, servers, user, deviceId, position);
    for (const server of told) this.#parts.introductions.release(server, user);
    tx.afterDurable(() => this.#parts.wake(told));
  }

  /** @returns the servers that may be told */
  #write(
    tx: Tx,
    servers: readonly ServerName[],
    user: UserId,
    deviceId: string,
    position: Position,
  ): readonly ServerName[] {
    const permitted = servers.filter((server) => this.#parts.permits(server));
    for (const server of permitted) tx.run(upsertDeviceChange, server, user, deviceId, position);
    return permitted;
  }
}
